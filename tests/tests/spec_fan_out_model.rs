//! Fan-outs of five random branches under every policy, beside a model that knows their ends.

use std::cell::RefCell;
use std::time::Duration;

use fastrand::Rng;
use mayhem_core::{Branch, BranchError, Branches, Delivery, Event, FanOut, Verdict};
use mayhem_tests::contract::Stage;
use mayhem_tests::contract::single::{once, one_message};

/// How a branch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Success,
    Retry(Option<u64>),
    Postpone(u64),
    Dead,
    Panic,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    name: &'static str,
    is_required: bool,
    /// In seconds; no two branches end at the same time.
    at: u64,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    All,
    BestEffort,
    Quorum(usize),
}

/// What is seen of a fan-out.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    verdict: Verdict,
    took: u64,
    failed: Vec<&'static str>,
    dropped: Vec<&'static str>,
    /// In the order of their reports, and whether they count.
    reported: Vec<(&'static str, bool)>,
}

#[test]
fn every_fan_out_ends_as_the_model_says() {
    let mut rng = Rng::with_seed(11);
    let (mut races, mut drops) = (0, 0);
    for case in 0..1_000 {
        let branches = draw_branches(&mut rng);
        let required = branches.iter().filter(|branch| branch.is_required).count();
        let policy = match rng.usize(0..4) {
            0 => Policy::All,
            1 => Policy::BestEffort,
            _ if required == 0 => Policy::All,
            _ => Policy::Quorum(rng.usize(1..=required)),
        };
        let expected = model(&branches, policy);
        races += usize::from(matches!(policy, Policy::Quorum(_)));
        drops += usize::from(!expected.dropped.is_empty());

        assert_eq!(
            run(&branches, policy),
            expected,
            "{case}: {policy:?} {branches:?}"
        );
    }
    assert!(
        races > 300 && drops > 100,
        "{races} races, {drops} with losers"
    );
}

fn draw_branches(rng: &mut Rng) -> [Plan; 5] {
    let mut ends_at = [1, 2, 3, 4, 5];
    rng.shuffle(&mut ends_at);
    let failures = rng.u32(0..=4);
    let mut number = 0;
    ["a", "b", "c", "d", "e"].map(|name| {
        number += 1;
        let end = match rng.u32(0..8) {
            kind if kind >= 2 * failures => End::Success,
            0 => End::Retry(None),
            1 | 2 => End::Retry(Some(rng.u64(1..20))),
            3 | 4 => End::Postpone(rng.u64(1..20)),
            5 => End::Panic,
            _ => End::Dead,
        };
        Plan {
            name,
            is_required: rng.u32(0..4) > 0,
            at: ends_at[number - 1],
            end,
        }
    })
}

fn model(branches: &[Plan; 5], policy: Policy) -> Outcome {
    let mut in_time = *branches;
    in_time.sort_by_key(|branch| branch.at);
    let mut missing = match policy {
        Policy::Quorum(count) => count,
        _ => usize::MAX,
    };
    let (mut took, mut ended, mut reported) = (0, Vec::new(), Vec::new());
    for branch in in_time {
        let counts = branch.is_required && policy != Policy::BestEffort;
        if counts && missing == 0 {
            continue;
        }
        took = branch.at;
        ended.push(branch.name);
        if branch.end != End::Success {
            reported.push((branch.name, counts));
        } else if counts {
            missing -= 1;
        }
    }
    let has_failed = |branch: &&Plan| reported.iter().any(|it| it.0 == branch.name);
    let failed: Vec<&Plan> = branches.iter().filter(has_failed).collect();
    let required = failed.iter().filter(|branch| branch.is_required);
    let required: Vec<Plan> = required.map(|branch| **branch).collect();
    let verdict = match policy {
        Policy::BestEffort => Verdict::Ack,
        Policy::All => verdict(&required, 0),
        Policy::Quorum(_) if missing == 0 => Verdict::Ack,
        Policy::Quorum(_) => verdict(&required, missing),
    };
    let is_dropped = |branch: &&Plan| !ended.contains(&branch.name);
    Outcome {
        verdict,
        took,
        failed: failed.iter().map(|branch| branch.name).collect(),
        dropped: branches
            .iter()
            .filter(is_dropped)
            .map(|it| it.name)
            .collect(),
        reported,
    }
}

/// What the failures of required branches call for when so many successes are missing; 0 for all.
fn verdict(failures: &[Plan], missing: usize) -> Verdict {
    let is = |kind: fn(&End) -> bool| failures.iter().any(|branch| kind(&branch.end));
    let is_attempt = |end: &End| matches!(end, End::Retry(_) | End::Panic);
    let mut delays: Vec<Option<u64>> = Vec::new();
    for branch in failures {
        match branch.end {
            End::Retry(after) => delays.push(after),
            End::Panic => delays.push(None),
            // Where all are needed, a postponement beside a failure has no say.
            End::Postpone(after) if missing > 0 || !is(is_attempt) => delays.push(Some(after)),
            End::Postpone(_) | End::Success | End::Dead => {}
        }
    }
    delays.sort_unstable();
    let is_dead = if missing == 0 {
        is(|end| *end == End::Dead)
    } else {
        delays.len() < missing
    };
    if is_dead {
        let dead = failures.iter().filter(|branch| branch.end == End::Dead);
        let reasons: Vec<String> = dead
            .map(|branch| format!("{}: gone", branch.name))
            .collect();
        return Verdict::Dead(reasons.join("; "));
    }
    let place = if missing == 0 { delays.len() } else { missing };
    let Some(place) = place.checked_sub(1) else {
        return Verdict::Ack;
    };
    match delays[place].map(Duration::from_secs) {
        Some(after) if !is(is_attempt) => Verdict::Postpone { after },
        after => Verdict::Retry { after },
    }
}

fn run(branches: &[Plan; 5], policy: Policy) -> Outcome {
    let (stage, _) = one_message();
    let seen = RefCell::new(None);
    let _ = once(&stage, async |delivery| {
        let outcome = fan_out(&stage, delivery, branches, policy).await;
        *seen.borrow_mut() = Some(outcome);
        Verdict::Ack
    });
    let mut outcome = seen.into_inner().expect("it ran");
    for (_, event) in stage.events() {
        if let Event::BranchFailed {
            branch, required, ..
        } = event
        {
            outcome.reported.push((branch, required));
        }
    }
    outcome
}

async fn fan_out(
    stage: &Stage,
    delivery: &Delivery,
    branches: &[Plan; 5],
    policy: Policy,
) -> Outcome {
    let [a, b, c, d, e] = branches;
    let fan_out = add(FanOut::new(delivery), a, stage);
    let fan_out = add(add(fan_out, b, stage), c, stage);
    let fan_out = add(add(fan_out, d, stage), e, stage);
    let (verdict, failures, dropped) = match policy {
        Policy::All => {
            let joined = fan_out.join().await;
            (joined.verdict(), joined.failures, Vec::new())
        }
        Policy::BestEffort => {
            let joined = fan_out.best_effort().await;
            (joined.verdict(), joined.failures, Vec::new())
        }
        Policy::Quorum(count) => {
            let raced = match count {
                1 => fan_out.any().await,
                _ => fan_out.quorum(count).await,
            };
            let dropped: Vec<&'static str> = raced.dropped().collect();
            (raced.verdict(), raced.failures, dropped)
        }
    };
    Outcome {
        verdict,
        took: stage.elapsed().as_secs(),
        failed: failures.iter().map(|failure| failure.branch).collect(),
        dropped,
        reported: Vec::new(),
    }
}

fn add<'a, 'b, B: Branches>(
    fan_out: FanOut<'a, B>,
    plan: &'b Plan,
    stage: &'b Stage,
) -> FanOut<'a, Branch<B, impl Future<Output = Result<(), BranchError>> + use<'b, B>>> {
    let work = async {
        stage.clock.sleep(Duration::from_secs(plan.at)).await;
        match plan.end {
            End::Success => Ok(()),
            End::Retry(None) => Err(BranchError::retry("later")),
            End::Retry(Some(after)) => {
                let after = Duration::from_secs(after);
                Err(BranchError::retry_after(after, "later"))
            }
            End::Postpone(after) => {
                let after = Duration::from_secs(after);
                Err(BranchError::postpone(after, "not yet"))
            }
            End::Dead => Err(BranchError::dead("gone")),
            End::Panic => panic!("planned"),
        }
    };
    if plan.is_required {
        fan_out.branch(plan.name, work)
    } else {
        fan_out.optional(plan.name, work)
    }
}
