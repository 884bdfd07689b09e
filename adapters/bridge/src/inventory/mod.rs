//! Every thread of the process: whose it is, what it does, since when.
//!
//! Threads of pools and close hooks are known from birth, vendor threads from their first push,
//! driver threads while their guard lives or while they poll a portal's driver. An SDK's internal
//! threads, which never push, are known by their names where [`claim_threads`] says so. Every other
//! thread is listed under the owner `unclaimed`, with the name the operating system has for it.
//! Threads known by name and unclaimed ones are listed on Linux only.
//!
//! Deliberately absent: stack traces, CPU time, and any guess at who started an unclaimed thread.

mod names;
mod os;
mod presence;
mod registry;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::context::{Inside, Place, enter};
use crate::sync::Arc;
use crate::sync::plain::Instant;

pub(crate) use presence::Presence;
pub(crate) use registry::{Worker, announce, mark_blocked, note_vendor, with_driver};

/// One thread of this process, as [`inventory`] saw it.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{BlockingPool, ThreadKind, inventory};
///
/// let pool = BlockingPool::builder().name("doc-pool").threads(1).build();
/// pool.run("warm", |_| ()).unwrap().wait().unwrap();
/// let thread = inventory().into_iter().find(|thread| thread.owner == "doc-pool").unwrap();
/// assert_eq!((thread.kind, thread.name.as_str()), (ThreadKind::Pool, "doc-pool-1"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// The thread's name; on Linux at most 15 bytes when only the operating system knows it.
    pub name: String,
    /// The name of the pool, stream, portal or driver it belongs to; `unclaimed` if none.
    pub owner: String,
    /// In which way it belongs to its owner.
    pub kind: ThreadKind,
    /// What it does at this moment, where that is known.
    pub job: Option<String>,
    /// The operating system's id of the thread; `None` where it is not known (not on Linux, or the
    /// thread has not started yet).
    pub os_id: Option<u32>,
    /// Whether it works, idles or waits.
    pub state: ThreadState,
    /// Since when it is in this state; for a thread known by its name, since it started; `None` if
    /// unclaimed.
    pub since: Option<Instant>,
}

/// In which way a thread belongs to its owner.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{Overflow, ThreadKind, callback_stream, inventory};
///
/// let (sink, _stream) = callback_stream("doc-kinds").overflow(Overflow::Fail).build();
/// assert!(sink.push(1).is_queued());
/// // This thread has pushed, so it is an SDK's as far as the bridge can tell.
/// let threads = inventory();
/// let thread = threads.iter().find(|thread| thread.owner == "doc-kinds").unwrap();
/// assert_eq!(thread.kind, ThreadKind::Vendor);
/// assert_eq!(thread.kind.to_string(), "vendor");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThreadKind {
    /// A worker of a [`BlockingPool`](crate::BlockingPool).
    Pool,
    /// The short-lived thread of a stream's close hook.
    Closer,
    /// A foreign thread that has pushed into a stream, or whose name [`claim_threads`] knows.
    Vendor,
    /// A thread that drives an executor, or that is polling a portal's driver.
    Driver,
    /// None of ours.
    Unclaimed,
}

/// What a thread is doing.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{BlockingPool, ThreadState};
///
/// let pool = BlockingPool::builder().name("doc").threads(1).build();
/// let watched = pool.clone();
/// let job = pool.run("looks at itself", move |_| watched.threads()[0].state).unwrap();
/// assert_eq!(job.wait().unwrap(), ThreadState::Running);
/// assert_eq!(ThreadState::Running.to_string(), "running");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThreadState {
    /// A worker that waits for a job.
    Idle,
    /// It runs a job or polls a driver.
    Running,
    /// It waits in a push until the stream has room, or, a worker, for a permit of its
    /// [`Limiter`](crate::Limiter).
    Blocked,
    /// It runs a job that was cancelled and whose owner no longer waits; see
    /// [`Job::abandon_on_cancel`](crate::Job::abandon_on_cancel).
    Abandoned,
    /// Its owner does not tell.
    Unknown,
}

impl ThreadInfo {
    /// Whether the thread belongs to a part of the bridge.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{ThreadKind, inventory};
    ///
    /// let threads = inventory();
    /// // Those of the process that nobody has told us of come last.
    /// assert!(threads.is_sorted_by_key(|thread| !thread.is_claimed()));
    /// let foreign = threads.iter().filter(|thread| !thread.is_claimed());
    /// assert!(foreign.into_iter().all(|thread| thread.kind == ThreadKind::Unclaimed));
    /// ```
    pub fn is_claimed(&self) -> bool {
        self.kind != ThreadKind::Unclaimed
    }

    /// How long it has been in its state: the time since [`since`](Self::since).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::BlockingPool;
    /// use std::time::{Duration, Instant};
    ///
    /// let began = Instant::now();
    /// let pool = BlockingPool::builder().name("doc").threads(1).build();
    /// pool.run("warm", |_| ()).unwrap().wait().unwrap();
    /// let age = pool.threads()[0].age().unwrap();
    /// assert!(age <= began.elapsed() && age < Duration::from_secs(3600));
    /// ```
    pub fn age(&self) -> Option<Duration> {
        self.since.map(|since| since.elapsed())
    }
}

impl fmt::Display for ThreadKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Pool => "pool",
            Self::Closer => "closer",
            Self::Vendor => "vendor",
            Self::Driver => "driver",
            Self::Unclaimed => "unclaimed",
        })
    }
}

impl fmt::Display for ThreadState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Blocked => "blocked",
            Self::Abandoned => "abandoned",
            Self::Unknown => "unknown",
        })
    }
}

/// Lists every thread of the process, claimed ones first, each group by OS id.
///
/// The list is a snapshot: a thread may end while it is being read. A thread that ended its work
/// within the last second is not listed, even if the operating system still shows it.
///
/// # Blocking
///
/// Reads `/proc/self/task` (one small file per unclaimed thread) and takes short locks: fit for a
/// status command, not for a hot path.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{BlockingPool, inventory};
///
/// let pool = BlockingPool::builder().name("store").threads(1).build();
/// let (started, is_started) = std::sync::mpsc::channel();
/// let (release, is_released) = std::sync::mpsc::channel::<()>();
/// let job = pool.run("compact", move |_| {
///     started.send(()).unwrap();
///     let _ = is_released.recv();
/// });
/// is_started.recv().unwrap();
///
/// let threads = inventory();
/// let worker = threads.iter().find(|thread| thread.owner == "store").unwrap();
/// assert_eq!((worker.name.as_str(), worker.job.as_deref()), ("store-1", Some("compact")));
///
/// drop(release);
/// job.unwrap().wait().unwrap();
/// ```
pub fn inventory() -> Vec<ThreadInfo> {
    registry::snapshot()
}

/// Says that the current thread drives an executor, under the name `owner`, until the guard drops.
///
/// The thread is listed in [`inventory`] as a [`ThreadKind::Driver`], and a blocking push that
/// would have to wait is refused on it with [`Push::WouldDeadlock`](crate::Push::WouldDeadlock):
/// the consumer may be waiting for its turn on this very thread.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{ThreadKind, inventory, register_driver};
///
/// let driving = register_driver("main");
/// let is_main = |kind| inventory().iter().any(|it| it.owner == "main" && it.kind == kind);
/// assert!(is_main(ThreadKind::Driver));
/// drop(driving);
/// assert!(!is_main(ThreadKind::Driver));
/// ```
#[must_use = "the thread is a driver only while the guard lives"]
pub fn register_driver(owner: impl Into<String>) -> DriverGuard {
    let id = with_driver(Arc::from(owner.into()));
    DriverGuard {
        id,
        _inside: enter(Place::Driver),
        not_send: PhantomData,
    }
}

/// Ends the registration of a driver thread when dropped. Stays on its thread.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{DriverGuard, inventory, register_driver};
///
/// // Kept beside the executor, for as long as this thread drives it.
/// struct Loop {
///     _driving: DriverGuard,
/// }
///
/// let running = Loop { _driving: register_driver("doc-loop") };
/// let is_listed = || inventory().iter().any(|thread| thread.owner == "doc-loop");
/// assert!(is_listed());
/// drop(running);
/// assert!(!is_listed());
/// ```
#[derive(Debug)]
pub struct DriverGuard {
    id: u64,
    _inside: Inside,
    not_send: PhantomData<*const ()>,
}

impl Drop for DriverGuard {
    fn drop(&mut self) {
        registry::end_driver(self.id);
    }
}

/// Says that every thread whose name begins with `prefix` belongs to `owner`, until the claim
/// drops: for an SDK's internal threads, which never push and so are not met otherwise.
///
/// It covers threads that start later too, and yields to what is known better: a thread that has
/// pushed belongs to its stream. Of several claims the longest prefix counts. The operating system
/// keeps 15 bytes of a name, so no more of the prefix is compared. Linux only; elsewhere such
/// threads are not listed.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{ThreadKind, claim_threads, inventory};
///
/// let (release, is_released) = std::sync::mpsc::channel::<()>();
/// let sdk = std::thread::Builder::new()
///     .name("acme-heartbeat".to_owned())
///     .spawn(move || is_released.recv().unwrap_or(()))
///     .unwrap();
///
/// let _claim = claim_threads("acme-", "acme-sdk");
/// # if cfg!(target_os = "linux") {
/// let find = || inventory().into_iter().find(|thread| thread.name == "acme-heartbeat");
/// # while find().is_none() { std::thread::yield_now() } // It sets its name itself.
/// let heartbeat = find().unwrap();
/// assert_eq!((heartbeat.owner.as_str(), heartbeat.kind), ("acme-sdk", ThreadKind::Vendor));
/// # }
/// drop(release);
/// sdk.join().unwrap();
/// ```
#[must_use = "the threads are claimed only while the claim lives"]
pub fn claim_threads(prefix: impl Into<String>, owner: impl Into<String>) -> ThreadClaim {
    ThreadClaim {
        id: names::claim_names(prefix.into(), owner.into()),
    }
}

/// Ends the claim of [`claim_threads`] when dropped.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{ThreadClaim, claim_threads};
///
/// // Kept beside the SDK's client, for as long as that has threads.
/// struct Client {
///     _threads: ThreadClaim,
/// }
///
/// let client = Client { _threads: claim_threads("acme-", "acme-sdk") };
/// assert!(format!("{:?}", client._threads).contains("ThreadClaim"));
/// ```
#[derive(Debug)]
pub struct ThreadClaim {
    id: u64,
}

impl Drop for ThreadClaim {
    fn drop(&mut self) {
        names::end_names(self.id);
    }
}

#[cfg(test)]
mod tests;
