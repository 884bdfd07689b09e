use std::time::Duration;

use super::testing::{Rig, Unhandled, millis, seconds, sleeper};
use crate::{Rate, Timeout};

/// How many polls it takes to keep leases of a millisecond for twenty, from `micros` on.
fn polls_for_short_leases(micros: u64, settings: impl FnOnce(Unhandled) -> Unhandled) -> usize {
    let mut rig = Rig::new();
    rig.clock.block(Duration::from_micros(micros));
    rig.broker.publish(["a", "b", "c"]);
    rig.broker.with(|state| state.lease = millis(1));
    let handler = sleeper(&rig.clock, millis(20));
    let consumer = settings(rig.builder()).handler(handler).build();

    let report = rig.run(consumer.run());

    assert_eq!(report.totals.acked, 3, "{report:?}");
    rig.polls()
}

#[test]
fn leases_of_a_millisecond_are_kept_without_spinning() {
    for micros in [0, 300, 500, 999] {
        let polls = polls_for_short_leases(micros, |builder| builder.lease(millis(1)));
        assert!(polls < 500, "{polls} polls");
    }
}

#[test]
fn adaptive_leases_of_a_millisecond_are_kept_without_spinning() {
    let is_adaptive = |builder: Unhandled| builder.lease_adaptive(millis(1)..=millis(1));
    let polls = polls_for_short_leases(777, is_adaptive);
    assert!(polls < 1_000, "{polls} polls");
}

#[test]
fn a_lease_for_ever_is_asked_for_once() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let builder = rig.builder().lease(Duration::MAX).lease_max(Duration::MAX);
    let consumer = builder.handler(sleeper(&rig.clock, seconds(60))).build();

    let report = rig.run(consumer.run());

    assert_eq!(report.totals.acked, 1, "{report:?}");
    let extensions = rig.broker.with(|state| state.extend_batches.len());
    assert_eq!(extensions, 1);
}

#[test]
fn a_broker_without_a_limit_of_its_batches_may_say_so() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    rig.broker.with(|state| {
        state.caps.settle_count_max = usize::MAX;
        state.caps.extend_count_max = usize::MAX;
    });
    let consumer = rig
        .builder()
        .handler(sleeper(&rig.clock, seconds(60)))
        .build();

    let report = rig.run(consumer.run());

    assert_eq!(report.totals.acked, 3, "{report:?}");
    assert!(report.totals.extended > 0, "{report:?}");
}

#[test]
fn the_largest_settings_are_no_limits() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    let timeout = Timeout {
        soft: millis(1),
        cancel: Duration::MAX,
        stuck: Duration::MAX,
    };
    let rate = Rate {
        count: u32::MAX,
        period: Duration::MAX,
        burst: u32::MAX,
    };
    let builder = rig
        .builder()
        .concurrency(usize::MAX)
        .prefetch(1 << 40)
        .prefetch_bytes(usize::MAX)
        .max_deliveries(u32::MAX)
        .poison_after(u32::MAX)
        .nack_delay_min(Duration::MAX)
        .slow_poll(Duration::MAX)
        .lease_max(Duration::MAX)
        .handler_timeout(timeout)
        .rate(rate);
    let consumer = builder.handler(sleeper(&rig.clock, seconds(60))).build();
    let control = consumer.control();
    control.set_concurrency(usize::MAX);

    let report = rig.run(consumer.run());

    assert_eq!(report.totals.acked, 3, "{report:?}");
}

#[test]
fn the_least_settings_let_every_message_through() {
    let mut rig = Rig::new();
    rig.broker.publish((0..20).map(|id| id.to_string()));
    rig.broker.with(|state| {
        state.caps.settle_count_max = 0;
        state.caps.extend_count_max = 0;
    });
    let rate = Rate {
        count: 0,
        period: Duration::ZERO,
        burst: 0,
    };
    let builder = rig
        .builder()
        .concurrency(0)
        .prefetch(0)
        .prefetch_bytes(0)
        .lease(Duration::ZERO)
        .lease_max(Duration::ZERO)
        .max_deliveries(0)
        .poison_after(0)
        .slow_poll(Duration::ZERO)
        .rate(rate);
    let consumer = builder.handler(sleeper(&rig.clock, millis(10))).build();

    let report = rig.run(consumer.run());

    assert_eq!(report.totals.acked, 20, "{report:?}");
}
