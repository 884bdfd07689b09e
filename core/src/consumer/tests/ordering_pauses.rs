use super::ordering::{fails_once, list, ordered, second, told};
use super::testing::{Rig, seconds};
use crate::Verdict;

#[test]
fn messages_of_a_key_that_wait_too_long_are_handed_back_in_their_order() {
    let mut rig = Rig::new();
    rig.broker.publish(["a-1", "a-2", "a-3"]);
    let (handler, starts) = second(&rig, |_| Verdict::Ack);
    let consumer = ordered(&rig).lease_max(seconds(30)).handler(handler);
    let consumer = consumer.build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());
    control.pause();

    assert!(rig.advance(seconds(60)).is_none());
    let totals = control.stats().totals;
    assert_eq!((totals.acked, totals.released, totals.expired), (1, 2, 0));
    control.resume();
    let report = rig.finish();

    let expected = [("a-1", 0), ("a-2", 60_000), ("a-3", 61_000)];
    assert_eq!(told(&starts), list(&expected));
    assert_eq!((report.totals.acked, report.totals.redelivered), (3, 0));
}

#[test]
fn those_behind_a_nacked_head_wait_for_it_until_a_pause_is_over_and_a_lease_longer() {
    for is_stolen in [false, true] {
        let mut rig = Rig::new();
        rig.broker.publish(["a-1", "a-2", "a-3"]);
        let (handler, starts) = second(&rig, fails_once(5));
        let consumer = ordered(&rig).handler(handler).build();
        let control = rig.begin(consumer);
        assert!(rig.settle().is_none());
        control.pause();

        assert!(rig.advance(seconds(60)).is_none());
        let stats = control.stats();
        assert_eq!((stats.stalled_keys, stats.totals.released), (1, 0));
        if is_stolen {
            rig.broker.with(|state| state.steal("a-1"));
        }
        control.resume();
        let report = rig.finish();

        let (first, rest) = if is_stolen { ("a-2", 70) } else { ("a-1", 60) };
        assert_eq!(told(&starts)[1], (first.to_owned(), rest * 1000));
        let released = if is_stolen { 2 } else { 0 };
        assert_eq!(
            (report.totals.released, report.totals.expired),
            (released, 0)
        );
        let keys: Vec<_> = told(&starts).into_iter().map(|(id, _)| id).collect();
        assert!(keys[1..].is_sorted(), "{keys:?}");
    }
}
