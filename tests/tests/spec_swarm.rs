//! Whatever the broker does: nothing is lost, nothing is acked early, and the ledger adds up.
//!
//! Each seed draws its own faults, latencies, handlers and limits. A failing seed is printed; to
//! run it alone, set `MAYHEM_SEED` to it; to look for others, to a range: `MAYHEM_SEED=0..100000`.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures::FutureExt;
use futures::future::{Either, select};
use mayhem_core::{
    Backoff, BranchError, Clock, Consumer, Delivery, Execution, FanOut, Instant, Jitter, MessageId,
    Plan, Report, Verdict,
};
use mayhem_sim::{FactKind, Fate, Faults, SettleKind, SimClock, SimSettings};
use mayhem_tests::contract::Stage;

#[test]
fn whatever_the_broker_does_nothing_is_lost_and_nothing_is_acked_early() {
    for seed in seeds(0..400) {
        let stage = perform(seed, faults_of(seed));
        assert_no_loss(&stage);
    }
}

#[test]
fn an_honest_broker_delivers_nothing_in_vain() {
    for seed in seeds(1_000..1_100) {
        let stage = perform(seed, Faults::default());
        assert_no_loss(&stage);
        for id in stage.broker.ids() {
            let facts = stage.broker.facts_of(&id);
            let count = |is_wanted: fn(&FactKind) -> bool| {
                facts.iter().filter(|fact| is_wanted(&fact.kind)).count()
            };
            let deliveries = count(|kind| matches!(kind, FactKind::Delivered { .. }));
            let settlements = count(|kind| matches!(kind, FactKind::Settled(_)));
            if deliveries != settlements {
                stage.fail(&format!(
                    "{id} was delivered {deliveries} times, settled {settlements}"
                ));
            }
        }
    }
}

#[test]
fn a_broker_that_breaks_at_any_moment_gets_no_early_ack_and_the_ledger_adds_up() {
    for seed in seeds(2_000..2_100) {
        let breaks_after = Duration::from_millis(Rng::with_seed(seed).u64(0..60_000));
        perform(
            seed,
            Faults {
                permanent_from: Some(Instant::ZERO + breaks_after),
                ..faults_of(seed)
            },
        );
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let fingerprint = |seed| perform(seed, faults_of(seed)).sim.fingerprint();
    for seed in seeds(3_000..3_030) {
        assert_eq!(fingerprint(seed), fingerprint(seed), "seed {seed}");
    }
    assert_ne!(fingerprint(3_000), fingerprint(3_001));
}

/// Consumers come and go until every message has its fate, or the broker is broken.
fn perform(seed: u64, faults: Faults) -> Stage {
    let mut dice = Rng::with_seed(seed);
    let lease = Duration::from_secs(dice.u64(5..=30));
    let (is_honest, may_break) = (faults.is_honest(), faults.permanent_from.is_some());
    let settings = SimSettings {
        lease,
        receive_latency: Duration::ZERO..=millis(&mut dice, 0, 500),
        call_latency: Duration::ZERO..=millis(&mut dice, 0, 500),
        is_shuffled: dice.bool(),
        faults,
        ..SimSettings::default()
    };
    let stage = Stage::with(seed, settings);
    stage.publish(dice.usize(1..=60));
    stage.broker.finish();
    let play = Play {
        clock: stage.clock.clone(),
        lease,
        is_honest,
        verdicts: Arc::default(),
    };
    for round in 0.. {
        if round == 100 {
            stage.fail("the backlog never drains");
        }
        stage.broker.reopen();
        let report = perform_round(&stage, &play, &mut dice, round);
        let error = report.and_then(|report| report.error);
        if let Some(error) = &error
            && !may_break
        {
            stage.fail(&format!("it stopped by itself: {error:?}"));
        }
        if stage.broker.is_drained() || error.is_some() {
            break;
        }
    }
    assert_no_early_ack(&stage, &play.verdicts.lock().unwrap());
    stage
}

/// One consumer's life: to the end of the source, to a stop, or, without a report, to a crash.
fn perform_round(stage: &Stage, play: &Play, dice: &mut Rng, round: u32) -> Option<Report> {
    // What has nothing to fear is not to give up a lease either.
    let (patience, stops_max) = if play.is_honest { (1_000, 1) } else { (1, 3) };
    let builder = stage
        .consumer()
        .concurrency(dice.usize(1..=20))
        .prefetch(dice.usize(1..=60))
        .lease(play.lease)
        .lease_max(dice.u32(4..=10) * patience * play.lease)
        .max_deliveries(10)
        .backoff(Backoff {
            base: SECOND,
            max: 10 * SECOND,
            factor: 2,
            jitter: Jitter::Full,
        });
    let handler_dice = Mutex::new(dice.fork());
    let fork = move || handler_dice.lock().unwrap().fork();
    // The later rounds are left alone, so that they come to an end.
    let end = if round < 4 {
        dice.u32(0..=2 + stops_max)
    } else {
        0
    };
    if dice.bool() {
        let handler = async |delivery: &Delivery| play.handle(delivery, fork()).await;
        live(stage, play, dice, end, builder.handler(handler).build())
    } else {
        let handler_play = play.clone();
        let consumer = builder.spawned_handler(stage.sim.spawner(), move |delivery: &Delivery| {
            let (play, delivery, dice) = (handler_play.clone(), delivery.clone(), fork());
            async move { play.handle(&delivery, dice).await }.boxed()
        });
        live(stage, play, dice, end, consumer.build())
    }
}

/// Ends with the source (0, 2), in a crash (1), or with one stop (3), two (4) or three (5).
fn live<E: Execution>(
    stage: &Stage,
    play: &Play,
    dice: &mut Rng,
    end: u32,
    consumer: Consumer<E>,
) -> Option<Report> {
    if end == 1 && !play.is_honest {
        let crash = stage.clock.sleep(millis(dice, 0, 60_000));
        return match stage.sim.run(select(Box::pin(consumer.run()), crash)) {
            Ok(Either::Left((report, _))) => Some(report),
            Ok(Either::Right(_)) => None,
            Err(hang) => stage.fail(&hang.to_string()),
        };
    }
    let control = consumer.control();
    let script = async {
        for _ in 0..end.saturating_sub(2) {
            stage.clock.sleep(millis(dice, 0, 60_000)).await;
            control.stop(play.plan(dice));
        }
    };
    Some(stage.run_with(consumer, script))
}

/// What the handlers of one seed share.
#[derive(Clone)]
struct Play {
    clock: SimClock,
    lease: Duration,
    is_honest: bool,
    /// Each verdict when it was given, and whether it was an ack.
    verdicts: Arc<Mutex<Vec<(MessageId, Instant, bool)>>>,
}

impl Play {
    async fn handle(&self, delivery: &Delivery, dice: Rng) -> Verdict {
        let verdict = self.decide(delivery, dice).await;
        let verdict_at = (
            delivery.id().clone(),
            self.clock.now(),
            verdict == Verdict::Ack,
        );
        self.verdicts.lock().unwrap().push(verdict_at);
        verdict
    }

    /// A fan-out of two whose branches take their time and fail as the dice say.
    async fn decide(&self, delivery: &Delivery, mut dice: Rng) -> Verdict {
        let unit = self.lease / 40;
        let slowness = dice.choice([1_u32, 1, 1, 20, 100]).unwrap_or(1);
        let mut work = || {
            let (length, end) = (unit * dice.u32(0..=slowness), dice.u32(0..40));
            async move {
                self.clock.sleep(length).await;
                match end {
                    0 => Err(BranchError::retry("planned")),
                    1 => Err(BranchError::postpone(SECOND, "planned")),
                    2 => Err(BranchError::dead("planned")),
                    3 => panic!("planned"),
                    _ => Ok(()),
                }
            }
        };
        let (restart, record) = (work(), work());
        let branches = FanOut::new(delivery)
            .branch("restart", restart)
            .branch("record", record);
        let verdict = match dice.u32(0..8) {
            0 => branches.any().await.verdict(),
            1 => branches.quorum(2).await.verdict(),
            2 => branches.best_effort().await.verdict(),
            _ => branches.join().await.verdict(),
        };
        match dice.u32(0..60) {
            0 => panic!("planned"),
            // The whole process stands still for up to two leases.
            1 if !self.is_honest => self.clock.block(unit * dice.u32(0..=80)),
            2 => drop(delivery.shield(self.clock.sleep(unit * dice.u32(0..=20)))),
            _ => {}
        }
        verdict
    }

    fn plan(&self, dice: &mut Rng) -> Plan {
        // A grace or a flush that is too short gives deliveries up, whose leases then run out.
        let min = if self.is_honest { 20_000 } else { 0 };
        Plan {
            drain: millis(dice, 0, 20_000),
            grace: millis(dice, min, 20_000),
            flush: millis(dice, min, 20_000),
        }
    }
}

/// Whenever an ack is asked for, the latest verdict on its message is an ack.
///
/// By message and not by lease: a delivery in hand goes on under the lease of a later one.
fn assert_no_early_ack(stage: &Stage, verdicts: &[(MessageId, Instant, bool)]) {
    for fact in stage.broker.facts() {
        if fact.kind == FactKind::SettleCalled(SettleKind::Ack) {
            let earlier = |(id, at, _): &&(_, _, _)| *id == fact.id && *at <= fact.at;
            let latest = verdicts.iter().rfind(earlier);
            if !latest.is_some_and(|(_, _, is_ack)| *is_ack) {
                stage.fail(&format!("{fact} at {:?} is early: {latest:?}", fact.at));
            }
        }
    }
}

/// Every message ends as acked, or as a dead letter for a reason that a handler gave.
fn assert_no_loss(stage: &Stage) {
    for id in stage.broker.ids() {
        match stage.broker.truth(&id).fate {
            Fate::Acked => {}
            Fate::Dead { reason } if reason.contains("planned") => {}
            Fate::Dead { reason } if reason.contains("poison") => {}
            fate => stage.fail(&format!("{id} is lost: {fate:?}")),
        }
    }
}

/// Each seed has some of the faults: the many together would hide what a few do.
fn faults_of(seed: u64) -> Faults {
    let mut dice = Rng::with_seed(!seed);
    let mut rate = |base: f64| base * dice.choice([0.0, 0.0, 1.0, 1.0, 4.0, 10.0]).unwrap_or(0.0);
    Faults {
        refused: rate(0.03),
        request_lost: rate(0.03),
        reply_lost: rate(0.03),
        duplicate: rate(0.03),
        early_expiry: rate(0.02),
        gone: rate(0.02),
        timeout: 3 * SECOND,
        ..Faults::default()
    }
}

fn millis(dice: &mut Rng, min: u64, max: u64) -> Duration {
    Duration::from_millis(dice.u64(min..=max))
}

/// The fixed seeds, or those that are asked for.
fn seeds(fixed: Range<u64>) -> Range<u64> {
    let Ok(wanted) = std::env::var("MAYHEM_SEED") else {
        return fixed;
    };
    let parse = |text: &str| {
        text.parse()
            .expect("MAYHEM_SEED is a seed, or a range of them")
    };
    match wanted.split_once("..") {
        Some((first, end)) => parse(first)..parse(end),
        None => parse(&wanted)..parse(&wanted) + 1,
    }
}

const SECOND: Duration = Duration::from_secs(1);
