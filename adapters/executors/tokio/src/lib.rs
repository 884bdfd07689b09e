//! `mayhem-core`'s ports on tokio: [`TokioClock`] tells boot time, [`TokioSpawn`] starts tasks.
//!
//! Both only delegate, to the runtime whose handle they hold. The consumer itself may run on any
//! executor; the runtime has to be driven somewhere, with its timer enabled.
//!
//! # Examples
//!
//! ```
//! use mayhem_core::Clock;
//! use mayhem_tokio::TokioClock;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let clock = TokioClock::current();
//! let deadline = clock.now() + Duration::from_millis(5);
//! clock.sleep_until(deadline).await;
//! assert!(clock.now() >= deadline);
//! # }
//! ```

#[cfg(feature = "bridge")]
mod probe;

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::task::{FutureObj, Spawn, SpawnError};
use mayhem_core::{Clock, Instant};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;

#[cfg(feature = "bridge")]
pub use probe::register_probe;

/// Tells the time since boot, suspend included (`CLOCK_BOOTTIME`).
///
/// tokio's timers stand still while the machine is suspended and leases do not, so a sleep goes in
/// steps of at most one second and reads boot time after each: after a resume it is at most one
/// second late. Sleeping panics when the runtime has no timer or has been shut down.
#[derive(Clone, Debug)]
pub struct TokioClock {
    runtime: Handle,
}

impl TokioClock {
    /// Sleeps on `runtime`'s timer.
    pub fn on(runtime: Handle) -> Self {
        Self { runtime }
    }

    /// Sleeps on the timer of the runtime this is called in; panics outside one.
    pub fn current() -> Self {
        Self::on(Handle::current())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        read(ClockId::Boottime)
    }

    fn now_coarse(&self) -> Instant {
        read(ClockId::MonotonicCoarse)
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        async move {
            loop {
                let remaining = deadline - clock.now();
                if remaining.is_zero() {
                    return;
                }
                let step = {
                    // tokio finds its timer through the context in which a sleep is made; whoever
                    // polls us may be another executor. The guard ends before the await.
                    let _context = clock.runtime.enter();
                    tokio::time::sleep(remaining.min(STEP_MAX))
                };
                step.await;
            }
        }
        .boxed()
    }
}

/// Starts tasks on a tokio runtime.
///
/// A task is detached: it ends when it is done, or with its runtime. A panic in it is printed and
/// touches no other task. After the runtime's shutdown a task is dropped without being polled.
///
/// # Examples
///
/// ```
/// use futures::task::SpawnExt;
/// use mayhem_tokio::TokioSpawn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), futures::task::SpawnError> {
/// let answer = TokioSpawn::current().spawn_with_handle(async { 6 * 7 })?;
/// assert_eq!(answer.await, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokioSpawn {
    runtime: Handle,
}

impl TokioSpawn {
    /// Spawns on `runtime`.
    pub fn on(runtime: Handle) -> Self {
        Self { runtime }
    }

    /// Spawns on the runtime this is called in; panics outside one.
    pub fn current() -> Self {
        Self::on(Handle::current())
    }
}

impl Spawn for TokioSpawn {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        // Detached: whoever needs the result wraps the future in a handle of its own.
        drop(self.runtime.spawn(future));
        Ok(())
    }
}

fn read(clock: ClockId) -> Instant {
    let time = clock_gettime(clock);
    // Both clocks start at zero and only grow, so that neither conversion can fail.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds * 1_000_000_000 + nanos)
}

/// The longest step of a sleep: bounds how late a lease is noticed after a resume.
const STEP_MAX: Duration = Duration::from_secs(1);
