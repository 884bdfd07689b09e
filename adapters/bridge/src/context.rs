//! What the current thread is inside of: the evidence for deadlock detection.
//!
//! A thread that polls a portal's driver must not wait for that portal, and a thread that drives an
//! executor must not park in a push. The first is known here, exactly. The second is known where
//! somebody says so: a [`register_driver`](crate::register_driver) guard, [`driving`], or the
//! [`ContextProbe`] of an executor.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
// Not the façade's: a static outlives one run of a model, and nothing waits for it.
use std::sync::OnceLock;

use crate::panic::contain;
use crate::sync::{thread, thread_local};

/// Tells whether the current thread polls tasks for an executor that the bridge does not know.
///
/// Once registered, it holds for every thread of the process:
///
/// - A push that would have to wait, on a thread that polls for an executor, is refused with
///   [`Push::WouldDeadlock`](crate::Push::WouldDeadlock): the consumer may be waiting for its turn
///   on this very thread. A push that finds room is not refused, and the probe is not even asked.
/// - A `wait` for a portal's or a pool's result on such a thread goes ahead, and is logged as a
///   warning, once per thread: on an executor with several threads it may well end, but until then
///   every task of this thread stands still.
///
/// Known without a probe: whatever runs inside a [`Driver`](crate::Driver), under a
/// [`register_driver`](crate::register_driver) guard, inside [`driving`], and inside `block_on`,
/// `LocalPool` and `ThreadPool` of the crate `futures`. For tokio and for smol's global executor,
/// `mayhem-tokio` and `mayhem-smol` have a probe, with their feature `bridge`. **Not** known, and
/// then not refused: any other executor without one of these.
///
/// # Examples
///
/// ```
/// use futures::{StreamExt, executor::block_on};
/// use mayhem_bridge::{ContextProbe, Overflow, Push, callback_stream};
/// use std::cell::Cell;
///
/// thread_local!(static POLLS: Cell<bool> = const { Cell::new(false) });
/// ContextProbe::new("mine", || POLLS.get()).register().expect("there is room for 16");
///
/// let (sink, _stream) = callback_stream("doc").capacity(1).overflow(Overflow::Block).build();
/// POLLS.set(true);
/// assert_eq!(sink.push(1), Push::Queued);
/// assert_eq!(sink.push(2), Push::WouldDeadlock(2));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ContextProbe {
    executor: &'static str,
    is_polling: fn() -> bool,
}

impl ContextProbe {
    /// Makes a probe for `executor`.
    ///
    /// `is_polling` is called on the thread in question, only where a thread is about to park. It
    /// must be true only while the thread polls a task: not on the executor's threads for blocking
    /// work. It must not wait, and must not panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::ContextProbe;
    /// use std::cell::Cell;
    ///
    /// thread_local!(static POLLS: Cell<bool> = const { Cell::new(false) });
    /// // A constant, if you like: making it registers nothing.
    /// const PROBE: ContextProbe = ContextProbe::new("mine", || POLLS.get());
    /// assert!(PROBE.register().is_ok());
    /// ```
    pub const fn new(executor: &'static str, is_polling: fn() -> bool) -> Self {
        Self {
            executor,
            is_polling,
        }
    }

    /// Has the bridge ask this probe from now on, on every thread. Registering an executor's name
    /// a second time changes nothing.
    ///
    /// # Errors
    ///
    /// Hands the probe back if there are 16 already.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::ContextProbe;
    ///
    /// let probe = ContextProbe::new("mine", || false);
    /// assert!(probe.register().is_ok());
    /// // Once is enough; again does no harm.
    /// assert!(probe.register().is_ok());
    /// ```
    pub fn register(self) -> Result<(), Self> {
        for place in &PROBES {
            if place.get_or_init(|| self).executor == self.executor {
                return Ok(());
            }
        }
        Err(self)
    }
}

/// Runs a future as the work of an executor: while it is polled, the thread is known to drive one.
///
/// For an executor that has no [`ContextProbe`] and whose threads have other things to do, so that
/// [`register_driver`](crate::register_driver) would say too much. Wrapped around the future that
/// runs the executor, it covers every task of it.
///
/// # Cancel safety
///
/// That of `future`.
///
/// # Examples
///
/// ```
/// use futures::executor::block_on;
/// use mayhem_bridge::{Overflow, Push, callback_stream, driving};
///
/// let executor = async_executor::LocalExecutor::new();
/// let (sink, _stream) = callback_stream("doc").capacity(1).overflow(Overflow::Block).build();
/// let task = executor.spawn(async move {
///     assert_eq!(sink.push(1), Push::Queued);
///     sink.push(2)
/// });
/// assert_eq!(block_on(driving(executor.run(task))), Push::WouldDeadlock(2));
/// ```
pub async fn driving<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _inside = enter(Place::Driver);
        future.as_mut().poll(cx)
    })
    .await
}

/// A place a thread can be inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The poll (or the drop) of the driver of the portal with this id.
    Portal(u64),
    /// The poll of the consumer of the stream with this id.
    Stream(u64),
    /// The scope of a [`register_driver`](crate::register_driver) guard, or a poll in [`driving`].
    Driver,
}

/// Leaves the place when dropped. Not `Send`: it belongs to its thread.
#[derive(Debug)]
pub(crate) struct Inside {
    place: Place,
    not_send: PhantomData<*const ()>,
}

/// Marks the current thread as inside `place` until the guard is dropped.
pub(crate) fn enter(place: Place) -> Inside {
    // Ignored: the thread is ending and its locals are gone; then nothing can be detected.
    let _ = PLACES.try_with(|places| places.borrow_mut().push(place));
    Inside {
        place,
        not_send: PhantomData,
    }
}

/// Whether the current thread is inside `place`, however deeply nested.
pub(crate) fn is_inside(place: Place) -> bool {
    PLACES
        .try_with(|places| places.borrow().contains(&place))
        .unwrap_or(false)
}

/// Whether a push to the stream with this id must not park the current thread: it is the stream's
/// own consumer, or it is known to drive an executor on which that consumer may be waiting for its
/// turn. Where it is not known, [`is_probed_to_drive`] remains to be asked, without a lock.
#[cold]
pub(crate) fn must_not_wait_for(stream: u64) -> bool {
    is_inside(Place::Stream(stream)) || known_to_drive().is_some()
}

/// Whether a probe says that the current thread drives an executor. Runs foreign code.
#[cold]
pub(crate) fn is_probed_to_drive() -> bool {
    probed_to_drive().is_some()
}

/// Whether there is any probe to ask.
pub(crate) fn has_probes() -> bool {
    PROBES[0].get().is_some()
}

/// The executor that the current thread drives, if it drives one. Runs foreign code, and is only
/// for a thread that is about to park.
#[cold]
pub(crate) fn is_driving() -> Option<&'static str> {
    known_to_drive().or_else(probed_to_drive)
}

fn known_to_drive() -> Option<&'static str> {
    let place = PLACES
        .try_with(|places| {
            let name = |place: &Place| match place {
                Place::Portal(_) => Some("a portal's driver"),
                Place::Driver => Some("a registered driver"),
                Place::Stream(_) => None,
            };
            places.borrow().iter().find_map(name)
        })
        .unwrap_or(None);
    // Exact: its guard lives as long as the thread is in `block_on`, a `LocalPool` or a worker of
    // a `ThreadPool`; the one we get here is dropped at once.
    place.or_else(|| futures::executor::enter().is_err().then_some("futures"))
}

fn probed_to_drive() -> Option<&'static str> {
    let is_polling = |probe: &ContextProbe| {
        contain(probe.is_polling).unwrap_or_else(|panic| {
            log::error!(
                "the probe of {} panicked: {}",
                probe.executor,
                panic.message()
            );
            false
        })
    };
    let mut probes = PROBES.iter().map_while(OnceLock::get);
    probes
        .find(|probe| is_polling(probe))
        .map(|probe| probe.executor)
}

/// Warns, once per thread, that it is about to park for `what` though it drives an executor.
#[cold]
pub(crate) fn warn_if_driving(what: &str) {
    let Some(executor) = is_driving() else { return };
    // A thread that is ending has no such local, and needs no warning.
    let is_first = HAS_WARNED.try_with(|has| !has.replace(true));
    if is_first.unwrap_or(false) {
        let thread = thread::current();
        log::warn!(
            "thread {} drives {executor} and now waits for {what}: meanwhile none of its tasks \
             runs, and if {what} needs one of them, it waits for ever",
            thread.name().unwrap_or("without a name"),
        );
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // Guards may be dropped out of order by their owners: remove the innermost equal one.
        // Ignored: see `enter`.
        let _ = PLACES.try_with(|places| {
            let mut places = places.borrow_mut();
            if let Some(index) = places.iter().rposition(|place| *place == self.place) {
                places.remove(index);
            }
        });
    }
}

thread_local! {
    static PLACES: RefCell<Vec<Place>> = RefCell::new(Vec::new());
    static HAS_WARNED: Cell<bool> = Cell::new(false);
}

/// Filled from the front and never emptied: read without a lock.
static PROBES: [OnceLock<ContextProbe>; PROBES_COUNT_MAX] =
    [const { OnceLock::new() }; PROBES_COUNT_MAX];

/// A process has few executors; a fixed number needs no lock to be read.
const PROBES_COUNT_MAX: usize = 16;

#[cfg(test)]
mod tests;
