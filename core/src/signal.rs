//! A fact that becomes true once, with any number of waiters.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use crate::control::lock;

/// False, then true for ever.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    is_set: AtomicBool,
    waiters: Mutex<Waiters>,
}

impl Signal {
    pub(crate) fn is_set(&self) -> bool {
        // Acquire: whoever sees the signal sees what was written before it was set.
        self.is_set.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self) {
        // Release: pairs with `is_set`.
        self.is_set.store(true, Ordering::Release);
        let wakers = std::mem::take(&mut lock(&self.waiters).wakers);
        // Without the lock: a waker may run anything.
        for (_, waker) in wakers {
            waker.wake();
        }
    }

    /// Resolves when set; `key` is the waiter's own place, empty at first.
    fn poll(&self, key: &mut Option<u64>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_set() {
            return Poll::Ready(());
        }
        let mut waiters = lock(&self.waiters);
        // Again under the lock, which `set` takes after it has stored: one of them sees the other.
        if self.is_set() {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let place = key.and_then(|key| waiters.wakers.iter_mut().find(|(other, _)| *other == key));
        let replaced = match place {
            Some((_, present)) => Some(std::mem::replace(present, waker)),
            None => {
                waiters.last_key += 1;
                *key = Some(waiters.last_key);
                let entry = (waiters.last_key, waker);
                waiters.wakers.push(entry);
                None
            }
        };
        drop(waiters);
        drop(replaced);
        Poll::Pending
    }

    fn forget(&self, key: u64) {
        let mut waiters = lock(&self.waiters);
        let place = waiters.wakers.iter().position(|(other, _)| *other == key);
        let removed = place.map(|index| waiters.wakers.swap_remove(index));
        drop(waiters);
        drop(removed);
    }
}

/// Waits for a [`Signal`] that `S` gives access to.
#[derive(Debug)]
pub(crate) struct Wait<S: AsRef<Signal>> {
    source: S,
    key: Option<u64>,
}

impl<S: AsRef<Signal>> Wait<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, key: None }
    }
}

impl<S: AsRef<Signal> + Unpin> Future for Wait<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { source, key } = &mut *self;
        S::as_ref(source).poll(key, cx)
    }
}

impl<S: AsRef<Signal>> Drop for Wait<S> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.source.as_ref().forget(key);
        }
    }
}

#[derive(Debug, Default)]
struct Waiters {
    last_key: u64,
    wakers: Vec<(u64, Waker)>,
}

#[cfg(test)]
mod tests;
