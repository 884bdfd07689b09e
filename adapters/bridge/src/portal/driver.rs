//! The one future that runs everything a portal accepted.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::task::{Spawn, SpawnExt};

use super::PortalStats;
use super::engine::{Engine, Host};
use super::shared::{Entry, Shared};
use super::spawned::Spawned;
use crate::panic::{contain, discard};
use crate::sync::Arc;

/// Runs what its [`Portal`](super::Portal) accepts, on whatever executor polls it.
///
/// Ends when the portal is closed (or its last clone dropped) and nothing is left, with the final
/// counts. Dropping it, polled or not, drops what was accepted and completes every handle with
/// [`JoinError::PortalClosed`](super::JoinError::PortalClosed).
///
/// # Cancel safety
///
/// Dropping it is the end of the portal, in order: nobody waits for ever.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::Portal;
///
/// let (portal, driver) = Portal::builder().name("ingest").build();
/// let driving = executor::spawn(driver);
/// assert_eq!(portal.call(async { 42 }).unwrap(), 42);
/// drop(portal);
/// assert_eq!(driving.join().unwrap().completed, 1);
/// # mod executor {
/// #     pub fn spawn<F>(future: F) -> std::thread::JoinHandle<F::Output>
/// #     where
/// #         F: Future<Output: Send> + Send + 'static,
/// #     {
/// #         std::thread::spawn(|| futures::executor::block_on(future))
/// #     }
/// # }
/// ```
#[must_use = "nothing runs until an executor polls the driver"]
pub struct Driver {
    engine: Engine<Anywhere>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            engine: Engine::new(shared, Anywhere::default()),
        }
    }

    /// Has every future run as a task of its own, spawned by the driver, instead of inside it: in
    /// parallel on an executor with several threads.
    ///
    /// The driver still has to be polled: it spawns. It ends when all tasks have. Dropping it, or
    /// [`Close::Cancel`](super::Close::Cancel), wakes each task to drop its future. A task that its
    /// executor drops, or refuses, completes its handle as well.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::executor::{ThreadPool, block_on};
    /// use mayhem_bridge::Portal;
    ///
    /// let pool = ThreadPool::builder().pool_size(2).create().unwrap();
    /// let (portal, driver) = Portal::builder().build();
    /// let handle = portal.run_coroutine_threadsafe(async { 7 }).unwrap();
    /// drop(portal);
    /// let stats = block_on(driver.spawner(pool));
    /// assert_eq!(handle.wait().unwrap(), 7);
    /// assert_eq!(stats.completed, 1);
    /// ```
    pub fn spawner(mut self, spawner: impl Spawn + Send + 'static) -> Self {
        self.engine.host.spawner = Some(Box::new(spawner));
        self
    }
}

impl Future for Driver {
    type Output = PortalStats;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PortalStats> {
        self.engine.poll(cx)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Driver")
            .field("portal", &self.engine.shared.name)
            .field("stats", &self.engine.shared.stats())
            .finish_non_exhaustive()
    }
}

/// Jobs that may move between threads, polled in place or spawned.
#[derive(Default)]
struct Anywhere {
    spawner: Option<Box<dyn Spawn + Send>>,
    husks: Vec<BoxFuture<'static, ()>>,
}

impl Host for Anywhere {
    type Job = dyn Future<Output = ()> + Send;

    fn admit(&mut self, shared: &Arc<Shared>, entry: Entry) -> Option<BoxFuture<'static, ()>> {
        let job = match entry {
            Entry::Job(job) => job,
            // Never: only a local portal makes these, and its driver is a local one.
            Entry::Make(make) => {
                discard(make);
                return None;
            }
        };
        let Some(spawner) = &self.spawner else {
            return Some(job);
        };
        let task = Spawned::new(Arc::clone(shared), job);
        match contain(|| spawner.spawn(task)) {
            Ok(Ok(())) => {}
            // The task was dropped, and so its handle is told.
            Ok(Err(refusal)) => log::error!("portal {}: no task: {refusal}", shared.name),
            Err(panic) => log::error!("portal {}: no task: {}", shared.name, panic.message()),
        }
        None
    }

    fn keep_husk(&mut self, husk: BoxFuture<'static, ()>) {
        if self.husks.len() < HUSKS_MAX {
            self.husks.push(husk);
        }
    }

    fn leave_husks(&mut self, husks: &mut Vec<BoxFuture<'static, ()>>) {
        while husks.len() < HUSKS_MAX
            && let Some(husk) = self.husks.pop()
        {
            husks.push(husk);
        }
    }
}

/// How many ended jobs wait to be freed, on either side: some for each of a few busy callers.
const HUSKS_MAX: usize = 8;
