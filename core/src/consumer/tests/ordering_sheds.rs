use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ordering::{ordered, second, told};
use super::testing::{Rig, seconds};
use crate::{Clock, Event, Verdict};

/// A world whose broker delivers four times as many messages as it is asked for, and the ids of
/// those of key `a` in the order of their starts, where somebody else has taken `stolen`.
fn starts_of_a(stolen: Option<&str>, can_delay: bool) -> (Rig, Vec<String>) {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.caps.nack_delay = can_delay);
    // Asked for are two; there is room for four, then four are shed, and the last comes next.
    rig.broker
        .publish(["a-1", "b-1", "c-1", "-1", "a-2", "a-3", "d-1", "-2", "a-4"]);
    rig.broker.with(|state| state.overshoot = 4);
    let (handler, starts) = second(&rig, |_| Verdict::Ack);
    let consumer = ordered(&rig).prefetch(2).handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());
    assert_eq!(control.stats().totals.shed, 4);
    rig.broker.with(|state| {
        state.overshoot = 1;
        state.steal(stolen.unwrap_or("nobody"));
    });

    let report = rig.advance(seconds(60)).expect("an end");
    assert_eq!(report.totals.released, report.totals.shed);

    let ids = told(&starts).into_iter().map(|(id, _)| id);
    let of_a = ids.filter(|id| id.starts_with('a')).collect();
    (rig, of_a)
}

#[test]
fn a_message_does_not_overtake_one_of_its_key_that_was_shed() {
    for can_delay in [true, false] {
        let (rig, starts) = starts_of_a(None, can_delay);

        assert_eq!(starts, ["a-1", "a-2", "a-3", "a-4"]);
        let is_shed = |event: &Event| matches!(event, Event::Shed(key) if key.id.as_str() == "a-4");
        assert!(rig.count(is_shed) >= 1);
    }
}

#[test]
fn a_message_that_was_shed_and_does_not_come_back_is_waited_for_no_longer_than_a_lease() {
    for can_delay in [true, false] {
        let (rig, starts) = starts_of_a(Some("a-2"), can_delay);

        assert_eq!(starts.len(), 3, "{starts:?}");
        let shed = rig.count(|event| matches!(event, Event::Shed(_)));
        assert!(rig.clock.now().as_nanos() < 15_000_000_000);
        assert!(shed < 250, "not again and again: {shed}");
    }
}

#[test]
fn a_panic_over_a_key_is_told_of_a_message_that_is_shed_as_well() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "a-2", "a-3", "bad"]);
    rig.broker.with(|state| state.overshoot = 4);
    let panics = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&panics);
    let builder = rig.builder().prefetch(1).ordered_by(move |message| {
        if message.id.as_str() == "bad" {
            // Relaxed: counted in one thread.
            seen.fetch_add(1, Ordering::Relaxed);
            panic!("a planned panic");
        }
        None
    });
    let (handler, _) = second(&rig, |_| Verdict::Ack);

    let report = rig.run(builder.max_deliveries(2).handler(handler).build().run());

    let panics = panics.load(Ordering::Relaxed);
    let is_told = |event: &Event| matches!(event, Event::HandlerPanicked { .. });
    assert!(panics > report.totals.dead_lettered + report.totals.retried);
    assert_eq!(rig.count(is_told) as u64, panics);
    assert_eq!(report.totals.panicked, panics);
}
