//! Eclipse Paho's C client for MQTT wrapped: its callbacks as a stream, on any executor.
//!
//! Paho calls back from a C thread that serves every client of the process, and holds the lock of
//! its library meanwhile: a callback that waits stops them all, and a reader that then calls Paho
//! waits for itself. So it must never wait: a message that finds no room is dropped and counted.

use mayhem_bridge::{CallbackStream, Overflow, callback_stream};
use paho_mqtt::{AsyncClient, ConnectOptions, Error, Message, QOS_1};

/// Connects and subscribes; the messages come out of the stream, which ends with the connection.
///
/// Dropping the stream disconnects. When `stats().refused` of it has grown, messages were missed.
///
/// # Errors
///
/// What Paho and the broker have against it.
///
/// # Blocking
///
/// Until the broker has answered: call it before the executor runs, or on a pool's thread.
pub fn messages(
    client: &AsyncClient,
    options: ConnectOptions,
    filter: &str,
    capacity: usize,
) -> Result<CallbackStream<Message>, Error> {
    let closing = client.clone();
    let (sink, stream) = callback_stream("mqtt")
        .capacity(capacity)
        .overflow(Overflow::DropNewest)
        .on_close(move |_| {
            // Waits, so not on an executor's thread. Ignored: it may be offline already.
            let _ = closing.disconnect(None).wait();
            // Breaks the circle of client, callback, sink and hook.
            closing.remove_message_callback();
            closing.remove_connection_lost_callback();
        })
        .build();
    let lost = sink.clone();
    client.set_connection_lost_callback(move |_| lost.fail("the connection is lost"));
    client.set_message_callback(move |_, message| {
        // An unwind into C would abort the process. Ignored: what was dropped is counted.
        let _ = sink.guard(|| message.map(|message| sink.push(message)));
    });
    client.connect(options).wait()?;
    client.subscribe(filter, QOS_1).wait()?;
    Ok(stream)
}
