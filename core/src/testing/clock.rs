//! A clock turned by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, poll_fn};

use crate::control::lock;
use crate::{Clock, Instant};

#[derive(Clone, Default)]
pub(crate) struct ManualClock {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    now: Instant,
    last_key: u64,
    timers: BTreeMap<(Instant, u64), Waker>,
}

impl ManualClock {
    pub(crate) async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + duration).await;
    }

    /// Lets time pass without waking anybody: what blocking code does.
    pub(crate) fn block(&self, duration: Duration) {
        let mut state = lock(&self.state);
        state.now = state.now + duration;
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        lock(&self.state)
            .timers
            .keys()
            .next()
            .map(|(instant, _)| *instant)
    }

    pub(crate) fn set(&self, now: Instant) {
        let mut state = lock(&self.state);
        state.now = state.now.max(now);
        let mut due = Vec::new();
        while let Some(entry) = state.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            due.push(entry.remove());
        }
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        lock(&self.state).now
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        struct Timer(ManualClock, Option<(Instant, u64)>);
        impl Drop for Timer {
            fn drop(&mut self) {
                if let Some(key) = self.1 {
                    lock(&self.0.state).timers.remove(&key);
                }
            }
        }
        let mut timer = Timer(self.clone(), None);
        poll_fn(move |cx| {
            let mut state = lock(&timer.0.state);
            if state.now >= deadline {
                return Poll::Ready(());
            }
            state.last_key += 1;
            let key = timer.1.unwrap_or((deadline, state.last_key));
            state.timers.insert(key, cx.waker().clone());
            drop(state);
            timer.1 = Some(key);
            Poll::Pending
        })
        .boxed()
    }
}
