//! Two futures in one task: polled together, or each when it was woken itself.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::FutureExt;
use futures::future::FusedFuture;
use futures::task::AtomicWaker;

/// Runs `first` to its end, and `beside` with it, as one: every wake of either is a poll of both.
pub(crate) async fn together<T>(
    first: impl Future<Output = T>,
    beside: impl Future<Output = ()>,
) -> T {
    let (mut first, mut beside) = (pin!(first), pin!(beside.fuse()));
    poll_fn(|cx| {
        // Of no interest once `first` has ended.
        let _ = beside.as_mut().poll(cx);
        first.as_mut().poll(cx)
    })
    .await
}

/// Runs `first` to its end, and `beside` with it, but neither is polled when only the other was
/// woken: who does not wake the other is found out.
pub(crate) async fn apart<T>(
    first: impl Future<Output = T>,
    beside: impl Future<Output = ()>,
) -> T {
    let task = Arc::new(AtomicWaker::new());
    let (mut first, mut beside) = (pin!(first.fuse()), pin!(beside.fuse()));
    let (own, other) = (Part::new(&task), Part::new(&task));
    poll_fn(|cx| {
        task.register(cx.waker());
        // As above.
        let _ = other.poll(beside.as_mut());
        own.poll(first.as_mut())
    })
    .await
}

/// Whether one of the two was woken.
struct Part {
    door: Arc<Door>,
    waker: Waker,
}

struct Door {
    is_woken: AtomicBool,
    task: Arc<AtomicWaker>,
}

impl Part {
    fn new(task: &Arc<AtomicWaker>) -> Self {
        let door = Arc::new(Door {
            is_woken: AtomicBool::new(true),
            task: Arc::clone(task),
        });
        Self {
            waker: Arc::clone(&door).into(),
            door,
        }
    }

    /// Polls a future if it was woken.
    fn poll<T>(&self, future: Pin<&mut impl FusedFuture<Output = T>>) -> Poll<T> {
        // Relaxed: everything happens on one thread.
        if future.is_terminated() || !self.door.is_woken.swap(false, Ordering::Relaxed) {
            return Poll::Pending;
        }
        future.poll(&mut Context::from_waker(&self.waker))
    }
}

impl Wake for Door {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Relaxed: as above.
        if !self.is_woken.swap(true, Ordering::Relaxed) {
            self.task.wake();
        }
    }
}
