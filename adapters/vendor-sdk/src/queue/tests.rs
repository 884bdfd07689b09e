//! The tables' rules, without threads, on clocks turned by hand.

mod leases;

use std::time::Duration;

use rusqlite::Connection;
use uuid::Uuid;

use super::{LeaseRequest, Queue, Subscribing};
use crate::testing::{Hand, numbered};
use crate::time::Times;
use crate::{Leased, Outcome, Outgoing, Settle, State, Stats, Token, reading, schema};

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(60);
const TOPIC: &str = "orders";

/// A machine with one table in memory, and the processes on it.
struct Table {
    connection: Connection,
    hand: std::sync::Arc<Hand>,
}

/// One process on it.
struct Process<'a> {
    connection: &'a Connection,
    times: Times,
    session: i64,
    expiries_max: u32,
}

impl Table {
    fn new() -> Self {
        let connection = Connection::open_in_memory().expect("memory");
        schema::create(&connection).expect("tables");
        Self {
            connection,
            hand: Hand::new(),
        }
    }

    fn process(&self, boot: u8, session: i64) -> Process<'_> {
        let times = self.hand.times(boot);
        Process {
            connection: &self.connection,
            times,
            session,
            expiries_max: 0,
        }
    }
}

impl Process<'_> {
    fn queue(&self) -> Queue<'_> {
        Queue {
            connection: self.connection,
            times: &self.times,
            session: self.session,
        }
    }

    fn publish(&self, messages: &[Outgoing]) -> Vec<Uuid> {
        self.queue().publish(TOPIC, messages).expect("published")
    }

    fn subscribe(&self, takeover: bool) -> Result<i64, String> {
        let subscribing = Subscribing {
            name: "clerk".to_owned(),
            topic: TOPIC.to_owned(),
            takeover,
            expiries_max: self.expiries_max,
        };
        self.queue().subscribe(&subscribing).expect("subscribed")
    }

    fn lease(&self, count_max: usize) -> Vec<Leased> {
        let topic = reading::topic_number(self.connection, TOPIC)
            .unwrap()
            .expect("a topic");
        let expiries_max = self.expiries_max;
        let request = LeaseRequest {
            topic,
            count_max,
            lease: LEASE,
            expiries_max,
        };
        self.queue().lease(request).expect("leased").batch
    }

    fn settle(&self, token: Token, settle: Settle) -> Outcome {
        self.queue().settle(&[(token, settle)]).expect("settled")[0]
    }

    fn nack(&self, token: Token, after: Duration, counted: bool) -> Outcome {
        self.settle(token, Settle::Nack { after, counted })
    }

    fn stats(&self) -> Stats {
        reading::stats(self.connection, &self.times, TOPIC).expect("counted")
    }
}

fn payloads(batch: &[Leased]) -> Vec<u8> {
    batch.iter().map(|leased| leased.payload[0]).collect()
}

#[test]
fn messages_are_leased_oldest_first_and_once() {
    let table = Table::new();
    let process = table.process(1, 1);
    process.publish(&numbered(5));

    assert_eq!(payloads(&process.lease(3)), [0, 1, 2]);
    assert_eq!(payloads(&process.lease(3)), [3, 4]);
    assert!(process.lease(3).is_empty());
    assert_eq!(
        process.stats(),
        Stats {
            leased: 5,
            ..Stats::default()
        }
    );
}

#[test]
fn an_acked_message_is_gone_and_its_token_is_never_used_again() {
    let table = Table::new();
    let process = table.process(1, 1);
    process.publish(&numbered(1));
    let first = process.lease(1).remove(0).token;

    assert_eq!(process.settle(first, Settle::Ack), Outcome::Done);
    assert_eq!(process.settle(first, Settle::Ack), Outcome::Gone);

    process.publish(&numbered(1));
    let second = process.lease(1).remove(0).token;
    assert!(second > first);
    assert_eq!(process.settle(first, Settle::Ack), Outcome::Gone);
    assert_eq!(
        process.stats(),
        Stats {
            leased: 1,
            ..Stats::default()
        }
    );
}

#[test]
fn an_id_that_is_still_held_is_not_stored_twice() {
    let table = Table::new();
    let process = table.process(1, 1);
    let id = Some(Uuid::from_u128(7));
    let message = Outgoing {
        id,
        payload: b"first".to_vec(),
    };
    let again = Outgoing {
        id,
        payload: b"second".to_vec(),
    };

    assert_eq!(process.publish(&[message]), process.publish(&[again]));

    let batch = process.lease(10);
    assert_eq!(batch.len(), 1);
    assert_eq!(batch[0].payload, b"first");
}

#[test]
fn only_counted_nacks_are_attempts() {
    let table = Table::new();
    let process = table.process(1, 1);
    process.publish(&numbered(1));
    let mut attempts = Vec::new();
    for counted in [false, true, false, true, true] {
        let leased = process.lease(1).remove(0);
        attempts.push(leased.attempt);
        assert_eq!(
            process.nack(leased.token, Duration::ZERO, counted),
            Outcome::Done
        );
    }
    let last = process.lease(1).remove(0);
    attempts.push(last.attempt);

    assert_eq!(attempts, [1, 1, 2, 2, 3, 4]);
    assert_eq!(last.deliveries, 6);
}

#[test]
fn a_delayed_nack_waits_and_then_goes_before_newer_messages() {
    let table = Table::new();
    let process = table.process(1, 1);
    process.publish(&numbered(2));
    let batch = process.lease(2);
    process.nack(batch[1].token, 10 * SECOND, true);
    process.nack(batch[0].token, 20 * SECOND, true);
    process.publish(&[vec![9].into()]);

    assert_eq!(
        process.stats(),
        Stats {
            ready: 1,
            delayed: 2,
            ..Stats::default()
        }
    );
    table.hand.pass(10 * SECOND - Duration::from_nanos(1));
    assert_eq!(
        process.stats(),
        Stats {
            ready: 1,
            delayed: 2,
            ..Stats::default()
        }
    );
    table.hand.pass(Duration::from_nanos(1));
    assert_eq!(
        process.stats(),
        Stats {
            ready: 2,
            delayed: 1,
            ..Stats::default()
        }
    );
    assert_eq!(payloads(&process.lease(1)), [1]);
    table.hand.pass(10 * SECOND);
    assert_eq!(payloads(&process.lease(10)), [0, 9]);
}

#[test]
fn a_delay_begins_anew_when_the_wall_clock_goes_back_behind_it() {
    let table = Table::new();
    let process = table.process(1, 1);
    process.publish(&numbered(1));
    process.nack(process.lease(1)[0].token, 10 * SECOND, true);

    table.hand.set_wall_back(3600 * SECOND);
    assert!(process.lease(1).is_empty());
    table.hand.pass(10 * SECOND - Duration::from_nanos(1));
    assert!(process.lease(1).is_empty());
    table.hand.pass(Duration::from_nanos(1));
    assert_eq!(process.lease(1).len(), 1);
}

#[test]
fn a_dead_message_is_kept_with_its_reason_and_never_delivered() {
    let table = Table::new();
    let process = table.process(1, 1);
    let ids = process.publish(&numbered(2));
    let token = process.lease(1)[0].token;
    let reason = "no such target".to_owned();

    assert_eq!(
        process.settle(token, Settle::Dead { reason }),
        Outcome::Done
    );
    assert_eq!(process.settle(token, Settle::Ack), Outcome::Gone);

    table.hand.pass(100 * LEASE);
    assert_eq!(payloads(&process.lease(10)), [1]);
    let dead = reading::dead_letters(&table.connection, TOPIC).unwrap();
    assert_eq!((dead.len(), dead[0].id), (1, ids[0]));
    assert_eq!(
        (dead[0].reason.as_str(), dead[0].attempts),
        ("no such target", 1)
    );
}

#[test]
fn a_topic_has_one_subscription() {
    let table = Table::new();
    let process = table.process(1, 1);
    process.subscribe(false).unwrap();
    process.subscribe(false).unwrap();
    let stranger = Subscribing {
        name: "other".to_owned(),
        topic: TOPIC.to_owned(),
        takeover: true,
        expiries_max: 0,
    };

    assert_eq!(
        process.queue().subscribe(&stranger).unwrap(),
        Err("clerk".to_owned())
    );
}

#[test]
fn browsing_tells_where_each_message_stands() {
    let table = Table::new();
    let process = table.process(1, 1);
    process.publish(&numbered(3));
    let batch = process.lease(2);
    process.nack(batch[0].token, 10 * SECOND, true);

    let browsed = reading::browse(&table.connection, &process.times, TOPIC).unwrap();

    let states: Vec<State> = browsed.iter().map(|message| message.state).collect();
    let deadline_boot = batch[1].deadline_boot;
    assert!(matches!(states[0], State::Delayed { .. }));
    assert_eq!(states[1..], [State::Leased { deadline_boot }, State::Ready]);
    assert_eq!(browsed[0].attempts, 1);
    assert!(
        reading::browse(&table.connection, &process.times, "elsewhere")
            .unwrap()
            .is_empty()
    );
}
