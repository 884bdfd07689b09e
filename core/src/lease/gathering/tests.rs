use std::time::Duration;

use super::GATHER_COUNT_MAX;
use crate::lease::testing::{LEASE, Message, at, insert};
use crate::lease::{ExtendBatch, Handle, LeaseSettings, LeaseTable};
use crate::{Instant, LeaseToken, Outcome};

/// A batch is gathered in three parts.
const COUNT_MAX: usize = 3 * GATHER_COUNT_MAX;

/// A table with `count` leases, all due for an extension at 5 s.
fn full_table(count: usize, lease_max: Duration) -> (LeaseTable<Message>, Vec<Handle>) {
    let mut table = LeaseTable::new(LeaseSettings {
        lease: LEASE,
        adaptive: None,
        seed: 0,
        lease_max,
        extend_count_max: COUNT_MAX,
    });
    let numbers = 0..count;
    let handles = numbers
        .map(|number| insert(&mut table, at(0), &number.to_string(), at(10)))
        .collect();
    (table, handles)
}

/// A table of which the first part of a batch is gathered, at 6 s.
fn gathering_table(count: usize) -> (LeaseTable<Message>, Vec<Handle>) {
    let (mut table, handles) = full_table(count, LEASE * 100);
    begin(&mut table, at(6));
    (table, handles)
}

/// Gathers the first part of a batch.
fn begin(table: &mut LeaseTable<Message>, now: Instant) {
    let first = table.poll(now);
    assert!(first.batch.is_none() && first.is_more);
}

/// The next batch, however many polls it takes, and how many that were.
fn next(table: &mut LeaseTable<Message>, now: Instant) -> (Option<ExtendBatch>, usize) {
    let mut polls = 0;
    loop {
        let commands = table.poll(now);
        polls += 1;
        assert!(commands.lost.is_empty());
        if commands.batch.is_some() || !commands.is_more {
            return (commands.batch, polls);
        }
        assert!(polls < 100, "it goes round in circles");
    }
}

/// Whose leases a batch extends, in the order of their handles.
fn handles_of(batch: Option<ExtendBatch>) -> Vec<Handle> {
    let batch = batch.expect("a batch");
    assert_eq!(batch.members.len(), batch.extensions.len());
    let mut handles: Vec<_> = batch.members.iter().map(|member| member.handle).collect();
    handles.sort_unstable();
    handles
}

#[test]
fn a_large_batch_is_gathered_a_part_at_a_time_and_sent_whole() {
    let (mut table, handles) = full_table(COUNT_MAX + 1, LEASE * 100);

    let first = table.poll(at(6));
    assert!(first.batch.is_none() && first.is_more);
    assert!(table.next_wake().is_some_and(|wake| wake <= at(6)));
    let (batch, polls) = next(&mut table, at(6));

    let mut members = handles_of(batch);
    assert_eq!((members.len(), polls), (COUNT_MAX, 2));
    members.extend(handles_of(next(&mut table, at(6)).0));
    members.sort_unstable();
    assert_eq!(members, handles);
}

#[test]
fn an_extension_counts_from_when_it_is_sent() {
    let (mut table, _) = full_table(COUNT_MAX, Duration::from_millis(16_500));

    begin(&mut table, at(6));
    let (batch, _) = next(&mut table, at(7));

    let batch = batch.expect("a batch");
    assert_eq!((batch.sent, batch.earliest), (at(7), at(10)));
    let left = Duration::from_millis(9_500);
    assert!(batch.extensions.iter().all(|one| one.duration == left));
    let end = at(7) + left;
    assert!(batch.members.iter().all(|member| member.deadline == end));
}

#[test]
fn a_lease_that_is_settled_lost_or_forgotten_leaves_the_batch_before_it_is_sent() {
    let (mut table, handles) = gathering_table(COUNT_MAX + 3);

    let settling = table.settle(handles[0]).expect("a lease");
    assert!(!settling.is_extending, "nothing of it is on its way");
    table.lose(handles[1]);
    table.remove(handles[2]);
    let (batch, _) = next(&mut table, at(6));

    assert_eq!(handles_of(batch), handles[3..], "full all the same");
}

#[test]
fn a_renamed_lease_is_extended_under_its_new_token_only() {
    let (mut table, handles) = gathering_table(COUNT_MAX);

    let second = LeaseToken::from("second");
    table.adopt(at(6), handles[0], (&second, 2), at(8));
    let (batch, _) = next(&mut table, at(7));

    let batch = batch.expect("a batch");
    let tokens: Vec<&str> = batch
        .members
        .iter()
        .zip(&batch.extensions)
        .filter(|(member, _)| member.handle == handles[0])
        .map(|(_, extension)| extension.lease.as_str())
        .collect();
    assert_eq!(tokens, ["second"]);
    assert!(batch.members.iter().all(|member| table.is_current(*member)));
}

#[test]
fn a_lease_that_leaves_and_comes_again_is_in_the_batch_once() {
    let (mut table, handles) = gathering_table(COUNT_MAX);

    let first = LeaseToken::from("first");
    table.adopt(at(6), handles[0], (&first, 1), at(10));
    let (batch, _) = next(&mut table, at(9));

    assert_eq!(handles_of(batch), handles);
}

#[test]
fn a_lease_that_ends_before_the_batch_is_sent_is_lost_and_not_extended() {
    let (mut table, handles) = gathering_table(COUNT_MAX);

    let mut lost = Vec::new();
    loop {
        let commands = table.poll(at(10));
        assert!(commands.batch.is_none());
        lost.extend(commands.lost);
        if !commands.is_more {
            break;
        }
    }

    lost.sort_unstable();
    assert_eq!(lost, handles);
    assert_eq!(table.next_wake(), None);
}

#[test]
fn what_is_gathered_waits_when_a_call_fails_meanwhile() {
    let (mut table, handles) = full_table(2 * COUNT_MAX, LEASE * 100);
    let (failing, _) = next(&mut table, at(6));
    let failing = failing.expect("a batch");
    begin(&mut table, at(6));

    table.answered(at(6), failing.sent);
    table.extend_later(at(8));
    table.extend_failed(&failing.members);

    assert!(next(&mut table, at(7)).0.is_none());
    assert_eq!(table.next_wake(), Some(at(8)));
    let mut members = handles_of(next(&mut table, at(8)).0);
    members.extend(handles_of(next(&mut table, at(8)).0));
    members.sort_unstable();
    assert_eq!(members, handles);
}

#[test]
fn what_is_gathered_is_not_sent_when_the_broker_is_gone() {
    let (mut table, handles) = gathering_table(COUNT_MAX);

    table.stop_extending();

    assert!(next(&mut table, at(7)).0.is_none());
    assert!(table.settle(handles[0]).is_some());
    assert!(table.remove(handles[1]));
    assert_eq!(table.next_wake(), Some(at(10)));
}

#[test]
fn leases_that_last_longer_than_is_wanted_are_not_looked_at_for_ever() {
    let (mut table, handles) = full_table(0, LEASE * 100);
    assert!(handles.is_empty());
    for number in 0..3 * COUNT_MAX {
        insert(&mut table, at(0), &number.to_string(), at(100));
    }

    for second in 0..90 {
        assert!(
            next(&mut table, at(second))
                .0
                .is_none_or(|batch| batch.sent > at(80))
        );
    }
}

#[test]
fn every_lease_is_kept_by_batches_in_parts() {
    let (mut table, handles) = full_table(5 * COUNT_MAX, LEASE * 100);

    for second in 1..60 {
        while let (Some(batch), _) = next(&mut table, at(second)) {
            table.answered(batch.sent, batch.sent);
            let outcomes = vec![Outcome::Done; batch.members.len()];
            assert!(
                table
                    .extended(&batch.members, batch.sent, &outcomes)
                    .is_empty()
            );
        }
    }

    let ends = |handle: &Handle| table.get(*handle).map(|lease| lease.deadline);
    assert!(handles.iter().map(ends).all(|end| end > Some(at(59))));
}
