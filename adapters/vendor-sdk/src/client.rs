//! The handle on a queue file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::gate::Gate;
use crate::queue::Subscribing;
use crate::shared::{Handle, Shared};
use crate::store::Store;
use crate::time::Times;
use crate::{
    Browsed, DeadLetter, Error, Leased, Options, Outcome, Outgoing, PAYLOAD_BYTES_MAX, Settle,
    Stats, SubscribeOptions, Subscription, Token, pulling, reading,
};

/// A handle on one queue file; clones share it.
///
/// Every call may be made from any thread, a callback's included, and blocks that thread. Any
/// number of handles, in any number of processes, may be open on one file at a time. The file is
/// closed when the last clone is dropped, in the background, or by [`Client::close`], which waits.
///
/// # Examples
///
/// ```
/// use vendor_sdk::{Client, Options, Outcome, Settle, SubscribeOptions};
///
/// let folder = tempfile::tempdir()?;
/// let client = Client::open(&folder.path().join("queue"), Options::default())?;
/// let ids = client.publish("orders", vec![b"one".to_vec().into()])?;
///
/// let (deliveries, delivered) = crossbeam_channel::unbounded();
/// let subscription = client.subscribe("clerk", SubscribeOptions::new("orders"), move |leased| {
///     let _ = deliveries.send(leased);
/// })?;
/// let leased = delivered.recv()?;
/// assert_eq!((leased.id, leased.attempt), (ids[0], 1));
/// assert_eq!(client.settle(vec![(leased.token, Settle::Ack)])?, [Outcome::Done]);
///
/// subscription.cancel();
/// assert!(client.browse("orders")?.is_empty());
/// client.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

impl Client {
    /// Opens the file at `path`, creating it, for its owner only, when there is none.
    ///
    /// Beside it stand SQLite's `-wal` and `-shm` and an empty `.create-lock`.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`], [`Error::WrongVersion`], [`Error::Corrupt`], [`Error::Full`],
    /// [`Error::Io`]; [`Error::Locked`] when another process is creating or upgrading the file
    /// for longer than [`Options::busy_timeout`].
    ///
    /// # Blocking
    ///
    /// For some syncs of the disk.
    pub fn open(path: &Path, options: Options) -> Result<Self, Error> {
        let times = Times::of_machine().map_err(|detail| crate::file::unusable(path, detail))?;
        Self::open_with(path, options, times)
    }

    pub(crate) fn open_with(path: &Path, options: Options, times: Times) -> Result<Self, Error> {
        let store = Store::open(path, options, times)?;
        Ok(Self {
            handle: Arc::new(Handle::new(store)),
        })
    }

    /// Stores messages, all or none; they are durable on return. Gives their ids in order.
    ///
    /// A topic needs no creation, and keeps its messages until somebody subscribes.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`]: nothing was stored. [`Error::Refused`]: a payload is longer than
    /// [`PAYLOAD_BYTES_MAX`]; nothing was stored. Any other: the handle has latched; after
    /// [`Error::Io`] the messages may be stored or not.
    ///
    /// # Blocking
    ///
    /// Until the disk has it; callers on several threads share one sync.
    pub fn publish(&self, topic: &str, messages: Vec<Outgoing>) -> Result<Vec<Uuid>, Error> {
        for message in &messages {
            let bytes = message.payload.len();
            if bytes > PAYLOAD_BYTES_MAX {
                return Err(self.refuse(format!(
                    "a payload of {bytes} bytes, more than {PAYLOAD_BYTES_MAX}"
                )));
            }
        }
        self.shared().publish(topic, messages)
    }

    /// Starts to pull a topic; `callback` runs on the subscription's own threads.
    ///
    /// A panic of the callback is caught, counted, and nacks its message with a delay of 1 s, as an
    /// attempt. A topic has one subscription, whose name is kept; several handles may subscribe
    /// under that name and then share the messages.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: options with a zero, the topic has a subscription of another name, or no
    /// thread could be started.
    ///
    /// # Blocking
    ///
    /// Until the disk has it.
    pub fn subscribe(
        &self,
        subscription: &str,
        options: SubscribeOptions,
        callback: impl Fn(Leased) + Send + Sync + 'static,
    ) -> Result<Subscription, Error> {
        if options.max_outstanding == 0 || options.threads == 0 || options.lease.is_zero() {
            return Err(self.refuse("a subscription needs room, a thread and a lease".to_owned()));
        }
        let subscribing = Subscribing {
            name: subscription.to_owned(),
            topic: options.topic.clone(),
            takeover: options.takeover,
            expiries_max: options.expiries_max,
        };
        let shared = self.shared();
        let topic = shared
            .store
            .write(move |queue| queue.subscribe(&subscribing))?
            .map_err(|other| {
                self.refuse(format!("{} has the subscription {other}", options.topic))
            })?;
        // The puller is a thread too.
        let threads = options.threads + 1;
        let gate = Arc::new(Gate::new(
            options.topic.clone(),
            options.max_outstanding,
            threads,
        ));
        shared.add_gate(&gate);
        let callback = Arc::new(callback);
        if let Err(error) = pulling::start(shared, &gate, subscription, topic, &options, callback) {
            gate.stop();
            shared.remove_gate(&gate);
            return Err(error);
        }
        Ok(Subscription::new(Arc::clone(&self.handle), gate))
    }

    /// Ends deliveries; the outcomes, in the order of the batch, are durable on return.
    ///
    /// A lease that ran out can still be settled until somebody else has got the message.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`]: nothing was changed, and the leases run on. Any other: the handle has
    /// latched; after [`Error::Io`] the batch may have taken effect or not.
    ///
    /// # Blocking
    ///
    /// Until the disk has it; callers on several threads share one sync.
    pub fn settle(&self, batch: Vec<(Token, Settle)>) -> Result<Vec<Outcome>, Error> {
        self.shared().settle(batch)
    }

    /// Makes leases end the given time from now, durably.
    ///
    /// # Errors
    ///
    /// As [`Client::settle`].
    ///
    /// # Blocking
    ///
    /// Until the disk has it.
    pub fn extend(&self, batch: Vec<(Token, Duration)>) -> Result<Vec<Outcome>, Error> {
        self.shared().extend(batch)
    }

    /// Counts a topic's messages. A topic that nobody has published to holds none.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`], or an error that latches.
    ///
    /// # Blocking
    ///
    /// For one read of the file.
    pub fn stats(&self, topic: &str) -> Result<Stats, Error> {
        let store = &self.shared().store;
        store.read(|connection| reading::stats(connection, store.times(), topic))
    }

    /// Lists a topic's messages that are neither acked nor dead, oldest first.
    ///
    /// # Errors
    ///
    /// As [`Client::stats`].
    ///
    /// # Blocking
    ///
    /// For one read of the file.
    pub fn browse(&self, topic: &str) -> Result<Vec<Browsed>, Error> {
        let store = &self.shared().store;
        store.read(|connection| reading::browse(connection, store.times(), topic))
    }

    /// Lists a topic's dead letters, oldest first.
    ///
    /// # Errors
    ///
    /// As [`Client::stats`].
    ///
    /// # Blocking
    ///
    /// For one read of the file.
    pub fn dead_letters(&self, topic: &str) -> Result<Vec<DeadLetter>, Error> {
        self.shared()
            .store
            .read(|connection| reading::dead_letters(connection, topic))
    }

    /// Ends the subscriptions, finishes the calls under way and closes the file.
    ///
    /// Every later call, of a clone too, fails with [`Error::Closed`]. From inside a callback it
    /// does not wait for that callback's subscription.
    ///
    /// # Errors
    ///
    /// [`Error::Latched`]: the file is closed, but an earlier error had stopped the handle.
    ///
    /// # Blocking
    ///
    /// Until the running callbacks have returned and the file is closed.
    pub fn close(&self) -> Result<(), Error> {
        let shared = self.shared();
        for gate in shared.gates() {
            gate.stop();
            if !gate.is_own_thread() {
                // Ignored: what ended the subscription is its own caller's to hear.
                let _ = gate.wait_ended();
            }
        }
        let latched = match shared.store.check() {
            Err(error @ Error::Latched { .. }) => Err(error),
            _ => Ok(()),
        };
        shared.store.shut();
        shared.store.join();
        latched
    }

    fn shared(&self) -> &Arc<Shared> {
        self.handle.shared()
    }

    fn refuse(&self, detail: String) -> Error {
        Error::Refused {
            path: self.shared().store.path().to_owned(),
            detail,
        }
    }
}

#[cfg(test)]
mod tests;
