//! The vendor SDK wrapped: a subscription's callbacks as a stream, on any executor.
//!
//! All that async code sees of the SDK's threads is a [`CallbackStream`]; dropping it unsubscribes.

use std::sync::mpsc;
use std::time::Duration;

use mayhem_bridge::{CallbackStream, Overflow, callback_stream};
use vendor_sdk::{Client, Error, Leased, Settle, SubscribeOptions};

/// Subscribes; what is delivered comes out of the stream.
///
/// # Errors
///
/// As [`Client::subscribe`].
///
/// # Blocking
///
/// For one transaction: call it before the executor runs, or on a pool's thread.
pub fn deliveries(
    client: &Client,
    name: &str,
    options: SubscribeOptions,
) -> Result<CallbackStream<Leased>, Error> {
    let (keep, kept) = mpsc::channel::<vendor_sdk::Subscription>();
    let settler = client.clone();
    let (sink, stream) = callback_stream::<Leased>(name)
        // A place for whatever may be leased at a time, so that callbacks need not wait.
        .capacity(options.max_outstanding)
        .overflow(Overflow::Block)
        // Waits for the running callbacks: not on an executor's thread, and not in a callback.
        .on_close(move |_| kept.iter().for_each(|subscription| subscription.cancel()))
        // Nobody will read it, so somebody else shall have it, and at once.
        .on_late(move |unread| {
            let again = Settle::Nack {
                after: Duration::ZERO,
                counted: false,
            };
            // Ignored: then its lease runs out.
            let _ = settler.settle(vec![(unread.token, again)]);
        })
        .build();
    let callback = move |leased: Leased| {
        // A panic must not unwind into the SDK. Ignored: it waits for room, or is late.
        let _ = sink.guard(|| sink.push(leased));
    };
    // Ignored: the hook waits for it for as long as `keep` lives.
    let _ = keep.send(client.subscribe(name, options, callback)?);
    Ok(stream)
}
