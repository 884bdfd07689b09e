//! Random histories, beside a model of them that fits on a page.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, prop_oneof, proptest};

use super::super::{Admission, Journal, Outcome, Verdict};
use super::{Place, at, group, identity, refusal, request, rows, target};
use crate::config::Group;

const COOLDOWN_MS: i64 = 60_000;
const SPACING_MS: i64 = 5000;
const MAX_CONCURRENT: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit(usize),
    Finish(usize, Outcome),
    Refuse(usize),
    Start(usize),
    Resume(usize),
    /// The clock, which may go back.
    Clock(i64),
    /// As after a crash.
    Reopen,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_journal_does_what_the_model_does(steps in vec(any_step(), 1..60)) {
        let place = Place::new();
        let mut journal = place.open();
        let mut model = Model::default();
        // A crashed process closes nothing while the next one opens; here, until the end.
        let mut crashed = Vec::new();
        let mut now_ms = 0;
        for step in steps {
            let now = at(0) + SignedDuration::from_millis(now_ms);
            match step {
                Step::Clock(ms) => now_ms += ms,
                Step::Reopen => {
                    crashed.push(std::mem::replace(&mut journal, place.open()));
                }
                _ => {
                    let expected = model.take(step, now_ms);
                    assert_eq!(take(&journal, step, now), expected, "{step:?} at {now_ms}");
                }
            }
        }
        let known: BTreeMap<String, Outcome> = rows(&journal).into_iter().collect();
        let expected: BTreeMap<String, Outcome> = model
            .requests
            .iter()
            .map(|(number, state)| (number.to_string(), state.outcome()))
            .collect();
        assert_eq!(known, expected);
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => proptest::strategy::Just(Outcome::Verified),
        1 => proptest::strategy::Just(Outcome::Failed),
        1 => proptest::strategy::Just(Outcome::Lost),
    ];
    prop_oneof![
        8 => (0..16_usize).prop_map(Step::Admit),
        6 => (0..16_usize, outcome).prop_map(|(number, outcome)| Step::Finish(number, outcome)),
        1 => (0..16_usize).prop_map(Step::Refuse),
        2 => (0..16_usize).prop_map(Step::Start),
        1 => (0..4_usize).prop_map(Step::Resume),
        4 => (0..30_000_i64).prop_map(Step::Clock),
        1 => (-90_000..0_i64).prop_map(Step::Clock),
        1 => proptest::strategy::Just(Step::Reopen),
    ]
}

/// What a step has answered, without the words.
#[derive(Debug, PartialEq)]
enum Answer {
    Go,
    Resume { started: bool },
    Finished(Outcome),
    Blocked(Option<i64>),
    Wait(Duration),
    Known(Option<Outcome>),
    Done(bool),
}

fn take(journal: &Journal, step: Step, now: Timestamp) -> Answer {
    match step {
        Step::Admit(number) => {
            let request = request(&number.to_string(), host(number));
            let before = identity(1);
            let admission = journal.admit(&request, &group_of(number), Some(&before), 1, now);
            match admission.unwrap() {
                Admission::Go(_) => Answer::Go,
                Admission::Resume(intent) => Answer::Resume {
                    started: intent.started_at.is_some(),
                },
                Admission::Finished(row) => Answer::Finished(row.outcome),
                Admission::Blocked { until, .. } => Answer::Blocked(
                    until.map(|until| until.as_millisecond() - at(0).as_millisecond()),
                ),
                Admission::Wait { after, .. } => Answer::Wait(after),
                Admission::Unidentified => unreachable!("every target here is identified"),
            }
        }
        Step::Finish(number, outcome) => {
            let verdict = Verdict {
                outcome,
                detail: None,
                after: None,
            };
            let row = journal.finish(&number.to_string(), &verdict, now).unwrap();
            Answer::Known(row.map(|row| row.outcome))
        }
        Step::Refuse(number) => {
            let refusal = refusal(Outcome::UnknownTarget, Some(host(number)));
            let row = journal.refuse(&number.to_string(), &refusal, now).unwrap();
            Answer::Known(Some(row.outcome))
        }
        Step::Start(number) => {
            Answer::Done(journal.mark_started(&number.to_string(), now).unwrap())
        }
        Step::Resume(number) => Answer::Done(journal.resume(&target(host(number))).unwrap()),
        Step::Clock(_) | Step::Reopen => unreachable!("answered by the test itself"),
    }
}

/// Request `number` is always for the same target; three of the four are in one group.
fn host(number: usize) -> &'static str {
    ["web-1", "web-2", "web-3", "db-1"][number % 4]
}

fn group_of(number: usize) -> Group {
    match number % 4 {
        3 => group("db", &["db-1"]),
        _ => group("web", &["web-1", "web-2", "web-3"]),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Waiting,
    AtWork { started: bool },
    Final(Outcome),
}

impl State {
    fn outcome(self) -> Outcome {
        match self {
            Self::Final(outcome) => outcome,
            _ => Outcome::Open,
        }
    }
}

#[derive(Default)]
struct Model {
    requests: BTreeMap<usize, State>,
    /// By target: where the cooldown is counted from.
    anchors: BTreeMap<usize, i64>,
    lost: BTreeMap<usize, ()>,
}

impl Model {
    fn take(&mut self, step: Step, now: i64) -> Answer {
        match step {
            Step::Admit(number) => match self.requests.get(&number) {
                Some(State::Final(outcome)) => Answer::Finished(*outcome),
                Some(State::AtWork { started }) => Answer::Resume { started: *started },
                Some(State::Waiting) | None => self.decide(number, now),
            },
            Step::Finish(number, outcome) => {
                if matches!(
                    self.requests.get(&number),
                    Some(State::Waiting | State::AtWork { .. })
                ) {
                    self.requests.insert(number, State::Final(outcome));
                    if outcome == Outcome::Verified {
                        self.anchors.insert(number % 4, now);
                        self.lost.remove(&(number % 4));
                    }
                    if outcome == Outcome::Lost {
                        self.lost.insert(number % 4, ());
                    }
                }
                Answer::Known(self.requests.get(&number).map(|state| state.outcome()))
            }
            Step::Refuse(number) => {
                let state = self.requests.entry(number).or_insert(State::Waiting);
                if *state == State::Waiting {
                    *state = State::Final(Outcome::UnknownTarget);
                }
                Answer::Known(Some(state.outcome()))
            }
            Step::Start(number) => {
                let fresh = self.requests.get(&number) == Some(&State::AtWork { started: false });
                if fresh {
                    self.requests
                        .insert(number, State::AtWork { started: true });
                }
                Answer::Done(fresh)
            }
            Step::Resume(number) => Answer::Done(self.lost.remove(&(number % 4)).is_some()),
            Step::Clock(_) | Step::Reopen => unreachable!("answered by the test itself"),
        }
    }

    fn decide(&mut self, number: usize, now: i64) -> Answer {
        for anchor in self.anchors.values_mut() {
            *anchor = now.min(*anchor);
        }
        let own = number % 4;
        let in_group = |other: usize| (other % 4 == 3) == (own == 3);
        let at_work = |test: &dyn Fn(usize) -> bool| {
            self.requests
                .iter()
                .filter(|(other, state)| matches!(state, State::AtWork { .. }) && test(**other))
                .count()
        };
        let busy = Answer::Wait(Duration::from_millis(500));
        let cooled = self.anchors.get(&own).map(|anchor| anchor + COOLDOWN_MS);
        let spaced = self
            .anchors
            .iter()
            .filter(|(other, _)| in_group(**other))
            .map(|(_, anchor)| anchor + SPACING_MS - now)
            .max();
        let answer = if self.lost.contains_key(&own) {
            Answer::Blocked(None)
        } else if cooled.is_some_and(|until| until > now) {
            Answer::Blocked(cooled)
        } else if at_work(&|other| other % 4 == own) > 0 || at_work(&in_group) >= MAX_CONCURRENT {
            busy
        } else if let Some(left) = spaced.filter(|left| *left > 0) {
            Answer::Wait(Duration::from_millis(left.unsigned_abs()))
        } else {
            Answer::Go
        };
        let state = match answer {
            Answer::Go => State::AtWork { started: false },
            Answer::Blocked(_) => State::Final(Outcome::Blocked),
            _ => State::Waiting,
        };
        self.requests.insert(number, state);
        answer
    }
}
