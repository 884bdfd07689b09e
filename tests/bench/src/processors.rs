//! Where threads run, for the cases in which it decides the figure.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the current thread to the `index`-th processor that the process may use, if it has as
/// many; else leaves it where it is.
///
/// Two threads that wake each other are ten times as fast on one processor as on two, and the
/// scheduler chooses anew in every run.
pub(crate) fn keep_to(index: usize) {
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let mut usable = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor));
    if let Some(processor) = usable.nth(index) {
        let mut only = CpuSet::new();
        only.set(processor);
        // Ignored: then the figures scatter more.
        let _ = sched_setaffinity(None, &only);
    }
}
