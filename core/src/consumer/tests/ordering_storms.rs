use std::sync::{Arc, Mutex};

use fastrand::Rng;

use super::ordering::{key, ordered};
use super::testing::{Fault, Rig, Turns, millis, seconds};
use crate::control::lock;
use crate::{Delivery, NackedHead, Verdict};

/// With a broker that redelivers in time, each key is acked in the order in which it was published,
/// whatever fails and whoever panics; whatever the broker does, no key has two handlers at a time
/// and nothing is held for ever.
#[test]
fn no_key_is_ever_handled_twice_at_a_time_or_stuck() {
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let mut rig = Rig::new();
        let (count, keys) = (rng.usize(1..60), rng.usize(1..6));
        let ids: Vec<_> = (0..count)
            .map(|n| format!("{}-{n:02}", rng.usize(0..keys)))
            .collect();
        rig.broker.publish(ids.clone());
        let is_calm = rng.bool();
        let faults = [Fault::Retryable, Fault::Hang, Fault::Short, Fault::Lost];
        rig.broker.with(|state| {
            state.settle_latency = millis(rng.u64(0..800));
            state.extend_latency = millis(rng.u64(0..800));
            if !is_calm {
                let mut draw = || (0..3).map(|_| faults[rng.usize(0..4)]).collect();
                (state.settle_faults, state.extend_faults) = (draw(), draw());
            }
        });
        let acked = Arc::new(Mutex::new(Vec::new()));
        let turns = Turns::default();
        let taken = turns.clone();
        let (clock, dice, told) = (
            rig.clock.clone(),
            Mutex::new(rng.fork()),
            Arc::clone(&acked),
        );
        let handler = async move |delivery: &Delivery| {
            let (kind, pause) = {
                let mut dice = lock(&dice);
                (dice.u8(0..8), dice.u64(0..3_000))
            };
            let name = key(delivery.id().as_str()).expect("a key").to_owned();
            let _turn = taken.take(name);
            let pause = if kind == 0 && !is_calm {
                9 * pause
            } else {
                pause
            };
            clock.sleep(millis(pause)).await;
            match kind {
                1 => panic!("a planned panic"),
                2 | 3 => Verdict::Retry {
                    after: Some(millis(pause)),
                },
                4 => Verdict::Postpone {
                    after: millis(pause),
                },
                _ => {
                    lock(&told).push(delivery.id().to_string());
                    Verdict::Ack
                }
            }
        };
        let policy = if is_calm || rng.bool() {
            NackedHead::Stall
        } else {
            NackedHead::ReleaseTail
        };
        let lease_max = if is_calm { 3000 } else { rng.u64(15..60) };
        let builder = ordered(&rig)
            .nacked_head(policy)
            .lease_max(seconds(lease_max));
        let consumer = builder
            .max_deliveries(1000)
            .concurrency(rng.usize(1..9))
            .handler(handler)
            .build();
        let control = consumer.control();

        let report = rig.run(consumer.run());

        assert!(report.is_balanced(), "seed {seed}");
        assert_eq!(turns.overlaps(), 0, "seed {seed}: two of a key at a time");
        assert!(turns.are_over(), "seed {seed}");
        assert_eq!(
            (rig.broker.left(), control.stats().stalled_keys),
            (0, 0),
            "seed {seed}"
        );
        if is_calm {
            let acked = lock(&acked).clone();
            for name in 0..keys {
                let is_it = |id: &&String| key(id) == Some(&*name.to_string());
                let (of_key, published): (Vec<_>, Vec<_>) = (
                    acked.iter().filter(is_it).collect(),
                    ids.iter().filter(is_it).collect(),
                );
                assert_eq!(of_key, published, "seed {seed}");
            }
        }
    }
}
