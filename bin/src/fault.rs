//! Named points at which a test has the process killed.
//!
//! Compiled to nothing unless the feature `fault-points` is on, which only the test package does.
//! There, `MANDRILL_FAULT=name` makes the process send itself SIGKILL the first time it passes
//! `name`, and `MANDRILL_FAULT=name:3` the third time. SIGKILL, because nothing may run after it:
//! no drop, no flush, no handler.

/// Dies here when the environment says so.
#[cfg(feature = "fault-points")]
pub(crate) fn point(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);

    let Ok(wanted) = std::env::var("MANDRILL_FAULT") else {
        return;
    };
    let (wanted, times) = match wanted.split_once(':') {
        Some((wanted, times)) => (wanted, times.parse().unwrap_or(1)),
        None => (wanted.as_str(), 1),
    };
    // Relaxed: only one counter, nothing is published by it.
    if wanted != name || PASSED.fetch_add(1, Ordering::Relaxed) + 1 < times {
        return;
    }
    let own = rustix::process::getpid();
    // Ignored: a process can always signal itself, and dies in the call.
    let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
}

/// Dies here when the environment says so; in this build, never.
#[cfg(not(feature = "fault-points"))]
pub(crate) fn point(_name: &str) {}
