//! The adapter against the real SDK and its file, driven by smol.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use mayhem_bridge::{BlockingPool, ThreadKind, inventory};
use mayhem_guide_vendor_sdk::deliveries;
use vendor_sdk::{Client, Options, Outcome, Settle, SubscribeOptions};

#[test]
fn every_message_is_delivered_to_async_code_and_acked_from_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let client = published(folder.path(), 200);
    let pool = BlockingPool::builder().name("store").threads(2).build();
    let mut stream = deliveries(&client, "guide", small()).expect("subscribed");

    let (ids, vendors) = smol::block_on(async {
        let mut ids = Vec::new();
        while ids.len() < 200 {
            let leased = stream.next().await.expect("more are to come");
            ids.push(leased.id);
            let (client, ack) = (client.clone(), vec![(leased.token, Settle::Ack)]);
            // A blocking call, so on a thread of the pool.
            let settled = pool.run_async("ack", move |_| client.settle(ack)).await;
            assert_eq!(settled.expect("it ran").expect("stored"), [Outcome::Done]);
        }
        let is_vendor = |kind| kind == ThreadKind::Vendor;
        let threads = inventory().into_iter();
        (
            ids,
            threads
                .filter(|it| is_vendor(it.kind) && it.owner == "guide")
                .count(),
        )
    });

    ids.iter()
        .for_each(|id| assert_eq!(ids.iter().filter(|it| *it == id).count(), 1));
    assert!((1..=2).contains(&vendors), "{vendors} threads of the SDK");
    assert!(client.browse("orders").expect("read").is_empty());
}

#[test]
fn dropping_the_stream_unsubscribes_and_another_subscriber_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let client = published(folder.path(), 50);
    let mut stream = deliveries(&client, "guide", small()).expect("subscribed");
    let kept = smol::block_on(stream.next()).expect("one");
    // All that may be leased is: some of it waits in the stream.
    eventually("it is full", || stream.stats().queued == 8);
    drop(stream);

    // What waited in the stream is leased until its minute is over. The rest is ready at once.
    let ready = || client.stats("orders").expect("read").ready;
    eventually("what was not delivered is ready", || ready() == 42);
    // The name is free again, and somebody else goes on.
    let again = deliveries(&client, "guide", small()).expect("subscribed again");
    let next = smol::block_on(again.take(1).collect::<Vec<_>>());
    assert_ne!(next[0].id, kept.id);
}

#[test]
fn the_stream_ends_when_the_sdk_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let client = published(folder.path(), 3);
    let stream = deliveries(&client, "guide", small()).expect("subscribed");
    let closer = thread::spawn(move || {
        eventually("all are leased", || {
            client.stats("orders").expect("read").ready == 0
        });
        client.close()
    });
    let received = smol::block_on(stream.collect::<Vec<_>>());
    assert!(received.len() <= 3);
    closer.join().expect("no panic").expect("closed in order");
}

fn published(folder: &Path, count: usize) -> Client {
    let client = Client::open(&folder.join("queue"), Options::default()).expect("opened");
    let messages = (0..count).map(|number| number.to_string().into_bytes().into());
    client
        .publish("orders", messages.collect())
        .expect("stored");
    client
}

fn small() -> SubscribeOptions {
    SubscribeOptions {
        max_outstanding: 8,
        ..SubscribeOptions::new("orders")
    }
}

/// Waits until `condition` holds; fails the test if it does not within a minute.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        // Only to leave the processor to others; the condition decides.
        thread::sleep(Duration::from_millis(1));
    }
}
