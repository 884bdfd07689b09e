//! Where admitted jobs sit: reused places, each with a waker of its own.
//!
//! A job that is woken is polled, and no other. A waker outlives its job and may then wake the next
//! one in the seat: an extra poll, which every future bears.

use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use super::shared::Shared;
use crate::panic::{contain, discard};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, bug};

/// The jobs of one driver. `J` is `dyn Future`, with or without `Send`.
pub(super) struct Seats<J: ?Sized> {
    seats: Vec<Seat<J>>,
    free: Vec<usize>,
}

struct Seat<J: ?Sized> {
    job: Option<Pin<Box<J>>>,
    bell: Arc<Bell>,
    /// Made of the bell once, so that a poll allocates and counts nothing.
    waker: Waker,
}

impl<J: Future<Output = ()> + ?Sized> Seats<J> {
    pub(super) const fn new() -> Self {
        Self {
            seats: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Seats a job and polls it at once; gives it back if it has ended.
    pub(super) fn admit(&mut self, shared: &Arc<Shared>, job: Pin<Box<J>>) -> Option<Pin<Box<J>>> {
        let index = self.free.pop().unwrap_or_else(|| {
            let bell = Arc::new(Bell {
                shared: Arc::clone(shared),
                seat: self.seats.len(),
                has_rung: AtomicBool::new(false),
            });
            let waker = Waker::from(Arc::clone(&bell));
            let job = None;
            self.seats.push(Seat { job, bell, waker });
            self.seats.len() - 1
        });
        self.seats[index].job = Some(job);
        self.poll(index)
    }

    /// Polls the job in this seat, if there is one; gives it back if it has ended.
    pub(super) fn poll(&mut self, index: usize) -> Option<Pin<Box<J>>> {
        let seat = &mut self.seats[index];
        // AcqRel: a wake before this is seen by the poll below, a wake after it rings again.
        if !bug("a_bell_is_reset_after_the_poll") {
            seat.bell.has_rung.swap(false, Ordering::AcqRel);
        }
        let job = seat.job.as_mut()?;
        let mut cx = Context::from_waker(&seat.waker);
        let polled = contain(|| job.as_mut().poll(&mut cx));
        if matches!(polled, Ok(Poll::Pending)) {
            if bug("a_bell_is_reset_after_the_poll") {
                seat.bell.has_rung.swap(false, Ordering::AcqRel);
            }
            return None;
        }
        let job = seat.job.take();
        self.free.push(index);
        if polled.is_ok() {
            return job;
        }
        // Jobs contain their futures; if something comes out nevertheless, the job has ended.
        discard(job);
        None
    }

    /// Drops every job, one by one: the panic of one destructor must not keep another's handle
    /// waiting.
    pub(super) fn clear(&mut self) {
        for (index, seat) in self.seats.iter_mut().enumerate() {
            if let Some(job) = seat.job.take() {
                self.free.push(index);
                discard(job);
            }
        }
    }
}

/// What a job's waker rings: notes the seat and wakes the driver.
struct Bell {
    shared: Arc<Shared>,
    seat: usize,
    /// The seat is noted already, and not yet polled since.
    has_rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // AcqRel: see `Seats::poll`.
        if !self.has_rung.swap(true, Ordering::AcqRel) {
            self.shared.wake_job(self.seat);
        }
    }
}
