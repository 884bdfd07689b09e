//! Handlers that bring their process down, again and again, while they handle the same messages.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Context;

use futures::task::AtomicWaker;
use mayhem_core::Delivery;
use mayhem_sim::Dice;

/// How often the process may still be brought down in a life; all clones are one.
#[derive(Clone, Default)]
pub(crate) struct Kills {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    left: AtomicU64,
    is_dying: AtomicBool,
    waker: AtomicWaker,
}

impl Kills {
    pub(crate) fn new(count: u64) -> Self {
        let kills = Self::default();
        kills.shared.left.store(count, Ordering::Relaxed);
        kills
    }

    /// Brings the process down, if this message does so.
    pub(crate) async fn may_kill(&self, dice: &Dice, delivery: &Delivery) {
        // Relaxed, here and below: everything happens on one thread.
        let left = self.shared.left.load(Ordering::Relaxed);
        if left == 0 {
            return;
        }
        let number = delivery.id().as_str().rsplit_once('-');
        let number = number.and_then(|(_, number)| number.parse().ok());
        let is_deadly = number.is_some_and(|number: u64| number % DEADLY == 1);
        if !is_deadly || dice.choose("kills", 4) == 0 {
            return;
        }
        self.shared.left.store(left - 1, Ordering::Relaxed);
        self.shared.is_dying.store(true, Ordering::Relaxed);
        self.shared.waker.wake();
        pending::<()>().await;
    }

    /// Whether the process is coming down; wakes the task that asked when it does.
    pub(crate) fn is_dying(&self, cx: &Context<'_>) -> bool {
        if self.shared.left.load(Ordering::Relaxed) > 0 {
            self.shared.waker.register(cx.waker());
        }
        self.shared.is_dying.load(Ordering::Relaxed)
    }

    /// There is another process; whether this one was brought down.
    pub(crate) fn revive(&self) -> bool {
        self.shared.is_dying.swap(false, Ordering::Relaxed)
    }
}

/// One of so many messages is deadly.
const DEADLY: u64 = 16;
