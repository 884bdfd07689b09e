//! How subscriptions and handles end, and what a locked file does not end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use rusqlite::Connection;

use super::TOPIC;
use crate::file;
use crate::testing::{PATIENCE, Place, collect, next, numbered};
use crate::{Error, Options, Settle, Stats, SubscribeOptions};

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
