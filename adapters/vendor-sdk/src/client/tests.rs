//! The handle and its threads. Clocks are turned by hand; threads are waited for, never timed.

mod ends;

use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::testing::{Place, collect, next, numbered};
use crate::{Error, Outcome, PAYLOAD_BYTES_MAX, Settle, Stats, SubscribeOptions};

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
fn what_another_handle_publishes_is_seen() {
    let place = Place::new();
    let (reader, writer) = (place.open(), place.open());
    let (_subscription, delivered) = collect(&reader, SubscribeOptions::new(TOPIC));
    for number in 0..20 {
        writer.publish(TOPIC, vec![vec![number].into()]).unwrap();
        assert_eq!(next(&delivered).payload, [number]);
    }
}
