//! The durable local broker: the vendor SDK, through the bridge, as the consumer's broker port.
//!
//! ```text
//! SDK thread ─ callback ─→ Sink ─→ CallbackStream ─→ receive
//! settle, extend ─→ a thread of the BlockingPool ─→ Client (durable on return)
//! ```
//!
//! The SDK's subscription holds the only sink, so the stream ends when the subscription does,
//! whatever ended it. No thread and no timer of its own; the executor is whoever polls.
//!
//! Absent on purpose: publishing, which is the SDK's [`Client`], and retries, which are core's.
mod error;
mod intake;

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use mayhem_bridge::{BlockingPool, Overflow, Sink, ThreadClaim, callback_stream, claim_threads};
use mayhem_core::{
    Broker, BrokerError, Caps, Extension, Instant, LeaseToken, Message, Outcome, Pull, Received,
    Settle, Settlement,
};
use vendor_sdk::{Client, Error, Leased, SubscribeOptions, Subscription, Token};

use crate::error::{of_pool, of_sdk};
use crate::intake::Intake;

/// A subscription of a queue file as a [`Broker`].
///
/// Dropping it stops the subscription without waiting; what was delivered and not settled runs out.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::BlockingPool;
/// use mayhem_core::{Broker, Outcome, Pull, Settle, Settlement};
/// use mayhem_local::LocalBroker;
/// use vendor_sdk::{Client, Options, SubscribeOptions};
///
/// let folder = tempfile::tempdir()?;
/// let client = Client::open(&folder.path().join("queue"), Options::default())?;
/// client.publish("orders", vec![b"one".to_vec().into()])?;
///
/// let pool = BlockingPool::builder().name("store").threads(2).build();
/// let options = SubscribeOptions::new("orders");
/// let broker = LocalBroker::open(client.clone(), "clerk", options, pool)?;
/// let received = block_on(broker.receive(Pull::Next { count_max: 10 }))?;
/// let message = &received[0].message;
/// let settlement =
///     Settlement { id: message.id.clone(), lease: message.lease.clone(), settle: Settle::Ack };
/// assert_eq!(block_on(broker.settle(vec![settlement]))?, [Outcome::Done]);
/// assert!(block_on(broker.receive(Pull::Close))?.is_empty());
/// assert!(client.browse("orders")?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LocalBroker {
    // Declared before the intake, and so dropped first: the SDK stops before its stream goes.
    subscription: Arc<Subscription>,
    client: Client,
    pool: BlockingPool,
    intake: Intake,
    /// Whether the subscription is to be paused.
    is_held: Arc<AtomicBool>,
}

impl LocalBroker {
    /// Subscribes, under the name `subscription`.
    ///
    /// `pool` runs the blocking calls; one thread suffices, two let settlements share a sync.
    ///
    /// # Errors
    ///
    /// As [`Client::subscribe`].
    ///
    /// # Blocking
    ///
    /// For one transaction: call it on a pool's thread, or before the executor runs.
    pub fn open(
        client: Client,
        subscription: &str,
        options: SubscribeOptions,
        pool: BlockingPool,
    ) -> Result<Self, Error> {
        // As many places as there can be leased messages, so that a callback finds room. It waits
        // only when leases ran out unread, and then the SDK has to wait anyway.
        let (sink, stream) = callback_stream(subscription)
            .capacity(options.max_outstanding.max(1))
            .overflow(Overflow::Block)
            .build();
        // For the life of the process, for a client's threads outlive its subscriptions. The SDK
        // calls all its threads so; those that call back push, and are known better.
        SDK_THREADS.get_or_init(|| claim_threads("sdk-", "vendor-sdk"));
        let callback_client = client.clone();
        let callback = move |leased: Leased| deliver(&sink, &callback_client, leased);
        let subscription = client.subscribe(subscription, options, callback)?;
        Ok(Self {
            subscription: Arc::new(subscription),
            client,
            pool,
            intake: Intake::new(stream),
            is_held: Arc::default(),
        })
    }

    async fn next(&self, count_max: usize) -> Result<Vec<Received>, BrokerError> {
        // Before the resume: a pause that is still on its way looks again when it has paused.
        if self.is_held.swap(false, Ordering::SeqCst) {
            self.subscription.resume();
        }
        self.take_next(count_max).await
    }

    async fn take_next(&self, count_max: usize) -> Result<Vec<Received>, BrokerError> {
        let batch = poll_fn(|cx| self.intake.poll_next(cx, count_max)).await;
        if batch.is_empty() {
            self.ended().await
        } else {
            Ok(batch)
        }
    }

    /// Stops pulling for now, and takes what is called back meanwhile and after.
    async fn hold(&self) -> Result<Vec<Received>, BrokerError> {
        self.is_held.store(true, Ordering::SeqCst);
        let (subscription, is_held) = (Arc::clone(&self.subscription), Arc::clone(&self.is_held));
        let pause = self.pool.run_async("pause pulling", move |_| {
            subscription.pause();
            // The call was dropped meanwhile, and a `Next` came before the pause.
            if !is_held.load(Ordering::SeqCst) {
                subscription.resume();
            }
        });
        let mut paused = pause.fuse().boxed();
        let mut next = self.take_next(usize::MAX).boxed();
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = paused.poll_unpin(cx) {
                return Poll::Ready(Err(of_pool(error)));
            }
            next.poll_unpin(cx)
        })
        .await
    }

    async fn close(&self) -> Result<Vec<Received>, BrokerError> {
        let subscription = Arc::clone(&self.subscription);
        let mut cancelled = self
            .pool
            .run_async("stop pulling", move |_| subscription.cancel())
            .boxed();
        poll_fn(|cx| {
            // Drains meanwhile: a callback that waits for room would keep `cancel` waiting.
            self.intake.poll_drain(cx);
            cancelled.poll_unpin(cx)
        })
        .await
        .map_err(of_pool)?;
        let batch = self.intake.take_rest();
        if batch.is_empty() {
            self.ended().await
        } else {
            Ok(batch)
        }
    }

    /// What the end of the stream means: an end in order, or the SDK's error.
    async fn ended(&self) -> Result<Vec<Received>, BrokerError> {
        let subscription = Arc::clone(&self.subscription);
        let result = self
            .pool
            .run_async("end of pulling", move |_| subscription.result())
            .await;
        result
            .map_err(of_pool)?
            .map(|()| Vec::new())
            .map_err(of_sdk)
    }
}

impl Broker for LocalBroker {
    fn receive(&self, pull: Pull) -> BoxFuture<'_, Result<Vec<Received>, BrokerError>> {
        match pull {
            Pull::Next { count_max } => self.next(count_max.max(1)).boxed(),
            Pull::Hold => self.hold().boxed(),
            Pull::Close => self.close().boxed(),
        }
    }

    fn settle(&self, batch: Vec<Settlement>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        let count = batch.len();
        let items = by_token(
            batch
                .into_iter()
                .map(|item| (item.lease, of_settle(item.settle))),
        );
        let client = self.client.clone();
        let call = move |items| client.settle(items);
        run(&self.pool, "settle", count, items, call).boxed()
    }

    fn extend(&self, batch: Vec<Extension>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        let count = batch.len();
        let items = by_token(batch.into_iter().map(|item| (item.lease, item.duration)));
        let client = self.client.clone();
        let call = move |items| client.extend(items);
        run(&self.pool, "extend", count, items, call).boxed()
    }

    fn caps(&self) -> Caps {
        Caps {
            settle_count_max: BATCH_COUNT_MAX,
            extend_count_max: BATCH_COUNT_MAX,
            nack_delay: true,
            confirmed_ack: true,
        }
    }
}

/// The SDK's callback: on its thread, never unwinding into it.
fn deliver(sink: &Sink<Received>, client: &Client, leased: Leased) {
    let token = leased.token;
    let pushed = sink.guard(|| sink.push(of_leased(leased)).is_queued());
    if matches!(pushed, Ok(true)) {
        return;
    }
    // Nobody will read it: back at once, rather than when its lease has run out.
    let nack = vendor_sdk::Settle::Nack {
        after: Duration::ZERO,
        counted: false,
    };
    if let Err(error) = client.settle(vec![(token, nack)]) {
        log::debug!("handing back {token}: {error}");
    }
}

fn of_leased(leased: Leased) -> Received {
    // Boot time in nanoseconds, the clock of every real executor adapter.
    let deadline_nanos = u64::try_from(leased.deadline_boot.as_nanos()).unwrap_or(u64::MAX);
    Received {
        message: Message {
            id: leased.id.to_string().into(),
            lease: leased.token.to_string().into(),
            attempt: leased.attempt,
            payload: leased.payload,
        },
        deadline: Instant::from_nanos(deadline_nanos),
    }
}

fn of_settle(settle: Settle) -> vendor_sdk::Settle {
    match settle {
        Settle::Ack => vendor_sdk::Settle::Ack,
        Settle::Nack { after, counted } => vendor_sdk::Settle::Nack { after, counted },
        Settle::Dead { reason } => vendor_sdk::Settle::Dead { reason },
    }
}

/// The items whose lease is one of ours, each with its place in the batch.
fn by_token<T>(items: impl Iterator<Item = (LeaseToken, T)>) -> Vec<(usize, (Token, T))> {
    items
        .enumerate()
        .filter_map(|(place, (lease, item))| {
            Some((place, (lease.as_str().parse::<Token>().ok()?, item)))
        })
        .collect()
}

/// Runs a batch on the pool; an item that is not in it was under no lease of ours.
async fn run<T: Send + 'static>(
    pool: &BlockingPool,
    label: &'static str,
    count: usize,
    items: Vec<(usize, (Token, T))>,
    call: impl FnOnce(Vec<(Token, T)>) -> Result<Vec<vendor_sdk::Outcome>, Error> + Send + 'static,
) -> Result<Vec<Outcome>, BrokerError> {
    let (places, items): (Vec<usize>, Vec<(Token, T)>) = items.into_iter().unzip();
    let answers = pool
        .run_async(label, move |_| call(items))
        .await
        .map_err(of_pool)?;
    let mut outcomes = vec![Outcome::Gone; count];
    for (place, answer) in places.into_iter().zip(answers.map_err(of_sdk)?) {
        if answer == vendor_sdk::Outcome::Done {
            outcomes[place] = Outcome::Done;
        }
    }
    Ok(outcomes)
}

/// Items in one call: bounds a transaction to some milliseconds.
const BATCH_COUNT_MAX: usize = 4096;

static SDK_THREADS: OnceLock<ThreadClaim> = OnceLock::new();
