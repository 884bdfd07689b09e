use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use super::{LeaseSettings, LeaseTable};
use crate::lease::testing::{LEASE, Message, at, insert};
use crate::lease::timers::POLL_COUNT_MAX;
use crate::lease::{Commands, ExtendBatch, Handle, Lease};
use crate::metrics::Tally;
use crate::{Instant, LeaseToken, MessageId, Outcome};

fn table(extend_count_max: usize, lease_max: Duration) -> LeaseTable<Message> {
    LeaseTable::new(LeaseSettings {
        lease: LEASE,
        adaptive: None,
        seed: 0,
        lease_max,
        extend_count_max,
    })
}

fn done(table: &mut LeaseTable<Message>, batch: &ExtendBatch) -> Vec<Handle> {
    table.answered(batch.sent, batch.sent);
    table.extended(
        &batch.members,
        batch.sent,
        &vec![Outcome::Done; batch.members.len()],
    )
}

fn only(commands: Commands) -> ExtendBatch {
    assert!(commands.lost.is_empty() && !commands.is_more);
    commands.batch.expect("a batch")
}

/// Every batch that may be sent now.
fn batches(table: &mut LeaseTable<Message>, now: Instant) -> Vec<ExtendBatch> {
    std::iter::from_fn(|| table.poll(now).batch).collect()
}

#[test]
fn a_lease_is_extended_when_half_of_it_is_left() {
    let mut table = table(10, LEASE * 100);
    let handle = insert(&mut table, at(0), "a", at(10));

    assert_eq!(table.next_wake(), Some(at(5)));
    assert!(table.poll(at(4)).batch.is_none());
    let batch = only(table.poll(at(5)));

    assert_eq!(batch.extensions[0].duration, LEASE);
    assert!(table.get(handle).is_some_and(|lease| lease.is_extending));
    done(&mut table, &batch);
    assert_eq!(table.get(handle).map(|lease| lease.deadline), Some(at(15)));
    assert_eq!(table.next_wake(), Some(at(10)));
}

#[test]
fn the_first_extension_of_a_short_lease_is_at_half_of_that() {
    let mut table = table(10, LEASE * 100);
    insert(&mut table, at(0), "a", at(2));

    let wake = table.next_wake().expect("a timer");

    assert!(
        wake <= at(1) && wake + Duration::from_millis(40) >= at(1),
        "{wake:?}"
    );
}

#[test]
fn an_extension_never_goes_beyond_the_longest_lease() {
    let mut table = table(10, Duration::from_secs(12));
    let handle = insert(&mut table, at(0), "a", at(10));

    let batch = only(table.poll(at(5)));
    assert_eq!(batch.extensions[0].duration, Duration::from_secs(7));
    done(&mut table, &batch);

    let mut lost = Vec::new();
    while let Some(now) = table.next_wake() {
        let commands = table.poll(now);
        assert!(commands.batch.is_none());
        lost.extend(commands.lost.into_iter().map(|handle| (handle, now)));
    }
    assert_eq!(lost, [(handle, at(12))]);
}

#[test]
fn batches_are_full_and_hold_the_earliest_deadlines_first() {
    let mut table = table(4, LEASE * 100);
    for number in (0..10).rev() {
        let deadline = at(10) + Duration::from_millis(100 * number);
        insert(&mut table, at(0), &number.to_string(), deadline);
    }

    let ids: Vec<Vec<String>> = batches(&mut table, at(6))
        .iter()
        .map(|batch| {
            batch
                .extensions
                .iter()
                .map(|one| one.id.to_string())
                .collect()
        })
        .collect();
    let expected: [&[&str]; 3] = [&["0", "1", "2", "3"], &["4", "5", "6", "7"], &["8", "9"]];
    assert_eq!(ids, expected);
}

#[test]
fn settled_leases_that_are_due_take_no_place_in_a_small_batch() {
    let mut table = table(4, LEASE * 100);
    for number in 0..24 {
        let deadline = at(10) + Duration::from_millis(10 * number);
        let handle = insert(&mut table, at(0), &number.to_string(), deadline);
        if number < 20 {
            table.settle(handle);
        }
    }

    let counts: Vec<usize> = batches(&mut table, at(6))
        .iter()
        .map(|batch| batch.extensions.len())
        .collect();

    assert_eq!(counts, [4], "in one call");
}

#[test]
fn only_a_few_calls_are_on_their_way_and_the_rest_still_runs_out() {
    let mut table = table(1, LEASE * 100);
    let handles: Vec<Handle> = (0..9)
        .map(|number| insert(&mut table, at(0), &number.to_string(), at(10)))
        .collect();

    assert_eq!(batches(&mut table, at(5)).len(), 4);

    let urgent = Instant::ZERO + Duration::from_millis(7_500);
    assert_eq!(
        table.next_wake(),
        Some(urgent),
        "half of the margin is left"
    );
    assert_eq!(batches(&mut table, urgent).len(), 5);
    assert_eq!(table.next_wake(), Some(at(10)), "an answer or the end");
    let lost = table.poll(at(10)).lost;
    assert_eq!(lost.len(), handles.len());
}

#[test]
fn a_failed_batch_is_tried_again_at_the_time_given() {
    let mut table = table(10, LEASE * 100);
    insert(&mut table, at(0), "a", at(10));
    let batch = only(table.poll(at(5)));

    table.answered(at(6), batch.sent);
    table.extend_later(at(7));
    table.extend_failed(&batch.members);

    assert!(table.poll(at(6)).batch.is_none());
    assert_eq!(table.next_wake(), Some(at(7)));
    assert_eq!(only(table.poll(at(7))).extensions[0].id.as_str(), "a");
}

#[test]
fn a_settling_lease_is_not_extended_and_a_sent_one_is_not_lost() {
    let mut table = table(10, LEASE * 100);
    let settling = insert(&mut table, at(0), "settling", at(10));
    let sent = insert(&mut table, at(0), "sent", at(10));
    table.settle(settling);
    table.settle(sent);
    table.send(sent);

    assert!(table.poll(at(9)).batch.is_none());
    assert_eq!(table.poll(at(10)).lost, [settling]);

    table.unsend(sent);
    assert_eq!(table.poll(at(10)).lost, [sent]);
}

#[test]
fn an_answer_about_an_older_token_changes_nothing() {
    let mut table = table(10, LEASE * 100);
    let handle = insert(&mut table, at(0), "a", at(10));
    let batch = only(table.poll(at(5)));

    let second = LeaseToken::from("second");
    assert_eq!(table.find(&MessageId::from("a")), Some(handle));
    table.adopt(at(6), handle, (&second, 2), at(16));
    table.answered(batch.sent, batch.sent);
    let lost = table.extended(&batch.members, batch.sent, &[Outcome::Gone]);

    assert!(lost.is_empty());
    let lease = table.get(handle).expect("a lease");
    assert_eq!((lease.token().as_str(), lease.deadline), ("second", at(16)));
    assert!(!lease.is_lost && !table.is_current(batch.members[0]));
}

#[test]
fn a_lost_lease_stays_lost_and_is_not_extended() {
    let mut table = table(10, LEASE * 100);
    let handle = insert(&mut table, at(0), "a", at(10));
    let batch = only(table.poll(at(5)));

    assert_eq!(table.poll(at(10)).lost, [handle]);
    done(&mut table, &batch);

    let second = LeaseToken::from("second");
    table.adopt(at(11), handle, (&second, 2), at(21));
    assert!(table.get(handle).is_some_and(|lease| lease.is_lost));
    assert_eq!(table.next_wake(), None);
}

#[test]
fn an_answer_about_a_removed_lease_does_not_touch_its_successor() {
    let mut table = table(10, LEASE * 100);
    let old = insert(&mut table, at(0), "old", at(10));
    let batch = only(table.poll(at(5)));
    table.remove(old);
    let new = insert(&mut table, at(6), "new", at(16));

    table.answered(batch.sent, batch.sent);
    let lost = table.extended(&batch.members, batch.sent, &[Outcome::Gone]);

    assert!(lost.is_empty());
    assert!(table.get(new).is_some_and(|lease| !lease.is_lost));
}

#[test]
fn without_extensions_leases_run_out_and_that_is_told_before() {
    let mut table = table(0, LEASE * 100);
    let handle = insert(&mut table, at(0), "a", at(10));
    let short = insert(&mut table, at(0), "b", at(0) + LEASE / 10);

    for (handle, end, span) in [(short, at(1), LEASE / 10), (handle, at(10), LEASE)] {
        let told = end - span / 8;
        let wake = table.next_wake();
        assert!(wake <= Some(told) && wake > Some(told - LEASE / 256));
        assert_eq!(table.poll(told).ending, [handle]);
        assert_eq!(table.next_wake(), Some(end));
        assert_eq!(table.poll(end).lost, [handle]);
    }
}

#[test]
fn a_lease_that_has_lasted_longest_is_told_of_before_its_end() {
    let mut table = table(10, LEASE * 2);
    let handle = insert(&mut table, at(0), "a", at(10));
    let settling = insert(&mut table, at(0), "b", at(10));
    for now in [at(5), at(10)] {
        let batch = only(table.poll(now));
        done(&mut table, &batch);
    }
    assert_eq!(table.get(handle).map(|lease| lease.deadline), Some(at(20)));

    assert!(table.poll(at(18)).ending.is_empty());
    table.settle(settling);
    assert_eq!(table.poll(at(19)).ending, [handle]);
    assert_eq!(table.poll(at(20)).lost, [handle, settling]);
}

#[test]
fn a_poll_is_bounded() {
    let mut table = table(0, LEASE * 100);
    for number in 0..POLL_COUNT_MAX + 1 {
        insert(&mut table, at(0), &number.to_string(), at(10));
    }

    let first = table.poll(at(10));
    let second = table.poll(at(10));

    assert_eq!((first.lost.len(), first.is_more), (POLL_COUNT_MAX, true));
    assert_eq!((second.lost.len(), second.is_more), (1, false));
}

/// Against a model that looks at every lease: nothing is extended too late or after its settlement,
/// every loss is told once and in time, and in the end no timer is left.
#[test]
fn random_histories_agree_with_a_plain_model() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let mut table = table(rng.usize(1..5), Duration::from_secs(rng.u64(10..60)));
        let mut model: BTreeMap<Handle, bool> = BTreeMap::new();
        let mut flying: Vec<ExtendBatch> = Vec::new();
        let mut now = at(0);
        for step in 0..400 {
            match rng.u8(0..6) {
                0 => {
                    let deadline = now + Duration::from_millis(rng.u64(1..12_000));
                    model.insert(insert(&mut table, now, &step.to_string(), deadline), false);
                }
                1 if !flying.is_empty() => {
                    let batch = flying.swap_remove(rng.usize(0..flying.len()));
                    match rng.u8(0..3) {
                        0 => {
                            table.answered(now, batch.sent);
                            table.extend_later(now + Duration::from_millis(300));
                            table.extend_failed(&batch.members);
                        }
                        _ => assert!(done(&mut table, &batch).is_empty()),
                    }
                }
                2 => {
                    if let Some(handle) = rng.choice(model.keys().copied()) {
                        table.settle(handle);
                    }
                }
                3 => {
                    if let Some(handle) = rng.choice(model.keys().copied()) {
                        model.remove(&handle);
                        assert!(table.remove(handle));
                    }
                }
                _ => now = now + Duration::from_millis(rng.u64(0..2_000)),
            }
            loop {
                let commands = table.poll(now);
                for handle in commands.lost {
                    let was_lost = model.insert(handle, true);
                    assert_eq!(was_lost, Some(false), "seed {seed}: lost twice");
                }
                if let Some(batch) = commands.batch {
                    let is_held = |handle| model.get(handle) == Some(&false);
                    assert!(batch.members.iter().all(|member| is_held(&member.handle)));
                    flying.push(batch);
                }
                if !commands.is_more {
                    break;
                }
            }
            for (handle, is_lost) in &model {
                let lease = table.get(*handle).expect("a lease");
                assert_eq!(lease.is_lost, *is_lost, "seed {seed}");
                let tick = Duration::from_millis(1);
                assert!(
                    *is_lost || now < lease.deadline + tick,
                    "seed {seed}: not told"
                );
            }
        }
        for handle in table.handles() {
            table.remove(handle);
        }
        assert!(
            table.is_empty() && table.next_wake().is_none(),
            "seed {seed}"
        );
    }
}

#[test]
fn a_lease_takes_no_more_than_48_bytes_beside_its_owner() {
    assert_eq!(size_of::<Lease<()>>(), 48);
}

#[test]
fn a_lease_that_waits_while_leases_become_short_is_extended_later() {
    let second = Duration::from_secs(1);
    let mut table = LeaseTable::new(LeaseSettings {
        lease: second,
        adaptive: Some(second..=second * 100),
        seed: 0,
        lease_max: LEASE * 100,
        extend_count_max: 1,
    });
    table.handled(at(1), Tally::of(second * 90, 10));
    table.poll(at(1));
    let handles: Vec<_> = ["a", "b", "c", "d", "e"]
        .map(|id| insert(&mut table, at(1), id, at(100)))
        .into();
    // Four calls may be on their way; the fifth lease waits.
    let sent = batches(&mut table, at(90));
    assert_eq!(sent.len(), 4);

    table.handled(at(90), Tally::of(second / 100, 10_000));
    table.poll(at(91));
    done(&mut table, &sent[0]);
    assert!(batches(&mut table, at(91)).is_empty(), "it lasts longer");
    sent[1..]
        .iter()
        .for_each(|batch| drop(done(&mut table, batch)));

    let extended = batches(&mut table, at(100) - second / 100);
    let is_extended = |handle: &Handle| {
        let mut members = extended.iter().flat_map(|batch| &batch.members);
        members.any(|member| member.handle == *handle)
    };
    let last = sent.iter().flat_map(|batch| &batch.members);
    let last: Vec<_> = last.map(|member| member.handle).collect();
    let waited = handles.iter().find(|handle| !last.contains(handle));
    assert!(waited.is_some_and(is_extended));
}
