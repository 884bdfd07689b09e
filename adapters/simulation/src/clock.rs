//! The virtual clock.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use mayhem_core::{Clock, Instant};

use crate::timers::TimerSlot;
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
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + Unpin + use<> {
        self.timer(self.now() + duration)
    }

    fn timer(&self, deadline: Instant) -> Sleep {
        Sleep {
            id: self.world.next_serial(),
            world: Arc::clone(&self.world),
            deadline,
            set: None,
        }
    }

    /// The time since the world began without the suspends: `CLOCK_MONOTONIC`, where
    /// [`now`](Clock::now) is `CLOCK_BOOTTIME`.
    pub fn monotonic(&self) -> Duration {
        (self.now() - Instant::ZERO).saturating_sub(self.world.suspended())
    }

    /// The time of day as nanoseconds since 1970: it goes with [`now`](Clock::now), and jumps when
    /// somebody [sets it](Self::set_wall).
    pub fn wall(&self) -> i128 {
        let elapsed = i128::from(self.now().as_nanos());
        self.world.wall_offset() + elapsed
    }

    /// Sets the time of day, forwards or back. Nothing that counts may depend on it.
    pub fn set_wall(&self, nanos: i128) {
        let elapsed = i128::from(self.now().as_nanos());
        self.world.set_wall_offset(nanos - elapsed);
    }

    /// How much of the time went by although something could have run: pauses, suspends, blocking
    /// calls and late timers. Deadlines of the program under test may be missed by so much.
    pub fn stolen(&self) -> Duration {
        self.world.stolen()
    }

    /// Suspends the machine inside a poll: as [`block`](Self::block), but the monotonic clock
    /// stands still.
    pub fn suspend(&self, duration: Duration) {
        self.world.suspend(duration);
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
        self.timer(deadline).boxed()
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
    /// The timer, and which waker it has.
    set: Option<(TimerSlot, WakerName)>,
}

/// Tells a waker from all others that there are.
#[derive(Clone, Copy, PartialEq, Eq)]
struct WakerName(usize, usize);

impl WakerName {
    fn of(waker: &Waker) -> Self {
        Self(waker.data().addr(), ptr::from_ref(waker.vtable()).addr())
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.get_mut();
        if sleep.deadline <= sleep.world.now() {
            return Poll::Ready(());
        }
        let name = WakerName::of(cx.waker());
        match &mut sleep.set {
            // The timer keeps its waker until it is due, so that no other has the same name.
            Some((_, present)) if *present == name => {}
            Some((slot, present)) => {
                sleep.world.replace_waker(*slot, sleep.id, cx.waker());
                *present = name;
            }
            None => {
                let slot = sleep.world.set_timer(sleep.deadline, sleep.id, cx.waker());
                sleep.set = Some((slot, name));
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((slot, _)) = self.set {
            self.world.forget_timer(self.id, slot);
        }
    }
}
