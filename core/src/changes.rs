//! What is to change in a running consumer, from the control to the engine.
//!
//! The newest wish counts: what was asked for and taken back between two looks of the engine has
//! not happened. What is deliberately absent: stops, every one of which counts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Rate;
use crate::control::lock;

/// Wishes on their way.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    is_any: AtomicBool,
    wanted: Mutex<Wanted>,
}

/// What is wanted; `None` is as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) is_paused: Option<bool>,
    pub(crate) concurrency: Option<usize>,
    /// In it, `None` is no limit.
    pub(crate) rate: Option<Option<Rate>>,
}

impl Changes {
    /// Adds a wish. The engine is to be woken afterwards.
    pub(crate) fn ask(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut lock(&self.wanted));
        // Release, after the change: who sees it sees the change.
        self.is_any.store(true, Ordering::Release);
    }

    /// Takes what is wanted, if there is anything: one read of memory if there is not.
    pub(crate) fn take(&self) -> Option<Wanted> {
        // A plain look first: it is asked in every pass.
        if !self.is_any.load(Ordering::Acquire) {
            return None;
        }
        // Before the wishes are taken: one that comes in between is seen the next time.
        self.is_any.store(false, Ordering::Relaxed);
        Some(std::mem::take(&mut *lock(&self.wanted)))
    }
}
