//! The bridge and its peers behind one face. Every one is bounded, and its sender blocks when full.

use std::future::Future;
use std::hint::black_box;

use futures::StreamExt;
use mayhem_bridge::{CallbackStream, Overflow, Sink, callback_stream};

use super::Executor;
use crate::measure::Failure;

/// From blocking threads to one async consumer.
pub(super) trait Channel<T: Send + 'static>: 'static {
    /// Held by every thread.
    type Sender: Clone + Send + 'static;
    /// Held by the consumer.
    type Receiver: Send;

    /// Makes both ends.
    fn open(capacity: usize) -> (Self::Sender, Self::Receiver);

    /// Sends one message and waits for room.
    fn send(sender: &Self::Sender, message: T) -> Result<(), &'static str>;

    /// Receives one message; none at the end.
    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<T>>;

    /// Takes and drops exactly `count` messages, in the way that suits this peer best. A peer that
    /// takes batches keeps the buffer for them, as a real consumer does.
    fn consume(receiver: &mut Self::Receiver, count: u64) -> impl Future<Output = ()> {
        async move {
            for _ in 0..count {
                drop(black_box(Self::receive(receiver).await));
            }
        }
    }

    /// What its consumer runs on.
    fn executor() -> Result<Executor, Failure> {
        Ok(Executor::BlockOn)
    }
}

/// The bridge, received in batches.
pub(super) struct Ours;

impl<T: Send + 'static> Channel<T> for Ours {
    type Sender = Sink<T>;
    type Receiver = (CallbackStream<T>, Vec<T>);

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        let (sink, stream) = callback_stream("bench")
            .capacity(capacity)
            .overflow(Overflow::Block)
            .build();
        (sink, (stream, Vec::new()))
    }

    fn send(sender: &Sink<T>, message: T) -> Result<(), &'static str> {
        let is_queued = sender.push(message).is_queued();
        is_queued.then_some(()).ok_or("refused")
    }

    async fn receive((stream, _): &mut Self::Receiver) -> Option<T> {
        stream.next().await
    }

    async fn consume((stream, batch): &mut Self::Receiver, count: u64) {
        let mut left = count;
        while left > 0 {
            let max = usize::try_from(left).map_or(BATCH, |left| left.min(BATCH));
            left -= stream.next_batch(batch, max).await as u64;
            for message in batch.drain(..) {
                drop(black_box(message));
            }
        }
    }
}

/// tokio's bounded channel, message by message.
pub(super) struct TokioMpsc;

impl<T: Send + 'static> Channel<T> for TokioMpsc {
    type Sender = tokio::sync::mpsc::Sender<T>;
    type Receiver = tokio::sync::mpsc::Receiver<T>;

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        tokio::sync::mpsc::channel(capacity)
    }

    fn send(sender: &Self::Sender, message: T) -> Result<(), &'static str> {
        sender.blocking_send(message).map_err(|_| "closed")
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<T> {
        receiver.recv().await
    }

    fn executor() -> Result<Executor, Failure> {
        Executor::tokio()
    }
}

/// tokio's bounded channel, received in batches.
pub(super) struct TokioMpscRecvMany;

impl<T: Send + 'static> Channel<T> for TokioMpscRecvMany {
    type Sender = tokio::sync::mpsc::Sender<T>;
    type Receiver = (tokio::sync::mpsc::Receiver<T>, Vec<T>);

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        let (sender, receiver) = tokio::sync::mpsc::channel(capacity);
        (sender, (receiver, Vec::new()))
    }

    fn send(sender: &Self::Sender, message: T) -> Result<(), &'static str> {
        TokioMpsc::send(sender, message)
    }

    async fn receive((receiver, _): &mut Self::Receiver) -> Option<T> {
        receiver.recv().await
    }

    async fn consume((receiver, batch): &mut Self::Receiver, count: u64) {
        let mut left = count;
        while left > 0 {
            let max = usize::try_from(left).map_or(BATCH, |left| left.min(BATCH));
            left -= receiver.recv_many(batch, max).await as u64;
            for message in batch.drain(..) {
                drop(black_box(message));
            }
        }
    }

    fn executor() -> Result<Executor, Failure> {
        Executor::tokio()
    }
}

/// smol's bounded channel.
pub(super) struct AsyncChannel;

impl<T: Send + 'static> Channel<T> for AsyncChannel {
    type Sender = async_channel::Sender<T>;
    type Receiver = async_channel::Receiver<T>;

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        async_channel::bounded(capacity)
    }

    fn send(sender: &Self::Sender, message: T) -> Result<(), &'static str> {
        sender.send_blocking(message).map_err(|_| "closed")
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<T> {
        receiver.recv().await.ok()
    }
}

/// flume's bounded channel.
pub(super) struct Flume;

impl<T: Send + 'static> Channel<T> for Flume {
    type Sender = flume::Sender<T>;
    type Receiver = flume::Receiver<T>;

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        flume::bounded(capacity)
    }

    fn send(sender: &Self::Sender, message: T) -> Result<(), &'static str> {
        sender.send(message).map_err(|_| "closed")
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<T> {
        receiver.recv_async().await.ok()
    }
}

/// kanal's bounded channel.
pub(super) struct Kanal;

impl<T: Send + 'static> Channel<T> for Kanal {
    type Sender = kanal::Sender<T>;
    type Receiver = kanal::AsyncReceiver<T>;

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        let (sender, receiver) = kanal::bounded_async(capacity);
        (sender.to_sync(), receiver)
    }

    fn send(sender: &Self::Sender, message: T) -> Result<(), &'static str> {
        sender.send(message).map_err(|_| "closed")
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<T> {
        receiver.recv().await.ok()
    }
}

/// crossfire's bounded channel.
pub(super) struct Crossfire;

impl<T: Send + 'static> Channel<T> for Crossfire {
    type Sender = crossfire::MTx<crossfire::mpsc::Array<T>>;
    type Receiver = crossfire::AsyncRx<crossfire::mpsc::Array<T>>;

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        crossfire::mpsc::bounded_blocking_async(capacity)
    }

    fn send(sender: &Self::Sender, message: T) -> Result<(), &'static str> {
        sender.send(message).map_err(|_| "closed")
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<T> {
        receiver.recv().await.ok()
    }
}

/// crossbeam's bounded channel: its receiver is a thread, for there is no async one.
pub(super) struct CrossbeamSync;

impl<T: Send + 'static> Channel<T> for CrossbeamSync {
    type Sender = crossbeam_channel::Sender<T>;
    type Receiver = crossbeam_channel::Receiver<T>;

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        crossbeam_channel::bounded(capacity)
    }

    fn send(sender: &Self::Sender, message: T) -> Result<(), &'static str> {
        sender.send(message).map_err(|_| "closed")
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<T> {
        receiver.recv().ok()
    }
}

/// How many messages a peer that can takes at a time.
const BATCH: usize = super::CAPACITY;
