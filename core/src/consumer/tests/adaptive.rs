use std::time::Duration;

use super::testing::{Rig, millis, seconds};
use crate::{Delivery, Handler, Report, Verdict};

const MIN: Duration = Duration::from_secs(10);
const MAX: Duration = Duration::from_secs(600);

/// Sleeps as long as the id of the message says, in seconds.
fn sleeper_by_id(rig: &Rig) -> impl Handler + use<> {
    let clock = rig.clock.clone();
    async move |delivery: &Delivery| {
        let count = delivery.id().as_str().split('-').next().expect("a part");
        clock.sleep(seconds(count.parse().expect("a number"))).await;
        Verdict::Ack
    }
}

/// Ten handlers of half an hour, while calls of `extend` become slower every second, from 1 ms to
/// a minute, half of it on the way to the broker.
fn ramp(rig: &mut Rig, is_adaptive: bool) -> Option<Report> {
    rig.broker.publish((0..10).map(|n| format!("1800-{n}")));
    let builder = rig.builder().lease_max(seconds(7200));
    let builder = if is_adaptive {
        builder.lease_adaptive(MIN..=MAX)
    } else {
        builder.lease(MIN)
    };
    rig.start(builder.handler(sleeper_by_id(rig)).build().run());
    for step in 0..600 {
        rig.broker.with(|state| {
            let round_trip = millis(1 + step * 100);
            (state.extend_delay, state.extend_latency) = (round_trip / 2, round_trip / 2);
        });
        assert!(rig.advance(seconds(1)).is_none());
    }
    rig.advance(seconds(1300))
}

#[test]
fn calls_that_become_slower_and_slower_lose_no_lease() {
    let mut rig = Rig::new();

    let report = ramp(&mut rig, true).expect("every handler has ended");

    assert_eq!((rig.lost(), report.totals.acked), (0, 10));
    assert_eq!(report.totals.received, 10, "each was delivered once");
}

#[test]
fn a_fixed_lease_would_have_been_lost_then() {
    let mut rig = Rig::new();

    // Whether it has ended by now does not matter.
    drop(ramp(&mut rig, false));
    rig.abort();
    assert!(rig.lost() > 0);
}

#[test]
fn no_extension_makes_a_lease_shorter() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    // Slow ones make leases long; then only quick ones come, and a lease is short again.
    rig.broker.publish(["300-a", "300-b", "1000-c"]);
    let handler = sleeper_by_id(&rig);
    let builder = rig.builder().lease_adaptive(MIN..=MAX).handler(handler);
    let consumer = builder.build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(301)).is_none());
    let long = control.metrics().lease;
    for step in 0..600 {
        rig.broker.publish([format!("1-{step}")]);
        assert!(rig.advance(seconds(1)).is_none());
    }
    let short = control.metrics().lease;

    assert!(
        long >= seconds(300) && short < long / 2,
        "{long:?}, {short:?}"
    );
    assert_eq!(rig.broker.with(|state| state.shortened), 0);
    assert_eq!(rig.lost(), 0);
}

#[test]
fn handlers_that_take_long_need_few_extensions() {
    let extended = |is_adaptive| {
        let mut rig = Rig::new();
        rig.broker.publish((0..20).map(|n| format!("55-{n}")));
        let builder = rig.builder().concurrency(1).lease_max(seconds(7200));
        let builder = if is_adaptive {
            builder.lease_adaptive(MIN..=MAX)
        } else {
            builder.lease(MIN)
        };
        let report = rig.run(builder.handler(sleeper_by_id(&rig)).build().run());
        assert_eq!((rig.lost(), report.totals.acked), (0, 20));
        report.totals.extended
    };

    assert!(extended(true) * 4 < extended(false));
}

#[test]
fn a_lease_shorter_than_the_margin_is_extended_at_receipt_and_others_at_half() {
    let mut rig = Rig::new();
    rig.broker.with(|state| {
        state.ends = false;
        state.extend_delay = seconds(3);
    });
    let handler = sleeper_by_id(&rig);
    let builder = rig.builder().lease_adaptive(MIN..=MAX).handler(handler);
    rig.start(builder.build().run());
    let calls = |rig: &Rig| rig.broker.with(|state| state.extend_batches.len());
    rig.broker.publish(["100-a"]);

    // A lease of 10 s of which nothing else is known: at half of it, or a tenth earlier.
    assert!(rig.advance(millis(4_300)).is_none());
    assert_eq!(calls(&rig), 0);
    assert!(rig.advance(millis(800)).is_none());
    assert_eq!(calls(&rig), 1);
    // The call took 3 s: three of those are a margin that a lease of 10 s hardly has.
    assert!(rig.advance(seconds(20)).is_none());
    let before = calls(&rig);
    rig.broker.publish(["100-b"]);
    assert!(rig.advance(seconds(1)).is_none());
    assert_eq!(calls(&rig), before + 1, "at once");
    assert_eq!(rig.lost(), 0);
}

#[test]
fn what_is_being_extended_is_not_lost_by_a_stop() {
    let mut rig = Rig::new();
    rig.broker.publish(["40-a", "40-b"]);
    let handler = sleeper_by_id(&rig);
    let builder = rig.builder().lease_adaptive(MIN..=MAX).handler(handler);
    let consumer = builder.build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(6)).is_none());

    control.stop(crate::Plan {
        drain: seconds(60),
        ..crate::Plan::default()
    });
    let report = rig.finish();

    assert_eq!((report.totals.acked, rig.lost()), (2, 0));
}
