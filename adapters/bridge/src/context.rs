//! What the current thread is inside of: the evidence for deadlock detection.
//!
//! A thread that polls a portal's driver must not wait for that portal, and a thread that drives an
//! executor must not park in a push. Both are known here, exactly, and nothing is guessed.

use std::cell::RefCell;
use std::marker::PhantomData;

/// A place a thread can be inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The poll (or the drop) of the driver of the portal with this id.
    Portal(u64),
    /// The poll of the consumer of the stream with this id.
    Stream(u64),
    /// The scope of a [`register_driver`](crate::register_driver) guard.
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
/// own consumer, or it drives an executor on which that consumer may be waiting for its turn.
pub(crate) fn must_not_wait_for(stream: u64) -> bool {
    let refuses = |place: &Place| match place {
        Place::Portal(_) | Place::Driver => true,
        Place::Stream(id) => *id == stream,
    };
    PLACES
        .try_with(|places| places.borrow().iter().any(refuses))
        .unwrap_or(false)
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
    static PLACES: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
}
