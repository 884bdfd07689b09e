// Every feature at a time, drawn by a seed, beside a broker and an operator that do whatever they
// may.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures::future::pending;

use super::testing::{Fault, Rig, Touchy, Turns, Unhandled, millis, seconds};
use crate::control::lock;
use crate::{
    Clock, Control, Delivery, Message, NackedHead, OrderKey, Outcome, Plan, Rate, Report, Settle,
    Stats, Timeout, Totals, Verdict,
};

/// What handlers did: who ran, and how many ends of each kind there were.
#[derive(Default)]
struct Deeds {
    turns: Turns,
    acks: u64,
    dead: u64,
    failures: u64,
}

/// The key of `7-2` is 7, and 0 is none.
fn key_of(id: &str) -> Option<String> {
    let (key, _) = id.split_once('-').expect("a key");
    (key != "0").then(|| key.to_owned())
}

fn maybe<T>(rng: &mut Rng, value: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| value(rng))
}

fn draw_rate(rng: &mut Rng) -> Rate {
    Rate {
        count: rng.u32(1..20),
        period: millis(rng.u64(1..5_000)),
        burst: rng.u32(0..5),
    }
}

fn draw_plan(rng: &mut Rng) -> Plan {
    Plan {
        drain: millis(rng.u64(0..20_000)),
        grace: millis(rng.u64(0..3_000)),
        flush: millis(rng.u64(0..3_000)),
    }
}

/// Publishes; returns the number of messages.
fn prepare(rig: &Rig, rng: &mut Rng) -> usize {
    let (count, keys) = (rng.usize(0..50), rng.usize(1..6));
    let ids: Vec<_> = (0..count)
        .map(|number| format!("{}-{number}", rng.usize(0..keys)))
        .collect();
    let rest = ids.len() - rng.usize(0..=ids.len() / 4);
    rig.broker.publish(ids[..rest].to_vec());
    rig.broker.with(|state| {
        for (index, id) in ids[rest..].iter().enumerate() {
            let late = (id.clone(), 1);
            match index % 2 {
                0 => state.at_close.push(late),
                _ => state.at_hold.push(late),
            }
        }
        state.ends = false;
        state.lease = millis(
            *rng.choice(&[3, 200, 1_000, 10_000, 10_000, 10_000])
                .expect("one"),
        );
        state.settle_latency = millis(rng.u64(0..2_000));
        state.extend_latency = millis(rng.u64(0..4_000));
        state.extend_delay = millis(rng.u64(0..2_000));
        state.overshoot = rng.usize(1..6);
        state.caps.settle_count_max = rng.usize(1..9);
        state.caps.extend_count_max = rng.usize(0..9);
        state.caps.nack_delay = rng.bool();
        state.close_hangs = rng.u8(0..8) == 0;
        let faults = [
            Fault::Retryable,
            Fault::Hang,
            Fault::Short,
            Fault::Lost,
            // Seldom.
            Fault::Permanent,
            Fault::Panic,
        ];
        let last = if rng.u8(0..8) == 0 { 6 } else { 4 };
        let mut draw = || {
            (0..rng.u8(0..4))
                .map(|_| faults[rng.usize(0..last)])
                .collect()
        };
        (state.settle_faults, state.extend_faults) = (draw(), draw());
        state.receive_faults = draw();
        state.receive_faults.retain(|fault| *fault != Fault::Hang);
    });
    count
}

/// What one message comes to.
async fn handle<C: Clock>(
    clock: &C,
    (kind, pause): (u8, Duration),
    delivery: &Delivery,
    deeds: &Arc<Mutex<Deeds>>,
) -> Verdict {
    let key = key_of(delivery.id().as_str());
    let turns = lock(deeds).turns.clone();
    let _turn = key.map(|key| turns.take(key));
    let _touchy = (kind == 9).then(|| Touchy);
    if kind == 0 {
        let sleep = clock.sleep_until(clock.now() + pause);
        drop(delivery.shield(sleep));
    }
    if kind == 8 {
        delivery.overdue().await;
    }
    if kind != 1 {
        clock.sleep_until(clock.now() + pause).await;
    }
    let end = |count: fn(&mut Deeds) -> &mut u64| *count(&mut lock(deeds)) += 1;
    match kind {
        2 => {
            end(|deeds| &mut deeds.failures);
            panic!("a planned panic")
        }
        3 | 4 => {
            end(|deeds| &mut deeds.failures);
            let after = (kind == 3).then_some(pause);
            Verdict::Retry { after }
        }
        5 => Verdict::Postpone { after: pause },
        6 => pending().await,
        7 => {
            end(|deeds| &mut deeds.dead);
            Verdict::Dead("a verdict".to_owned())
        }
        _ => {
            end(|deeds| &mut deeds.acks);
            Verdict::Ack
        }
    }
}

/// An operator, and other consumers of the same queue.
fn meddle(rig: &Rig, control: &Control, rng: &mut Rng) {
    match rng.u8(0..12) {
        0 => control.pause(),
        1 | 2 => control.resume(),
        3 => control.set_concurrency(rng.usize(0..9)),
        4 => control.set_rate(maybe(rng, draw_rate)),
        5 | 6 => {
            let leased = rig.broker.with(|state| state.leased());
            if let Some(id) = rng.choice(leased) {
                let now = rig.clock.now();
                rig.broker.with(|state| state.redeliver(now, &id));
                rig.broker.wake();
            }
        }
        _ => {}
    }
}

/// One life of a consumer.
fn live(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut rig = Rig::new();
    let count = prepare(&rig, &mut rng);
    let deeds = Arc::new(Mutex::new(Deeds::default()));
    let dice = Mutex::new(rng.fork());
    let (clock, told) = (rig.clock.clone(), Arc::clone(&deeds));
    let is_ordered = rng.bool();
    let consumer = builder(&rig, &mut rng, is_ordered)
        .handler(async move |delivery: &Delivery| {
            let thrown = throw(&mut lock(&dice));
            handle(&clock, thrown, delivery, &told).await
        })
        .build();
    let control = rig.begin(consumer);

    let mut report: Option<Report> = None;
    for _ in 0..rng.u8(0..30) {
        meddle(&rig, &control, &mut rng);
        report = rig.advance(millis(rng.u64(0..3_000)));
        check_stats(seed, control.stats());
        if report.is_some() {
            break;
        }
    }
    let stopped = rig.clock.now();
    for _ in 0..rng.u8(1..4) {
        control.stop(draw_plan(&mut rng));
        report = report.or_else(|| rig.advance(millis(rng.u64(0..5_000))));
    }
    let report = report.unwrap_or_else(|| rig.finish());

    assert!(rig.clock.now() - stopped <= seconds(50), "seed {seed}");
    check_end(seed, &report, control.stats(), &lock(&deeds));
    // Whatever it is polled for, something happens.
    let (polls, events) = (rig.polls(), rig.count(|_| true));
    assert!(
        polls < 2_000 + 4 * events,
        "seed {seed}: {polls} for {events}"
    );
    let settled = rig.broker.settled();
    let done = |is_meant: fn(&Settle) -> bool| {
        let all = settled.iter();
        all.filter(|(_, settle, outcome)| *outcome == Outcome::Done && is_meant(settle))
            .count()
    };
    let gone = done(|settle| !matches!(settle, Settle::Nack { .. }));
    let late = rig
        .broker
        .with(|state| state.at_close.len() + state.at_hold.len());
    assert_eq!(gone + rig.broker.left() + late, count, "seed {seed}");
    let deeds = lock(&deeds);
    assert!(!is_ordered || deeds.turns.overlaps() == 0, "seed {seed}");
    let acked = done(|settle| *settle == Settle::Ack);
    assert!(acked as u64 <= deeds.acks, "seed {seed}");
}

fn check_stats(seed: u64, stats: Stats) {
    let Stats {
        outstanding,
        buffered,
        running,
        parked,
        settling,
        lost,
        stuck,
        ..
    } = stats;
    assert_eq!(
        outstanding,
        buffered + running + parked + settling,
        "seed {seed}: {stats:?}"
    );
    assert!(
        lost <= running && stuck <= running,
        "seed {seed}: {stats:?}"
    );
}

fn check_end(seed: u64, report: &Report, stats: Stats, deeds: &Deeds) {
    assert!(report.is_balanced(), "seed {seed}");
    let Totals {
        timed_out,
        dead_lettered,
        panicked,
        poisoned,
        ..
    } = report.totals;
    let rest = Stats {
        totals: report.totals,
        phase: stats.phase,
        is_paused: stats.is_paused,
        concurrency: stats.concurrency,
        ..Stats::default()
    };
    assert_eq!(stats, rest, "seed {seed}");
    // Shielded work does not fail here: only a failure, a timeout or a verdict is a dead letter.
    let reasons = deeds.dead + deeds.failures + timed_out + panicked + poisoned;
    assert!(dead_lettered <= reasons, "seed {seed}: {report:?}");
    assert_eq!(report.hooks.len(), 1, "seed {seed}");
    assert!(deeds.turns.are_over(), "seed {seed}");
}

/// Everything that can be set, set or not.
fn builder(rig: &Rig, rng: &mut Rng, is_ordered: bool) -> Unhandled {
    let mut builder = rig
        .builder()
        .concurrency(rng.usize(1..9))
        .prefetch(rng.usize(1..30))
        .max_deliveries(rng.u32(1..6))
        .lease_max(millis(rng.u64(0..60_000)))
        .seed(rng.u64(..));
    builder = match rng.u8(0..4) {
        0 => builder.lease(millis(rng.u64(0..20))),
        1 => builder.lease_adaptive(millis(rng.u64(0..9_000))..=seconds(30)),
        _ => builder,
    };
    if rng.bool() {
        builder = builder.prefetch_bytes(rng.usize(1..100));
    }
    if let Some(attempt_max) = maybe(rng, |rng| rng.u32(1..9)) {
        builder = builder.poison_after(attempt_max);
    }
    if let Some(rate) = maybe(rng, draw_rate) {
        builder = builder.rate(rate);
    }
    if rng.bool() {
        builder = builder.handler_timeout(Timeout {
            soft: millis(rng.u64(0..10_000)),
            cancel: millis(rng.u64(0..3_000)),
            stuck: millis(rng.u64(0..3_000)),
        });
    }
    if is_ordered {
        let is_touchy = rng.u8(0..4) == 0;
        let policy = match rng.bool() {
            true => NackedHead::Stall,
            false => NackedHead::ReleaseTail,
        };
        let key_of = move |message: &Message| {
            let id = message.id.as_str();
            assert!(!is_touchy || !id.ends_with('7'), "no key");
            key_of(id).map(|key| OrderKey::of(&key))
        };
        builder = builder.ordered_by(key_of).nacked_head(policy);
    }
    let (clock, pause) = (rig.clock.clone(), millis(rng.u64(0..3_000)));
    builder.after_stop("a hook", seconds(2), async move {
        clock.sleep(pause).await;
        Ok(())
    })
}

fn throw(rng: &mut Rng) -> (u8, Duration) {
    let pause = match rng.u8(0..8) {
        0 => rng.u64(0..100_000),
        1 => 0,
        _ => rng.u64(0..3_000),
    };
    (rng.u8(0..16), millis(pause))
}

#[test]
fn whatever_is_set_and_whatever_happens_the_ledger_adds_up() {
    for seed in 0..SEEDS {
        live(seed);
    }
}

/// How many lives are lived.
const SEEDS: u64 = 120;
