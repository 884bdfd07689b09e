//! How a push that parks its thread tells the fake SDK, if the thread is one of its own.

use std::cell::RefCell;
use std::rc::Rc;

/// Has `observer` told when a push parks the current thread (true) and when it goes on (false).
pub(super) fn observe(observer: impl Fn(bool) + 'static) {
    OBSERVER.with(|known| known.replace(Some(Observer(Rc::new(observer)))));
}

/// Marks the current thread as parked in a push, until the guard is dropped.
///
/// The stream's lock is held at both ends; an observer takes only its own.
pub(crate) fn park() -> Parked {
    tell(true);
    Parked(())
}

/// See [`park`].
#[derive(Debug)]
pub(crate) struct Parked(());

impl Drop for Parked {
    fn drop(&mut self) {
        tell(false);
    }
}

fn tell(is_parked: bool) {
    // Ignored: the thread is ending and its locals are gone; then it is none of the fake's.
    let observer = OBSERVER.try_with(|known| known.borrow().clone());
    if let Ok(Some(Observer(tell))) = observer {
        tell(is_parked);
    }
}

#[derive(Clone)]
struct Observer(Rc<dyn Fn(bool)>);

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}
