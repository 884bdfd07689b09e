//! The same work without an engine: a task per message on tokio, and a bare `FuturesUnordered`.

use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::measure::{Failure, processor_time};

use super::{LEASE, OUTSTANDING};

/// The message.
type Message = Box<[u8; 64]>;

/// A task per message, with a task beside it that extends the lease until the message is done.
pub(crate) fn tokio_task_per_message(n: u64) -> Result<Duration, Failure> {
    tokio_on_this_thread(n, handle_beside_lease)
}

/// A task per message that extends the lease itself: one timer, and no second task.
pub(crate) fn tokio_lease_in_task(n: u64) -> Result<Duration, Failure> {
    tokio_on_this_thread(n, handle_under_lease)
}

fn tokio_on_this_thread<H>(n: u64, handle: fn(Message) -> H) -> Result<Duration, Failure>
where
    H: Future<Output = ()> + Send + 'static,
{
    let runtime = runtime()?;
    let tasks = Tasks::default();
    let before = processor_time();
    runtime.block_on(async {
        for message in messages(n) {
            tasks.spawn(handle(message)).await?;
        }
        tasks.all_ended().await
    })?;
    let took = processor_time() - before;
    assert_eq!(tasks.acked(), n, "every message is acked");
    Ok(took)
}

/// The same, and the messages come from a foreign thread through tokio's channel.
pub(crate) fn tokio_from_a_thread(n: u64) -> Result<Duration, Failure> {
    let runtime = runtime()?;
    let tasks = Tasks::default();
    let (sender, mut receiver) = mpsc::channel(OUTSTANDING);
    let began = Instant::now();
    let vendor = thread::spawn(move || {
        messages(n).try_for_each(|message| sender.blocking_send(message).map_err(|_| "closed"))
    });
    runtime.block_on(async {
        while let Some(message) = receiver.recv().await {
            tasks.spawn(handle_beside_lease(message)).await?;
        }
        tasks.all_ended().await
    })?;
    let took = began.elapsed();
    vendor.join().map_err(|_| "the vendor panicked")??;
    assert_eq!(tasks.acked(), n, "every message is acked");
    Ok(took)
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_time().build()?)
}

/// The tasks of tokio's peers, as many at a time as messages may be outstanding.
struct Tasks {
    permits: Arc<Semaphore>,
    acked: Arc<AtomicU64>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(OUTSTANDING)),
            acked: Arc::default(),
        }
    }
}

impl Tasks {
    /// Waits for a permit, and has the message handled.
    async fn spawn(
        &self,
        handling: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Failure> {
        let permit = Arc::clone(&self.permits).acquire_owned().await?;
        let acked = Arc::clone(&self.acked);
        // Detached: its permit comes back when it has ended.
        drop(tokio::spawn(async move {
            handling.await;
            // Relaxed: a counter that publishes nothing.
            acked.fetch_add(1, Ordering::Relaxed);
            drop(permit);
        }));
        Ok(())
    }

    /// All permits are free: all messages are done.
    async fn all_ended(&self) -> Result<(), Failure> {
        let all = u32::try_from(OUTSTANDING)?;
        Ok(self.permits.acquire_many(all).await.map(drop)?)
    }

    fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }
}

/// All messages in one future, which is as little as this can cost; nothing keeps their leases.
pub(crate) fn futures_unordered_no_lease(n: u64) -> Result<Duration, Failure> {
    let mut messages = messages(n);
    let acked = Rc::new(std::cell::Cell::new(0_u64));
    let handle = |message: Message| {
        let acked = Rc::clone(&acked);
        async move {
            futures::join!(branch(&message), branch(&message));
            acked.set(acked.get() + 1);
        }
    };
    let before = processor_time();
    block_on(async {
        let mut running = FuturesUnordered::new();
        running.extend(messages.by_ref().take(OUTSTANDING).map(handle));
        while running.next().await.is_some() {
            running.extend(messages.next().map(handle));
        }
    });
    let took = processor_time() - before;
    assert_eq!(acked.get(), n, "every message is acked");
    Ok(took)
}

/// Gives way to the executor once.
pub(crate) fn yield_once() -> YieldOnce {
    YieldOnce { has_yielded: false }
}

/// Resolves at its second poll.
#[derive(Debug)]
pub(crate) struct YieldOnce {
    has_yielded: bool,
}

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

async fn handle_beside_lease(message: Message) {
    let done = Arc::new(Notify::new());
    let lease = tokio::spawn(keep_lease(Arc::clone(&done)));
    futures::join!(branch(&message), branch(&message));
    done.notify_one();
    // Ignored: the lease's task neither panics nor is cancelled.
    let _ = lease.await;
}

async fn handle_under_lease(message: Message) {
    let mut handling = pin!(async { futures::join!(branch(&message), branch(&message)) });
    loop {
        tokio::select! {
            // In this order: without it the peer would pay for a random number as well.
            biased;
            _ = &mut handling => return,
            () = tokio::time::sleep(LEASE / 3) => {}
        }
    }
}

async fn keep_lease(done: Arc<Notify>) {
    loop {
        tokio::select! {
            () = done.notified() => return,
            () = tokio::time::sleep(LEASE / 3) => {}
        }
    }
}

async fn branch(payload: &[u8; 64]) {
    yield_once().await;
    black_box(payload);
}

/// Made when they are received.
fn messages(n: u64) -> impl Iterator<Item = Message> {
    (0..n).map(|_| Box::new([0; 64]))
}
