use fastrand::Rng;
use futures::future::pending;

use super::ordering::{key, ordered};
use super::testing::{Rig, millis, seconds, sleeper};
use crate::{Clock, Delivery, Event, Message, OrderKey, Plan, Rate, Settle, Verdict};

/// Ids of so many bytes; the payload of a message is its id.
fn ids(count: usize, bytes: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!("{n:0>bytes$}"))
}

#[test]
fn bytes_bound_what_is_in_hand_and_are_all_given_back() {
    let mut rig = Rig::new();
    rig.broker.publish(ids(100, 100));
    let handler = sleeper(&rig.clock, seconds(1));
    let builder = rig.builder().prefetch_bytes(2000).concurrency(2);
    let consumer = builder.handler(handler).build();
    let control = rig.begin(consumer);

    let mut most = 0;
    for _ in 0..50 {
        assert!(rig.advance(millis(500)).is_none());
        let stats = control.stats();
        assert_eq!(stats.bytes, 100 * stats.outstanding);
        most = most.max(stats.bytes);
    }

    // What fits is learned with the first messages, and no more than that is asked for.
    assert!((1500..=2000).contains(&most), "{most}");
    let report = rig.finish();
    assert_eq!((report.totals.acked, report.totals.shed), (100, 0));
    assert_eq!(control.stats().bytes, 0);
}

#[test]
fn the_intake_rests_until_a_fifth_is_free() {
    let mut rig = Rig::new();
    rig.broker.publish(ids(100, 8));
    let handler = sleeper(&rig.clock, seconds(1));
    let builder = rig.builder().prefetch(20).concurrency(1);
    rig.start(builder.handler(handler).build().run());
    assert!(rig.settle().is_none());
    let receives = rig.broker.with(|state| state.receives);

    assert!(rig.advance(millis(3_500)).is_none());
    assert_eq!(rig.broker.with(|state| state.receives), receives);
    assert!(rig.advance(seconds(1)).is_none());
    assert_eq!(rig.broker.with(|state| state.receives), receives + 1);
    assert_eq!(rig.finish().totals.acked, 100);
}

#[test]
fn messages_larger_than_the_limit_pass_one_by_one() {
    let mut rig = Rig::new();
    rig.broker.publish(ids(5, 1000));
    let handler = sleeper(&rig.clock, seconds(1));
    let consumer = rig.builder().prefetch_bytes(100).handler(handler).build();
    let control = rig.begin(consumer);

    for _ in 0..4 {
        assert!(rig.advance(millis(900)).is_none());
        assert_eq!(control.stats().outstanding, 1);
        assert!(rig.advance(millis(100)).is_none());
    }

    let report = rig.finish();
    assert_eq!((report.totals.acked, report.totals.shed), (5, 0));
}

#[test]
fn what_a_broker_delivers_beyond_twice_the_limit_is_handed_back_newest_first() {
    let mut rig = Rig::new();
    rig.broker.publish(ids(30, 8));
    rig.broker.with(|state| state.overshoot = 3);
    let handler = sleeper(&rig.clock, seconds(1));
    let builder = rig.builder().prefetch(10).concurrency(2);
    let consumer = builder.handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    let stats = control.stats();
    assert_eq!((stats.totals.received, stats.totals.shed), (30, 10));
    assert_eq!((stats.outstanding, stats.totals.released), (20, 10));
    let settled = rig.broker.settled();
    let uncounted = Settle::Nack {
        after: seconds(0),
        counted: false,
    };
    assert!(settled.iter().all(|(_, settle, _)| *settle == uncounted));
    let newest: Vec<_> = ids(30, 8).skip(20).collect();
    assert!(settled.iter().map(|(id, ..)| id).eq(&newest));
    assert_eq!(rig.count(|event| matches!(event, Event::Shed(_))), 10);

    let report = rig.finish();
    assert_eq!(report.totals.acked, 30);
    assert_eq!(report.totals.released, report.totals.shed);
    assert_eq!(report.totals.redelivered, 0, "none of it was an attempt");
}

#[test]
fn what_is_too_large_is_handed_back_while_there_is_enough_else() {
    let mut rig = Rig::new();
    rig.broker.publish(ids(4, 300));
    rig.broker.with(|state| state.overshoot = 1000);
    let handler = sleeper(&rig.clock, seconds(1));
    let builder = rig.builder().prefetch_bytes(500).handler(handler);
    let consumer = builder.build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    let stats = control.stats();
    assert_eq!(
        (stats.bytes, stats.outstanding, stats.totals.shed),
        (900, 3, 1)
    );
    assert_eq!(rig.finish().totals.acked, 4);
}

#[test]
fn shedding_does_not_disturb_the_order_of_a_key() {
    let mut rig = Rig::new();
    rig.broker
        .publish((0..30).map(|n| format!("{}-{n:02}", n % 3)));
    rig.broker.with(|state| state.overshoot = 3);
    let builder = ordered(&rig).prefetch(10).concurrency(4);
    let handler = sleeper(&rig.clock, seconds(1));
    let report = rig.run(builder.handler(handler).build().run());

    assert!(report.totals.shed > 0);
    let acked = rig.broker.settled();
    let acked = acked.iter().filter(|(_, settle, _)| *settle == Settle::Ack);
    let acked: Vec<_> = acked.map(|(id, ..)| id.clone()).collect();
    assert_eq!(acked.len(), 30);
    for name in ["0", "1", "2"] {
        let of_key = acked.iter().filter(|id| key(id) == Some(name));
        assert!(of_key.is_sorted(), "{acked:?}");
    }
}

/// Whatever is set and whatever happens, the end comes and everything was given back.
#[test]
fn pauses_changes_rates_keys_and_limits_go_together() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let mut rig = Rig::new();
        let count = rng.usize(0..60);
        let bytes = rng.usize(3..200);
        rig.broker.publish(ids(count, bytes));
        rig.broker.with(|state| {
            state.overshoot = rng.usize(1..5);
            state.ends = false;
            state.settle_latency = millis(rng.u64(0..500));
        });
        let (clock, dice) = (rig.clock.clone(), std::cell::RefCell::new(rng.fork()));
        let handler = async move |_: &Delivery| {
            let (kind, pause) = {
                let mut dice = dice.borrow_mut();
                (dice.u8(0..8), dice.u64(0..5_000))
            };
            clock.sleep(millis(pause)).await;
            match kind {
                0 => panic!("a planned panic"),
                1 => Verdict::Retry { after: None },
                2 => Verdict::Postpone {
                    after: millis(pause),
                },
                3 => pending().await,
                _ => Verdict::Ack,
            }
        };
        let mut builder = rig.builder().max_deliveries(1000).lease_max(seconds(30));
        if rng.bool() {
            let keys = rng.u8(1..6);
            builder = builder.ordered_by(move |message: &Message| {
                let key = message.payload.last().map(|last| last % keys)?;
                (key > 0).then(|| OrderKey::of(&key))
            });
        }
        let consumer = builder
            .prefetch(rng.usize(1..30))
            .prefetch_bytes(rng.usize(1..5_000))
            .handler(handler)
            .build();
        let control = rig.begin(consumer);
        for _ in 0..rng.usize(0..30) {
            match rng.u8(0..6) {
                0 => control.pause(),
                1 => control.resume(),
                2 => control.set_concurrency(rng.usize(0..20)),
                3 => control.set_rate(None),
                _ => control.set_rate(Some(Rate {
                    count: rng.u32(0..20),
                    period: millis(rng.u64(0..5_000)),
                    burst: rng.u32(0..5),
                })),
            }
            assert!(
                rig.advance(millis(rng.u64(0..10_000))).is_none(),
                "seed {seed}"
            );
            let stats = control.stats();
            assert!(
                stats.bytes == bytes * stats.outstanding,
                "seed {seed}: {stats:?}"
            );
        }
        let stopped = rig.clock.now();

        control.stop(Plan::default());
        let report = rig.finish();

        assert!(rig.clock.now() - stopped <= seconds(26), "seed {seed}");
        let stats = control.stats();
        assert_eq!((stats.bytes, stats.stalled_keys), (0, 0), "seed {seed}");
        let gone = report.totals.acked + report.totals.dead_lettered;
        assert_eq!(rig.broker.left() + gone as usize, count, "seed {seed}");
    }
}
