//! The adapter against Paho's C library and a real mosquitto, driven by async-executor.

mod mosquitto;

use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::executor::block_on;
use mayhem_bridge::{CallbackStream, CloseReason, ThreadInfo, ThreadKind, inventory};
use mayhem_guide_paho::messages;
use mosquitto::Mosquitto;
use paho_mqtt::{AsyncClient, ConnectOptions, CreateOptionsBuilder, Message, QOS_1};

#[test]
fn every_message_of_a_real_broker_arrives_once_and_in_order() {
    let broker = Mosquitto::start();
    let (_subscriber, mut stream) = subscribed(&broker, 500);
    let publisher = connected(&broker, "publisher");
    let sending = thread::spawn(move || {
        for number in 0..500 {
            let message = Message::new("guide/numbers", number.to_string(), QOS_1);
            publisher.publish(message).wait().expect("published");
        }
        publisher.disconnect(None).wait().expect("disconnected");
    });

    let executor = async_executor::Executor::new();
    let received = block_on(executor.run(async {
        let mut received = Vec::new();
        while received.len() < 500 {
            let message = stream.next().await.expect("the connection stays");
            received.push(message.payload_str().into_owned());
        }
        received
    }));
    sending.join().expect("the publisher is done");
    assert_eq!(
        received,
        (0..500)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    );
    // They came from a thread of the C library, which nobody here has started.
    let is_paho =
        |it: &ThreadInfo| it.kind == ThreadKind::Vendor && it.name.starts_with("MQTTAsync");
    assert!(inventory().iter().any(is_paho), "{:?}", inventory());
}

#[test]
fn a_reader_who_is_late_is_told_that_it_missed_messages_and_paho_goes_on() {
    let broker = Mosquitto::start();
    let (subscriber, stream) = subscribed(&broker, 2);
    let publisher = connected(&broker, "publisher");
    for number in 0..20 {
        let message = Message::new("guide/numbers", number.to_string(), QOS_1);
        // Needs the thread that calls back, which so is shown never to wait.
        publisher.publish(message).wait().expect("published");
    }
    eventually("all have arrived", || stream.stats().refused == 18);
    assert!(subscriber.is_connected());
    assert_eq!(stream.stats().blocked_now, 0);
    let received = block_on(stream.take(2).collect::<Vec<_>>());
    let payloads: Vec<_> = received
        .iter()
        .map(|message| message.payload_str())
        .collect();
    assert_eq!(payloads, ["0", "1"]);
}

#[test]
fn dropping_the_stream_in_a_task_disconnects() {
    let broker = Mosquitto::start();
    let (subscriber, stream) = subscribed(&broker, 8);
    assert!(subscriber.is_connected());
    block_on(async move { drop(stream) });
    eventually("it is disconnected", || !subscriber.is_connected());
}

#[test]
fn the_stream_fails_when_the_broker_is_gone() {
    let broker = Mosquitto::start();
    let (_subscriber, mut stream) = subscribed(&broker, 8);
    let publisher = connected(&broker, "publisher");
    publisher
        .publish(Message::new("guide/last", "words", QOS_1))
        .wait()
        .expect("published");
    eventually("it has arrived", || stream.stats().queued == 1);
    drop(broker);
    let received = block_on(stream.by_ref().collect::<Vec<_>>());
    assert_eq!(received.len(), 1, "what had arrived is still read");
    let reason = stream.close_reason();
    assert!(matches!(reason, Some(CloseReason::Failed(_))), "{reason:?}");
}

#[test]
fn a_broker_that_is_not_there_is_an_error() {
    let client = client(
        &format!("tcp://127.0.0.1:{}", mosquitto::free_port()),
        "nobody",
    );
    assert!(messages(&client, ConnectOptions::new(), "guide/#", 8).is_err());
}

fn subscribed(broker: &Mosquitto, capacity: usize) -> (AsyncClient, CallbackStream<Message>) {
    let client = client(&broker.uri(), "subscriber");
    let stream = messages(&client, ConnectOptions::new(), "guide/#", capacity);
    (client, stream.expect("subscribed"))
}

fn connected(broker: &Mosquitto, name: &str) -> AsyncClient {
    let client = client(&broker.uri(), name);
    client
        .connect(ConnectOptions::new())
        .wait()
        .expect("connected");
    client
}

fn client(uri: &str, name: &str) -> AsyncClient {
    let options = CreateOptionsBuilder::new()
        .server_uri(uri)
        .client_id(name)
        .finalize();
    AsyncClient::new(options).expect("a client")
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
