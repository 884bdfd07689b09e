//! The virtual clock.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use mayhem_core::{Clock, Instant};

use crate::world::World;

/// Virtual time of one [`Simulation`](crate::Simulation); all clones tell the same.
///
/// It begins at [`Instant::ZERO`], stands still while a task runs, and jumps to the next timer when
/// none can.
#[derive(Clone)]
pub struct SimClock {
    world: Arc<World>,
}

impl SimClock {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
        }
    }

    /// Waits for `duration`.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now() + duration)
    }

    /// Lets `duration` pass inside a poll: what a blocking call in async code does.
    ///
    /// Also how a test pauses the whole process: all timers that came due meanwhile fire together
    /// afterwards.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_core::Clock;
    /// use mayhem_sim::Simulation;
    /// use std::time::Duration;
    ///
    /// let clock = Simulation::new(1).clock();
    /// let before = clock.now();
    /// clock.block(Duration::from_millis(150));
    /// assert_eq!(clock.now() - before, Duration::from_millis(150));
    /// ```
    pub fn block(&self, duration: Duration) {
        self.world.advance(duration);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        self.world.now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        Sleep {
            id: self.world.timer_id(),
            world: Arc::clone(&self.world),
            deadline,
        }
        .boxed()
    }
}

impl fmt::Debug for SimClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimClock").field(&self.now()).finish()
    }
}

struct Sleep {
    world: Arc<World>,
    deadline: Instant,
    id: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.world.set_timer(self.deadline, self.id, cx.waker()) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.world.forget_timer(self.deadline, self.id);
    }
}
