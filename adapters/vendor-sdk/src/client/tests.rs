//! The handle and its threads. Clocks are turned by hand; threads are waited for, never timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use rusqlite::Connection;

use crate::file;
use crate::testing::{PATIENCE, Place, collect, next, numbered};
use crate::{Error, Options, Outcome, PAYLOAD_BYTES_MAX, Settle, Stats, SubscribeOptions};

const TOPIC: &str = "orders";
const NACK: Settle = Settle::Nack {
    after: Duration::ZERO,
    counted: true,
};

#[test]
fn every_message_is_called_back_and_acked_once() {
    let place = Place::new();
    let client = place.open();
    let options = SubscribeOptions {
        max_outstanding: 7,
        threads: 3,
        ..SubscribeOptions::new(TOPIC)
    };
    let (subscription, delivered) = collect(&client, options);
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || client.publish(TOPIC, numbered(25)).expect("published"))
        })
        .collect();

    let mut seen = Vec::new();
    while seen.len() < 100 {
        let leased = next(&delivered);
        assert_eq!((leased.attempt, leased.deliveries), (1, 1));
        assert!(subscription.outstanding() <= 7);
        assert_eq!(
            client.settle(vec![(leased.token, Settle::Ack)]).unwrap(),
            [Outcome::Done]
        );
        seen.push(leased.id);
    }

    let mut published: Vec<_> = publishers
        .into_iter()
        .flat_map(|publisher| publisher.join().expect("joined"))
        .collect();
    published.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, published);
    assert_eq!(client.stats(TOPIC).unwrap(), Stats::default());
}

#[test]
fn no_more_than_max_outstanding_are_leased_until_one_is_settled_or_runs_out() {
    let place = Place::new();
    let client = place.open();
    client.publish(TOPIC, numbered(4)).unwrap();
    let options = SubscribeOptions {
        max_outstanding: 2,
        ..SubscribeOptions::new(TOPIC)
    };
    let (subscription, delivered) = collect(&client, options);
    let held = [next(&delivered), next(&delivered)];
    assert_eq!(
        client.stats(TOPIC).unwrap(),
        Stats {
            ready: 2,
            leased: 2,
            ..Stats::default()
        }
    );
    assert_eq!(subscription.outstanding(), 2);

    client.settle(vec![(held[0].token, Settle::Ack)]).unwrap();
    let third = next(&delivered);
    place.hand.pass(Duration::from_secs(60));
    let again = [next(&delivered), next(&delivered)];

    assert_eq!(third.payload, [2]);
    let mut deliveries: Vec<_> = again.iter().map(|leased| leased.deliveries).collect();
    deliveries.sort_unstable();
    assert!(
        deliveries == [2, 2],
        "the two that ran out come first: {again:?}"
    );
}

#[test]
fn a_nacked_message_is_called_back_again() {
    let place = Place::new();
    let client = place.open();
    let (_subscription, delivered) = collect(&client, SubscribeOptions::new(TOPIC));
    client.publish(TOPIC, numbered(1)).unwrap();
    let first = next(&delivered);

    client.settle(vec![(first.token, NACK)]).unwrap();
    let second = next(&delivered);
    let after = Duration::from_secs(3600);
    client
        .settle(vec![(
            second.token,
            Settle::Nack {
                after,
                counted: false,
            },
        )])
        .unwrap();
    place.hand.pass(after);
    let third = next(&delivered);

    assert_eq!((second.attempt, third.attempt), (2, 2));
    assert!(first.token < second.token && second.token < third.token);
}

#[test]
fn a_panic_of_the_callback_nacks_its_message_and_ends_no_thread() {
    let place = Place::new();
    let client = place.open();
    let (deliveries, delivered) = bounded(16);
    let options = SubscribeOptions {
        threads: 1,
        ..SubscribeOptions::new(TOPIC)
    };
    let subscription = client
        .subscribe("reader", options, move |leased| {
            deliveries.send(leased.clone()).expect("the test listens");
            assert!(
                leased.payload != [0] || leased.attempt > 1,
                "a poisoned message"
            );
        })
        .unwrap();
    client.publish(TOPIC, numbered(2)).unwrap();

    assert_eq!(
        [next(&delivered).payload, next(&delivered).payload],
        [[0], [1]]
    );
    subscription.wait_idle();
    assert_eq!(subscription.panics(), 1);
    assert_eq!(
        client.stats(TOPIC).unwrap(),
        Stats {
            leased: 1,
            delayed: 1,
            ..Stats::default()
        }
    );

    place.hand.pass(Duration::from_secs(1));
    let again = next(&delivered);
    assert_eq!(
        (again.payload.as_slice(), again.attempt),
        ([0].as_slice(), 2)
    );
}

#[test]
fn a_pause_takes_no_lease_and_a_resume_does() {
    let place = Place::new();
    let client = place.open();
    let (subscription, delivered) = collect(&client, SubscribeOptions::new(TOPIC));
    subscription.pause();
    client.publish(TOPIC, numbered(1)).unwrap();
    subscription.wait_idle();
    assert_eq!(
        client.stats(TOPIC).unwrap(),
        Stats {
            ready: 1,
            ..Stats::default()
        }
    );

    subscription.resume();

    assert_eq!(next(&delivered).payload, [0]);
}

#[test]
fn cancel_waits_for_running_callbacks_and_hands_the_rest_back() {
    let place = Place::new();
    let client = place.open();
    client.publish(TOPIC, numbered(5)).unwrap();
    let (started, begun) = bounded(1);
    let (open, door) = bounded::<()>(0);
    let finished = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&finished);
    let options = SubscribeOptions {
        threads: 1,
        ..SubscribeOptions::new(TOPIC)
    };
    let subscription = client
        .subscribe("reader", options, move |_| {
            // Ignored: only the first call is listened for.
            let _ = started.try_send(());
            let _ = door.recv();
            counter.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
    begun.recv_timeout(PATIENCE).expect("a callback has begun");
    let subscription = Arc::new(subscription);
    let cancelling = Arc::clone(&subscription);
    let cancelled = thread::spawn(move || cancelling.cancel());
    // Stopped before the door opens, so that the callback thread gets to no second message.
    while !subscription.is_stopped() {
        thread::yield_now();
    }
    drop(open);
    cancelled.join().expect("cancelled");

    assert_eq!(finished.load(Ordering::SeqCst), 1);
    assert!(subscription.result().is_ok());
    assert_eq!(
        client.stats(TOPIC).unwrap(),
        Stats {
            ready: 4,
            leased: 1,
            ..Stats::default()
        }
    );
    let untouched = client.browse(TOPIC).unwrap();
    assert!(untouched.iter().all(|message| message.attempts == 0));
}

#[test]
fn cancel_inside_a_callback_does_not_wait_for_itself() {
    let place = Place::new();
    let client = place.open();
    let (give, take) = bounded::<Arc<crate::Subscription>>(1);
    let (done, finished) = bounded(1);
    let subscription = client
        .subscribe("reader", SubscribeOptions::new(TOPIC), move |_| {
            let subscription = take.recv().expect("the subscription");
            subscription.wait_idle();
            subscription.cancel();
            done.send(()).expect("the test listens");
        })
        .unwrap();
    let subscription = Arc::new(subscription);
    give.send(Arc::clone(&subscription)).unwrap();

    client.publish(TOPIC, numbered(1)).unwrap();

    finished.recv_timeout(PATIENCE).expect("it came back");
    assert!(subscription.result().is_ok());
}

#[test]
fn a_full_file_latches_the_handle_and_ends_its_subscriptions() {
    let place = Place::new();
    let client = place.open_with(Options {
        bytes_max: Some(256 << 10),
        ..Options::default()
    });
    let (subscription, delivered) = collect(&client, SubscribeOptions::new(TOPIC));
    let kept = client
        .publish(TOPIC, vec![vec![7; 100 << 10].into()])
        .unwrap();
    let leased = next(&delivered);

    let full = client
        .publish(TOPIC, vec![vec![8; 300 << 10].into()])
        .unwrap_err();

    assert!(matches!(full, Error::Full { .. }), "{full}");
    assert!(
        full.to_string()
            .contains(&place.path().display().to_string()),
        "{full}"
    );
    let latched = [
        client.publish(TOPIC, numbered(1)).map(drop).unwrap_err(),
        client
            .settle(vec![(leased.token, Settle::Ack)])
            .map(drop)
            .unwrap_err(),
        client
            .extend(vec![(leased.token, PATIENCE)])
            .map(drop)
            .unwrap_err(),
        client.stats(TOPIC).map(drop).unwrap_err(),
        subscription.result().unwrap_err(),
        client.close().unwrap_err(),
    ];
    for error in latched {
        let Error::Latched { first } = &error else {
            panic!("{error}")
        };
        assert!(matches!(**first, Error::Full { .. }), "{error}");
    }

    let again = place.open();
    let browsed = again.browse(TOPIC).unwrap();
    assert_eq!(
        browsed.iter().map(|message| message.id).collect::<Vec<_>>(),
        kept
    );
    assert_eq!(browsed[0].payload, vec![7; 100 << 10]);
}

#[test]
fn a_file_that_another_holds_is_locked_for_the_timeout_and_fine_after() {
    let place = Place::new();
    let busy_timeout = Duration::from_millis(20);
    let client = place.open_with(Options {
        busy_timeout,
        ..Options::default()
    });
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let locked = client.publish(TOPIC, numbered(1)).unwrap_err();
    assert!(
        matches!(&locked, Error::Locked { waited, .. } if *waited >= busy_timeout),
        "{locked}"
    );
    assert!(locked.is_retryable());

    other.execute_batch("ROLLBACK").unwrap();
    client.publish(TOPIC, numbered(1)).unwrap();
    assert_eq!(
        client.stats(TOPIC).unwrap(),
        Stats {
            ready: 1,
            ..Stats::default()
        }
    );
}

#[test]
fn a_subscription_survives_a_file_that_is_locked_for_a_while() {
    let place = Place::new();
    let busy_timeout = Duration::from_millis(5);
    let client = place.open_with(Options {
        busy_timeout,
        ..Options::default()
    });
    let (_subscription, delivered) = collect(&client, SubscribeOptions::new(TOPIC));
    client.publish(TOPIC, numbered(1)).unwrap();
    let held = next(&delivered);
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The lease has run out, and whoever wants it again has to write.
    place.hand.pass(Duration::from_secs(60));
    for _ in 0..10 {
        client.publish(TOPIC, numbered(1)).unwrap_err();
    }

    other.execute_batch("ROLLBACK").unwrap();

    assert_eq!(next(&delivered).id, held.id);
}

#[test]
fn a_payload_that_is_too_long_is_refused_and_nothing_is_stored() {
    let place = Place::new();
    let client = place.open();
    let long = vec![0; PAYLOAD_BYTES_MAX + 1];

    let refused = client
        .publish(TOPIC, vec![vec![1].into(), long.into()])
        .unwrap_err();

    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    assert_eq!(client.stats(TOPIC).unwrap(), Stats::default());
    client
        .publish(TOPIC, vec![vec![0; PAYLOAD_BYTES_MAX].into()])
        .unwrap();
}

#[test]
fn a_subscription_without_room_or_under_another_name_is_refused() {
    let place = Place::new();
    let client = place.open();
    let no_room = SubscribeOptions {
        max_outstanding: 0,
        ..SubscribeOptions::new(TOPIC)
    };
    assert!(matches!(
        client.subscribe("a", no_room, drop),
        Err(Error::Refused { .. })
    ));
    let first = client
        .subscribe("a", SubscribeOptions::new(TOPIC), drop)
        .unwrap();
    first.cancel();

    let other = client
        .subscribe("b", SubscribeOptions::new(TOPIC), drop)
        .unwrap_err();

    assert!(
        other
            .to_string()
            .ends_with("refused: orders has the subscription a"),
        "{other}"
    );
    client
        .subscribe("a", SubscribeOptions::new(TOPIC), drop)
        .unwrap();
}

#[test]
fn after_close_every_call_says_so_and_the_subscriptions_have_ended() {
    let place = Place::new();
    let client = place.open();
    let (subscription, _delivered) = collect(&client, SubscribeOptions::new(TOPIC));
    let clone = client.clone();

    client.close().unwrap();

    assert!(subscription.result().is_ok());
    assert!(matches!(
        clone.publish(TOPIC, numbered(1)),
        Err(Error::Closed { .. })
    ));
    assert!(matches!(clone.stats(TOPIC), Err(Error::Closed { .. })));
    assert!(
        !file::sibling(&place.path(), "-wal").exists(),
        "all of it is in the database"
    );
    clone.close().unwrap();
}

#[test]
fn the_file_is_closed_when_the_last_handle_and_subscription_are_dropped() {
    let place = Place::new();
    let client = place.open();
    let holder = client.clone();
    let subscription = client
        .subscribe("reader", SubscribeOptions::new(TOPIC), move |leased| {
            holder
                .settle(vec![(leased.token, Settle::Ack)])
                .expect("settled");
        })
        .unwrap();
    client.publish(TOPIC, numbered(3)).unwrap();
    let store = Arc::downgrade(&client.handle.shared().store);
    drop(client);
    assert!(store.upgrade().is_some(), "the subscription keeps it open");

    drop(subscription);

    let begin = std::time::Instant::now();
    while store.upgrade().is_some() {
        assert!(begin.elapsed() < PATIENCE, "the threads end");
        thread::yield_now();
    }
}

#[test]
fn what_another_handle_publishes_is_seen() {
    let place = Place::new();
    let (reader, writer) = (place.open(), place.open());
    let (_subscription, delivered) = collect(&reader, SubscribeOptions::new(TOPIC));
    for number in 0..20 {
        writer.publish(TOPIC, vec![vec![number].into()]).unwrap();
        assert_eq!(next(&delivered).payload, [number]);
    }
}
