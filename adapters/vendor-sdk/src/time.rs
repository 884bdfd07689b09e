//! The two clocks: boot time for leases, wall time for delays and for people.
//!
//! Boot time goes on in suspend and never jumps, but means nothing after a restart of the machine,
//! so a lease carries the boot id with it. Wall time survives restarts but may jump.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clocks of one handle.
#[derive(Clone)]
pub(crate) struct Times {
    source: Arc<dyn Source>,
    boot_id: [u8; 16],
}

/// Where a handle's time comes from: the machine, or a test.
pub(crate) trait Source: Send + Sync {
    /// Nanoseconds since boot.
    fn boot(&self) -> i64;

    /// Nanoseconds since 1970, by the wall clock.
    fn wall(&self) -> i64;
}

impl Times {
    /// The machine's clocks.
    pub(crate) fn of_machine() -> Result<Self, String> {
        let text = fs::read_to_string(BOOT_ID_FILE)
            .map_err(|error| format!("{BOOT_ID_FILE} cannot be read: {error}"))?;
        let id = uuid::Uuid::try_parse(text.trim())
            .map_err(|error| format!("{BOOT_ID_FILE} holds no boot id: {error}"))?;
        Ok(Self::new(Arc::new(Machine), id.into_bytes()))
    }

    pub(crate) fn new(source: Arc<dyn Source>, boot_id: [u8; 16]) -> Self {
        Self { source, boot_id }
    }

    /// Names the time between two starts of the machine.
    pub(crate) fn boot_id(&self) -> &[u8; 16] {
        &self.boot_id
    }

    /// Nanoseconds since boot.
    pub(crate) fn boot(&self) -> i64 {
        self.source.boot()
    }

    /// Nanoseconds since 1970, by the wall clock.
    pub(crate) fn wall(&self) -> i64 {
        self.source.wall()
    }
}

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Times")
            .field("boot", &self.boot())
            .finish_non_exhaustive()
    }
}

/// A duration as the file stores it; longer than 292 years is 292 years.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// A stored boot time as callers get it.
pub(crate) fn since_boot(nanos: i64) -> Duration {
    Duration::from_nanos(nanos.unsigned_abs())
}

/// A stored wall time as callers get it.
pub(crate) fn wall_time(nanos: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 {
        UNIX_EPOCH - distance
    } else {
        UNIX_EPOCH + distance
    }
}

struct Machine;

impl Source for Machine {
    fn boot(&self) -> i64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    fn wall(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => nanos(since),
            Err(before) => -nanos(before.duration()),
        }
    }
}

/// See random(4).
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";
