//! Several messages in one call: a handler that gathers, and gives each message its own verdict.
//!
//! ```text
//! handler of a ─┐ joins, leads
//! handler of b ─┼─→ batch ─ complete, or time is up, or a drain ─→ function(a, b, c)
//! handler of c ─┘                                                     │
//!        each its own verdict ←───────────────────────────────────────┘
//! ```
//!
//! To the consumer each message is handled by itself: it has its own lease, permit, timeout and
//! end. One of the handlers *leads*: it waits for the batch and drives the function's future. When
//! it is dropped, the lead goes to another handler of the batch, with that future as it stands.
//!
//! What is deliberately absent: a task of its own, and batches by weight or by key.

mod batch;
mod lead;

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::oneshot;

use self::batch::{Batch, Seated};
use self::lead::{Lead, Told};
use crate::control::lock;
use crate::{Delivery, Handler, Verdict};

/// A handler that handles messages in batches.
///
/// The function gets the deliveries of a batch, in the order in which their handlers started, and
/// returns one verdict for each, in the same order. It is called when the batch is complete, when
/// its first message has waited for as long as it may, or when the consumer begins to stop.
/// Batches are handled side by side, each as soon as it may be.
///
/// # What the consumer's settings mean for a batch
///
/// - A message that waits for its batch is being handled: it has a permit, and the time counts for
///   [`Builder::handler_timeout`](crate::Builder::handler_timeout).
/// - The [concurrency](crate::Builder::concurrency) counts messages, and no batch has more of them.
///   Best make it a multiple of the batch: so many batches gather or are handled at a time.
/// - Messages of one [key](crate::Builder::ordered_by) are never in one batch.
///
/// # Failures
///
/// - A message whose handler is dropped (a timeout, a stop), or whose lease is lost, is left out of
///   a batch that gathers. In one that is being handled the others go on, and its verdict is of no
///   effect: ask [`Delivery::is_lease_lost`] before a step that cannot be undone.
/// - If the function panics, or returns more or fewer verdicts than it got deliveries, the handler
///   of each message of the batch panics, which is an attempt of each. Return a verdict for the
///   message that is to blame instead.
/// - A poll of the function that takes too long is reported with the message that leads.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use mayhem_core::{Batched, Delivery, Verdict};
///
/// /// Adds all rows in one go; says which of them cannot be added.
/// async fn insert(rows: &[&[u8]]) -> std::io::Result<Vec<usize>> {
///     Ok((0..rows.len()).filter(|row| rows[*row].is_empty()).collect())
/// }
///
/// let handler = Batched::new(
///     100,
///     Duration::from_millis(20),
///     async |deliveries: Vec<Delivery>| {
///         let rows: Vec<&[u8]> = deliveries.iter().map(Delivery::payload).collect();
///         let Ok(refused) = insert(&rows).await else {
///             return vec![Verdict::Retry { after: None }; rows.len()];
///         };
///         let mut verdicts = vec![Verdict::Ack; rows.len()];
///         for row in refused {
///             verdicts[row] = Verdict::Dead("an empty row".to_owned());
///         }
///         verdicts
///     },
/// );
/// # fn is_handler(_: &impl mayhem_core::Handler) {}
/// # is_handler(&handler);
/// ```
pub struct Batched<F, B> {
    gatherer: Arc<Gatherer<F, B>>,
}

impl<F, B> Batched<F, B>
where
    F: Fn(Vec<Delivery>) -> B,
    B: Future<Output = Vec<Verdict>>,
{
    /// Has `function` handle up to `count_max` messages at a time, at least 1, and no later than
    /// `within` after the first of them.
    ///
    /// The function may be an `async |deliveries|` closure that borrows from around it, or a plain
    /// one that returns a future. An `async move` closure that has taken something along cannot be
    /// one: its future would borrow from the closure.
    pub fn new(count_max: usize, within: Duration, function: F) -> Self {
        let gatherer = Gatherer {
            count_max,
            within,
            function,
            open: Mutex::default(),
        };
        Self {
            gatherer: Arc::new(gatherer),
        }
    }

    /// Handles `delivery` together with others: what [`Handler::handle`] does, as a future that
    /// borrows nothing, as handlers that are tasks need it.
    ///
    /// # Panics
    ///
    /// If the function has panicked, with its message; or if it has returned more or fewer verdicts
    /// than it got deliveries.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping it takes the message out of its batch, and the others go on. The last
    /// one that is dropped takes the function's future with it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use futures::FutureExt;
    /// # use futures::task::Spawn;
    /// # use mayhem_core::{Batched, Consumer, Delivery, Verdict};
    /// # fn build(spawn: impl Spawn) {
    /// let batched = Batched::new(100, Duration::from_millis(20), async |deliveries| {
    ///     vec![Verdict::Ack; deliveries.len()]
    /// });
    /// let builder = Consumer::builder()
    ///     .spawned_handler(spawn, move |delivery| batched.handle(delivery).boxed());
    /// # }
    /// ```
    pub fn handle(&self, delivery: &Delivery) -> impl Future<Output = Verdict> + use<F, B> {
        let (gatherer, delivery) = (Arc::clone(&self.gatherer), delivery.clone());
        async move {
            let told = match gatherer.join(delivery) {
                Joined::First(lead) => Told::Lead(lead),
                Joined::Later(told) => match told.await {
                    Ok(told) => told,
                    // Left out: what it returns is of no effect.
                    Err(oneshot::Canceled) => return LEFT_OUT,
                },
            };
            let ended = match told {
                Told::Ended(ended) => ended,
                Told::Lead(mut lead) => {
                    poll_fn(|cx| lead.poll(cx, gatherer.within, &gatherer.function)).await
                }
            };
            // The panic was told where it began: only its message goes on from here.
            ended.unwrap_or_else(|message| resume_unwind(Box::new(message)))
        }
    }
}

impl<F, B> Handler for Batched<F, B>
where
    F: Fn(Vec<Delivery>) -> B,
    B: Future<Output = Vec<Verdict>>,
{
    fn handle(&self, delivery: &Delivery) -> impl Future<Output = Verdict> {
        Self::handle(self, delivery)
    }
}

impl<F, B> fmt::Debug for Batched<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("count_max", &self.gatherer.count_max)
            .field("within", &self.gatherer.within)
            .finish_non_exhaustive()
    }
}

struct Gatherer<F, B> {
    count_max: usize,
    within: Duration,
    function: F,
    /// The batch that was begun last, which is likely to be open.
    open: Mutex<Option<Arc<Batch<B>>>>,
}

/// How a message has come into its batch.
enum Joined<B> {
    /// It leads.
    First(Lead<B>),
    /// It will be told.
    Later(oneshot::Receiver<Told<B>>),
}

impl<F, B> Gatherer<F, B> {
    fn join(&self, delivery: Delivery) -> Joined<B> {
        let count_max = self.count_max.min(delivery.shared().concurrency());
        let mut open = lock(&self.open);
        let joined = match open.as_ref() {
            Some(batch) => batch.join(delivery, count_max),
            None => Err(delivery),
        };
        match joined {
            Ok(Seated { told, complete }) => {
                drop(open);
                // Without the lock: it wakes the one that leads.
                if let Some(complete) = complete {
                    complete.set();
                }
                Joined::Later(told)
            }
            Err(delivery) => {
                let shared = Arc::clone(delivery.shared());
                let batch = Arc::new(Batch::new(delivery, count_max));
                let closed = open.replace(Arc::clone(&batch));
                drop(open);
                drop(closed);
                Joined::First(Lead::new(batch, shared))
            }
        }
    }
}

/// Of a message without which its batch was handled, because its lease was lost: the consumer tells
/// the broker nothing of it.
const LEFT_OUT: Verdict = Verdict::Retry { after: None };
