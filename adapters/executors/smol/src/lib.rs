//! `mayhem-core`'s ports on smol: [`SmolClock`] tells boot time, [`SmolSpawn`] starts tasks.
//!
//! Both only delegate. The clock needs no executor around it: smol's timers run on async-io's own
//! thread, so it serves a consumer that any executor drives.
//!
//! # Examples
//!
//! ```
//! use mayhem_core::Clock;
//! use mayhem_smol::SmolClock;
//! use std::time::Duration;
//!
//! smol::block_on(async {
//!     let clock = SmolClock;
//!     let deadline = clock.now() + Duration::from_millis(5);
//!     clock.sleep_until(deadline).await;
//!     assert!(clock.now() >= deadline);
//! });
//! ```

#[cfg(feature = "bridge")]
mod probe;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::task::{FutureObj, Spawn, SpawnError};
use mayhem_core::{Clock, Instant};
use rustix::time::{ClockId, clock_gettime};
use smol::{Executor, Timer};

#[cfg(feature = "bridge")]
pub use probe::register_probe;

/// Tells the time since boot, suspend included (`CLOCK_BOOTTIME`).
///
/// smol's timers stand still while the machine is suspended and leases do not, so a sleep goes in
/// steps of at most one second and reads boot time after each: after a resume it is at most one
/// second late.
#[derive(Clone, Copy, Debug, Default)]
pub struct SmolClock;

impl Clock for SmolClock {
    fn now(&self) -> Instant {
        read(ClockId::Boottime)
    }

    fn now_coarse(&self) -> Instant {
        read(ClockId::MonotonicCoarse)
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let clock = *self;
        async move {
            loop {
                let remaining = deadline - clock.now();
                if remaining.is_zero() {
                    return;
                }
                Timer::after(remaining.min(STEP_MAX)).await;
            }
        }
        .boxed()
    }
}

/// Starts tasks on smol's global executor, or on one of your own.
///
/// A task is detached: it ends when it is done, or with its executor. A panic in it surfaces where
/// the executor is driven; on the global executor it is printed and touches no other task.
///
/// # Examples
///
/// ```
/// use futures::task::SpawnExt;
/// use mayhem_smol::SmolSpawn;
/// use std::sync::Arc;
///
/// let executor = Arc::new(smol::Executor::new());
/// let spawn = SmolSpawn::on(Arc::clone(&executor));
/// let answer = spawn.spawn_with_handle(async { 6 * 7 })?;
/// assert_eq!(smol::block_on(executor.run(answer)), 42);
/// # Ok::<(), futures::task::SpawnError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SmolSpawn {
    executor: Option<Arc<Executor<'static>>>,
}

impl SmolSpawn {
    /// Spawns on smol's global executor, whose threads (`SMOL_THREADS`, 1 by default) start with
    /// the first task.
    pub fn global() -> Self {
        Self { executor: None }
    }

    /// Spawns on `executor`, which the caller drives; tasks wait until it does.
    pub fn on(executor: Arc<Executor<'static>>) -> Self {
        Self {
            executor: Some(executor),
        }
    }
}

impl Spawn for SmolSpawn {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        match &self.executor {
            Some(executor) => executor.spawn(future),
            None => smol::spawn(future),
        }
        // Detached: whoever needs the result wraps the future in a handle of its own.
        .detach();
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
