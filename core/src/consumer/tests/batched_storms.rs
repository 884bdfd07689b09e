use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Mutex;

use fastrand::Rng;

use super::testing::{Rig, millis, seconds};
use crate::control::lock;
use crate::{Backoff, Batched, Delivery, Plan, Timeout, Verdict};

#[test]
fn whatever_becomes_of_a_batch_each_message_has_one_end() {
    let timeout = Timeout {
        soft: seconds(4),
        cancel: seconds(3),
        stuck: seconds(2),
    };
    for seed in 0..60 {
        let mut rig = Rig::new();
        let rng = Rc::new(Mutex::new(Rng::with_seed(seed)));
        let draw = {
            let rng = Rc::clone(&rng);
            move |end: u64| lock(&rng).u64(..end)
        };
        rig.broker.publish((0..40).map(|n| n.to_string()));
        let seen = Rc::new(Mutex::new((HashSet::new(), 0)));
        let (clock, dice, met) = (rig.clock.clone(), draw.clone(), Rc::clone(&seen));
        let function = move |deliveries: Vec<Delivery>| {
            let (tokens, again) = &mut *lock(&met);
            for delivery in &deliveries {
                // Noted: a panic in here would be taken for the function's.
                *again += usize::from(!tokens.insert(delivery.lease_token().clone()));
            }
            let (clock, dice) = (clock.clone(), dice.clone());
            async move {
                clock.sleep(millis(dice(12_000))).await;
                assert!(dice(8) > 0, "planned");
                let verdict = |_| match dice(8) {
                    0 => Verdict::Retry { after: None },
                    1 => Verdict::Postpone { after: seconds(1) },
                    2 => Verdict::Dead("planned".to_owned()),
                    _ => Verdict::Ack,
                };
                (0..deliveries.len()).map(verdict).collect()
            }
        };
        let count_max = 1 + usize::try_from(draw(8)).expect("a few");
        let handler = Batched::new(count_max, millis(draw(9_000)), function);
        let backoff = Backoff {
            max: seconds(2),
            ..Backoff::default()
        };
        let builder = rig.builder().handler_timeout(timeout).backoff(backoff);
        let builder = builder.concurrency(1 + usize::try_from(draw(20)).expect("a few"));
        let consumer = builder.max_deliveries(100).handler(handler).build();
        let control = rig.begin(consumer);
        let mut report = rig.advance(millis(draw(40_000)));
        if seed % 2 == 0 && report.is_none() {
            control.stop(Plan {
                drain: millis(draw(9_000)),
                ..Plan::default()
            });
            report = rig.settle();
        }

        // Balanced, as the rig asserts.
        let report = report.unwrap_or_else(|| rig.finish());

        assert_eq!(lock(&seen).1, 0, "seed {seed}: in two batches");
        assert!(report.error.is_none(), "seed {seed}: {report:?}");
        let totals = report.totals;
        assert_eq!((totals.abandoned, totals.expired), (0, 0), "seed {seed}");
        if seed % 2 == 1 {
            assert_eq!(totals.acked + totals.dead_lettered, 40, "seed {seed}");
        }
        assert_eq!(Rc::strong_count(&seen), 1, "seed {seed}: nothing is left");
    }
}
