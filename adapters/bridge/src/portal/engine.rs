//! What every driver does: takes what was accepted, polls what was woken, waits for more.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;

use super::PortalStats;
use super::seats::Seats;
use super::shared::{Entry, Phase, Shared};
use crate::context::{Inside, Place, enter};
use crate::panic::discard;
use crate::sync::plain::Instant;
use crate::sync::{Arc, bug};

/// How many futures one poll polls before other tasks get their turn.
const BUDGET: usize = 64;

/// Turns what was accepted into jobs that can be polled here.
pub(super) trait Host {
    /// `dyn Future`, with or without `Send`.
    type Job: Future<Output = ()> + ?Sized;

    /// The job to poll here; `None` if it runs elsewhere.
    fn admit(&mut self, shared: &Arc<Shared>, entry: Entry) -> Option<Pin<Box<Self::Job>>>;

    /// What is left of a job that has ended: memory, and no code of anybody's.
    fn keep_husk(&mut self, husk: Pin<Box<Self::Job>>);

    /// Leaves husks for the threads that submit: memory is cheapest freed where it was allocated.
    fn leave_husks(&mut self, husks: &mut Vec<BoxFuture<'static, ()>>);
}

/// A driver without its outside.
pub(super) struct Engine<H: Host> {
    pub(super) shared: Arc<Shared>,
    pub(super) host: H,
    /// Taken from the portal and not admitted yet.
    queue: VecDeque<Entry>,
    /// Seats that were woken and not polled since.
    ready: VecDeque<usize>,
    seats: Seats<H::Job>,
    /// The longest poll of one job so far.
    longest: Duration,
}

/// What the driver finds when it looks.
enum Found {
    Work,
    /// Nothing, and nobody could tell this task of more.
    NoAlarm,
    /// Nothing, and the alarm is left where it will be found.
    Nothing,
    End,
}

impl<H: Host> Engine<H> {
    pub(super) fn new(shared: Arc<Shared>, host: H) -> Self {
        Self {
            shared,
            host,
            queue: VecDeque::new(),
            ready: VecDeque::new(),
            seats: Seats::new(),
            longest: Duration::ZERO,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<PortalStats> {
        let shared = Arc::clone(&self.shared);
        let polling = Polling::begin(&shared);
        let mut before = polling.since;
        let mut alarm = Alarm::default();
        let mut budget = BUDGET;
        loop {
            match self.look(&mut alarm) {
                Found::End => return Poll::Ready(shared.stats()),
                Found::Nothing => return Poll::Pending,
                Found::Work if budget == 0 => {
                    discard(alarm.waker);
                    // Other tasks first.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Found::Work => {
                    alarm.set(cx);
                    self.work(&mut budget, &mut before);
                    let is_done = self.queue.is_empty() && self.ready.is_empty();
                    // Heard of work or not: the next look is under the lock.
                    let is_idle = is_done && !shared.spin_for_work(&mut before);
                    if is_idle && bug("a_fruitless_spin_is_trusted") {
                        shared.lock().driver = alarm.waker.take();
                        return Poll::Pending;
                    }
                }
                Found::NoAlarm => alarm.set(cx),
            }
        }
    }

    /// Takes what there is to do; if there is nothing, leaves `alarm` for whoever brings some.
    fn look(&mut self, alarm: &mut Alarm) -> Found {
        let mut state = self.shared.lock();
        // While this is polled nobody needs to wake it.
        if !alarm.is_set {
            alarm.waker = state.driver.take();
        } else if bug("a_driver_sleeps_without_a_second_look") {
            state.driver = alarm.waker.take();
            return Found::Nothing;
        }
        if state.phase == Phase::Cancelling {
            self.queue.append(&mut state.queue);
            drop(state);
            self.drop_jobs();
            state = self.shared.lock();
        }
        self.host.leave_husks(&mut state.husks);
        state.counts.poll_max = state.counts.poll_max.max(self.longest);
        if self.queue.is_empty() && self.ready.is_empty() {
            std::mem::swap(&mut state.queue, &mut self.queue);
            std::mem::swap(&mut state.ready, &mut self.ready);
            self.shared.no_work();
        }
        if !self.queue.is_empty() || !self.ready.is_empty() {
            return Found::Work;
        }
        if state.phase != Phase::Open && state.is_idle() {
            return Found::End;
        }
        if !alarm.is_set {
            return Found::NoAlarm;
        }
        state.driver = alarm.waker.take();
        Found::Nothing
    }

    /// Polls what was woken, then what is new, until the budget is used up. `before` is when the
    /// next poll of a job begins, or a little earlier: the clock is a large part of a small poll.
    fn work(&mut self, budget: &mut usize, before: &mut Instant) {
        while *budget > 0 {
            if let Some(seat) = self.ready.pop_front() {
                if let Some(husk) = self.seats.poll(seat) {
                    self.host.keep_husk(husk);
                }
            } else if let Some(entry) = self.queue.pop_front() {
                if let Some(job) = self.host.admit(&self.shared, entry)
                    && let Some(husk) = self.seats.admit(&self.shared, job)
                {
                    self.host.keep_husk(husk);
                }
            } else {
                break;
            }
            *budget -= 1;
            let after = Instant::now();
            let took = after.saturating_duration_since(*before);
            self.longest = self.longest.max(took);
            *before = after;
        }
    }

    fn drop_jobs(&mut self) {
        self.seats.clear();
        self.ready.clear();
        std::mem::take(&mut self.queue)
            .into_iter()
            .for_each(discard);
    }
}

impl<H: Host> Drop for Engine<H> {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.shared);
        // As in a poll: a destructor that waits for this portal would wait for ever.
        let _polling = Polling::begin(&shared);
        let unseen = shared.driver_is_gone();
        self.drop_jobs();
        unseen.into_iter().for_each(discard);
    }
}

/// What wakes the driver's task, once it is set.
#[derive(Default)]
struct Alarm {
    /// This task's if set; what an earlier poll left, if not.
    waker: Option<Waker>,
    is_set: bool,
}

impl Alarm {
    /// Sets it for the current task. Call it without a lock: a waker is user code.
    fn set(&mut self, cx: &Context<'_>) {
        if self.is_set {
            return;
        }
        let fits = |known: &Waker| known.will_wake(cx.waker());
        if !self.waker.as_ref().is_some_and(fits) {
            discard(self.waker.replace(cx.waker().clone()));
        }
        self.is_set = true;
    }
}

/// While it lives, this thread is known to be inside the portal, here and in the inventory.
struct Polling<'a> {
    shared: &'a Shared,
    since: Instant,
    _inside: Inside,
}

impl<'a> Polling<'a> {
    fn begin(shared: &'a Shared) -> Self {
        Self {
            since: shared.presence.begin(),
            shared,
            _inside: enter(Place::Portal(shared.id)),
        }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.shared.presence.end();
    }
}
