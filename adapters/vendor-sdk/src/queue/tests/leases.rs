//! How leases end: by time, by takeover, with the boot.

use std::time::Duration;

use super::{LEASE, Process, SECOND, TOPIC, Table, payloads};
use crate::testing::numbered;
use crate::{Outcome, Settle, Stats, reading};

#[test]
fn a_lease_that_ran_out_is_leased_again_under_another_token() {
    let table = Table::new();
    let process = table.process(1, 1);
    process.publish(&numbered(1));
    let first = process.lease(1).remove(0);
    table.hand.pass(LEASE - Duration::from_nanos(1));
    assert!(process.lease(1).is_empty());
    table.hand.pass(Duration::from_nanos(1));
    assert_eq!(
        process.stats(),
        Stats {
            ready: 1,
            ..Stats::default()
        }
    );

    let second = process.lease(1).remove(0);

    assert_eq!(
        (second.id, second.attempt, second.deliveries),
        (first.id, 1, 2)
    );
    assert!(second.token > first.token);
    for settle in [
        Settle::Ack,
        Settle::Dead {
            reason: "late".to_owned(),
        },
    ] {
        assert_eq!(process.settle(first.token, settle), Outcome::Gone);
    }
    assert_eq!(
        process.nack(first.token, Duration::ZERO, true),
        Outcome::Gone
    );
    assert_eq!(
        process.queue().extend(&[(first.token, LEASE)]).unwrap(),
        [Outcome::Gone]
    );
    assert_eq!(process.settle(second.token, Settle::Ack), Outcome::Done);
}

#[test]
fn a_late_ack_counts_as_long_as_nobody_else_got_the_message() {
    let table = Table::new();
    let process = table.process(1, 1);
    process.publish(&numbered(1));
    let leased = process.lease(1).remove(0);

    table.hand.pass(2 * LEASE);

    assert_eq!(process.settle(leased.token, Settle::Ack), Outcome::Done);
    assert!(process.lease(1).is_empty());
}

#[test]
fn an_extension_is_counted_from_the_call() {
    let table = Table::new();
    let process = table.process(1, 1);
    process.publish(&numbered(1));
    let leased = process.lease(1).remove(0);
    table.hand.pass(50 * SECOND);
    let extended = process
        .queue()
        .extend(&[(leased.token, 30 * SECOND)])
        .unwrap();
    assert_eq!(extended, [Outcome::Done]);

    table.hand.pass(30 * SECOND - Duration::from_nanos(1));
    assert!(process.lease(1).is_empty());
    table.hand.pass(Duration::from_nanos(1));
    assert_eq!(process.lease(1).len(), 1);
}

#[test]
fn a_message_whose_leases_run_out_too_often_is_a_dead_letter() {
    let table = Table::new();
    let process = Process {
        expiries_max: 3,
        ..table.process(1, 1)
    };
    process.publish(&numbered(1));
    for deliveries in 1..=3 {
        assert_eq!(process.lease(1)[0].deliveries, deliveries);
        table.hand.pass(LEASE);
    }

    assert!(process.lease(1).is_empty());

    let dead = reading::dead_letters(&table.connection, TOPIC).unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].reason.as_str(), dead[0].attempts),
        ("crash loop", 0)
    );
    assert_eq!((dead[0].expiries, dead[0].deliveries), (3, 3));
}

#[test]
fn without_a_limit_no_number_of_expiries_is_too_many() {
    let table = Table::new();
    let process = table.process(1, 1);
    process.publish(&numbered(1));
    for _ in 0..300 {
        assert_eq!(process.lease(1).len(), 1);
        table.hand.pass(LEASE);
    }
    assert_eq!(
        process.stats(),
        Stats {
            ready: 1,
            ..Stats::default()
        }
    );
}

#[test]
fn a_takeover_returns_the_leases_of_others_and_is_no_expiry() {
    let table = Table::new();
    let (dead, heir) = (table.process(1, 1), table.process(1, 2));
    dead.publish(&numbered(2));
    let lost = dead.lease(1).remove(0);

    heir.subscribe(false).unwrap();
    assert_eq!(
        payloads(&heir.lease(1)),
        [1],
        "without a takeover the lease stands"
    );
    heir.subscribe(true).unwrap();
    let taken = heir.lease(10);

    assert_eq!(payloads(&taken), [0], "its own lease it keeps");
    assert!(taken[0].token > lost.token);
    assert_eq!(dead.settle(lost.token, Settle::Ack), Outcome::Gone);
    let browsed = reading::browse(&table.connection, &heir.times, TOPIC).unwrap();
    assert_eq!(browsed[0].expiries, 0);
}

#[test]
fn a_lease_of_another_boot_has_run_out_whatever_its_deadline_says() {
    let table = Table::new();
    let (before, after) = (table.process(1, 1), table.process(2, 2));
    before.publish(&numbered(1));
    before.lease(1);

    assert_eq!(
        before.stats(),
        Stats {
            leased: 1,
            ..Stats::default()
        }
    );
    assert_eq!(
        after.stats(),
        Stats {
            ready: 1,
            ..Stats::default()
        }
    );
    after.subscribe(true).unwrap();
    assert_eq!(after.lease(1).len(), 1);
    let browsed = reading::browse(&table.connection, &after.times, TOPIC).unwrap();
    assert_eq!((browsed[0].expiries, browsed[0].deliveries), (1, 2));
}
