//! The face for models: loom or shuttle decides who runs when, and the model decides when time
//! passes.
//!
//! Time stands still unless the model calls [`model::pass_time`], typically from a thread of its
//! own: then an hour passes at once, and where in the run that happens is one more choice of the
//! checker. A deadline that nobody lets pass is not reached.

#[cfg(mayhem_model = "loom")]
use loom as checker;
#[cfg(mayhem_model = "shuttle")]
use shuttle as checker;

use std::ops::{Add, Deref, DerefMut, Sub};
use std::sync::{Arc, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

pub(crate) use checker::sync::atomic;

use super::plain;
use atomic::{AtomicU64, Ordering};

/// What models need beyond the public surface of the bridge.
pub mod model {
    use super::{AtomicU64, CLOCK, HOUR, Ordering, TIMED_WAITS, clock, nanos};
    use std::sync::{Arc, PoisonError};

    /// Begins a run: call it before anything else in one.
    pub fn begin() {
        TIMED_WAITS.lock().clear();
        *CLOCK.lock() = Some(Arc::new(AtomicU64::new(0)));
    }

    /// Lets an hour pass: every shorter deadline that something waits for now is over.
    pub fn pass_time() {
        // Read-modify-write, as where a wait looks at the clock: one of the two sees the other.
        clock().fetch_add(nanos(HOUR), Ordering::AcqRel);
        let waits: Vec<_> = TIMED_WAITS.lock().clone();
        for wait in waits {
            // Once we had the lock, the waiter is truly asleep and the notification reaches it.
            drop(wait.gate.lock().unwrap_or_else(PoisonError::into_inner));
            wait.condvar.notify_all();
        }
    }
}

/// A mutex whose lock the checker sees. The value itself stands beside that lock, so that a wait
/// with a deadline can name the lock without knowing the value's type.
pub(crate) struct Mutex<T> {
    gate: Arc<checker::sync::Mutex<()>>,
    value: std::sync::Mutex<T>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            gate: Arc::new(checker::sync::Mutex::new(())),
            value: std::sync::Mutex::new(value),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        MutexGuard::behind(gate, self)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> std::fmt::Debug for Mutex<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Mutex")
    }
}

/// The lock of a [`Mutex`].
pub(crate) struct MutexGuard<'a, T> {
    // In this order: the value is given back before anybody else may pass the gate.
    value: std::sync::MutexGuard<'a, T>,
    gate: checker::sync::MutexGuard<'a, ()>,
    mutex: &'a Mutex<T>,
}

impl<'a, T> MutexGuard<'a, T> {
    fn behind(gate: checker::sync::MutexGuard<'a, ()>, mutex: &'a Mutex<T>) -> Self {
        let value = match mutex.value.try_lock() {
            Ok(value) => value,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => unreachable!("the gate lets one in at a time"),
        };
        Self { value, gate, mutex }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// A condition variable over [`Mutex`].
pub(crate) struct Condvar(Arc<checker::sync::Condvar>);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(Arc::new(checker::sync::Condvar::new()))
    }

    /// Waits until notified or until `deadline`; true means that the deadline has passed.
    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, T>, bool) {
        let MutexGuard { value, gate, mutex } = guard;
        drop(value);
        let Some(deadline) = deadline else {
            let gate = self.0.wait(gate).unwrap_or_else(PoisonError::into_inner);
            return (MutexGuard::behind(gate, mutex), false);
        };
        let wait = Arc::new(TimedWait {
            gate: Arc::clone(&mutex.gate),
            condvar: Arc::clone(&self.0),
        });
        // First known, then a look at the clock; `pass_time` does the reverse.
        TIMED_WAITS.lock().push(Arc::clone(&wait));
        let mut gate = gate;
        let is_over = || Instant(clock().fetch_add(0, Ordering::AcqRel)) >= deadline;
        let mut timed_out = is_over();
        if !timed_out {
            gate = self.0.wait(gate).unwrap_or_else(PoisonError::into_inner);
            timed_out = is_over();
        }
        TIMED_WAITS
            .lock()
            .retain(|known| !Arc::ptr_eq(known, &wait));
        (MutexGuard::behind(gate, mutex), timed_out)
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Condvar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Condvar")
    }
}

/// A moment of the model's own time: nanoseconds since the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Instant(u64);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(clock().load(Ordering::Acquire))
    }

    pub(crate) fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(nanos(duration)).map(Self)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) mod thread {
    use super::checker;

    pub(crate) use checker::thread::{ThreadId, current, yield_now};

    /// As in the standard library.
    pub(crate) struct Builder(checker::thread::Builder);

    impl Builder {
        pub(crate) fn new() -> Self {
            Self(checker::thread::Builder::new())
        }

        pub(crate) fn name(self, name: String) -> Self {
            Self(self.0.name(name))
        }

        pub(crate) fn spawn<F, T>(self, code: F) -> std::io::Result<JoinHandle<T>>
        where
            F: FnOnce() -> T + Send + 'static,
            T: Send + 'static,
        {
            self.0.spawn(code).map(JoinHandle)
        }
    }

    /// As in the standard library, except for a thread's last steps, which the checker does not
    /// show: a thread counts as finished, and joining it waits for it.
    pub(crate) struct JoinHandle<T>(checker::thread::JoinHandle<T>);

    impl<T: 'static> JoinHandle<T> {
        pub(crate) fn is_finished(&self) -> bool {
            true
        }

        pub(crate) fn join(self) -> std::thread::Result<T> {
            self.0.join()
        }
    }
}

/// Whether the planted bug of this name is in the code: one at a time, named by `MAYHEM_BUG`.
pub(crate) fn bug(name: &str) -> bool {
    static PLANTED: OnceLock<Option<String>> = OnceLock::new();
    let planted = PLANTED.get_or_init(|| std::env::var("MAYHEM_BUG").ok());
    planted.as_deref() == Some(name)
}

/// `thread_local!` of the checker's threads, which share one thread of the operating system.
#[cfg(mayhem_model = "loom")]
macro_rules! locals {
    ($($declarations:tt)+) => { loom::thread_local! { $($declarations)+ } };
}
#[cfg(mayhem_model = "shuttle")]
macro_rules! locals {
    ($($declarations:tt)+) => { shuttle::thread_local! { $($declarations)+ } };
}
pub(crate) use locals;

/// A wait with a deadline that is going on.
struct TimedWait {
    gate: Arc<checker::sync::Mutex<()>>,
    condvar: Arc<checker::sync::Condvar>,
}

static TIMED_WAITS: plain::Mutex<Vec<Arc<TimedWait>>> = plain::Mutex::new(Vec::new());

/// The time of the run that is going on. Not the checker's kind of static, which does not outlive
/// the main thread of a run, as others may.
static CLOCK: plain::Mutex<Option<Arc<AtomicU64>>> = plain::Mutex::new(None);

fn clock() -> Arc<AtomicU64> {
    CLOCK.lock().clone().expect("a model calls `begin` first")
}

const HOUR: Duration = Duration::from_secs(3600);
