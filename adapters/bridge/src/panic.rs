//! Panics as values: caught at every edge where foreign or user code runs, and carried on.
//!
//! Nothing here prevents the panic hook from printing its message; that is the program's choice.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

use crate::sync::Mutex;

/// A panic that was caught and is handed to whoever waits for the result.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::{BlockingError, BlockingPool};
///
/// let pool = BlockingPool::builder().name("doc").threads(1).build();
/// let job = pool.run("boom", |_| -> u32 { panic!("no disk") }).unwrap();
/// match job.wait() {
///     Err(BlockingError::Panicked(panic)) => assert_eq!(panic.message(), "no disk"),
///     other => unreachable!("{other:?}"),
/// }
/// ```
pub struct Panic {
    message: String,
    // A mutex only to be Sync: a payload is Send, and errors want to be both.
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Panic {
    /// The text the code panicked with, or a stand-in when the payload is no text.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, _stream) = callback_stream::<u32>("doc").overflow(Overflow::Fail).build();
    /// let panic = sink.guard(|| panic!("no number: {}", "x")).unwrap_err();
    /// assert_eq!(panic.message(), "no number: x");
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Goes on panicking with the original payload, as if it had not been caught.
    ///
    /// # Panics
    ///
    /// Always: that is its purpose.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::{BlockingError, BlockingPool};
    /// use std::panic::catch_unwind;
    ///
    /// let pool = BlockingPool::builder().name("doc").threads(1).build();
    /// let job = pool.run("boom", |_| std::panic::panic_any(7_u32)).unwrap();
    /// let Err(BlockingError::Panicked(panic)) = job.wait() else { unreachable!() };
    /// // As if it had never been caught, with the payload it had.
    /// let payload = catch_unwind(|| panic.resume()).unwrap_err();
    /// assert_eq!(payload.downcast_ref(), Some(&7_u32));
    /// ```
    pub fn resume(self) -> ! {
        let payload = self.payload.lock().take();
        resume_unwind(payload.unwrap_or_else(|| Box::new(self.message.clone())))
    }

    fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = payload
            .downcast_ref::<&'static str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a payload that is no text".to_owned());
        Self {
            message,
            payload: Mutex::new(Some(payload)),
        }
    }
}

impl Drop for Panic {
    fn drop(&mut self) {
        let payload = self.payload.lock().take();
        if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            // A payload whose destructor panics: leak the second one, it may do so again.
            std::mem::forget(second);
        }
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "panicked: {}", self.message)
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Panic").field(&self.message).finish()
    }
}

/// Runs foreign code and turns a panic into a value.
pub(crate) fn contain<R>(code: impl FnOnce() -> R) -> Result<R, Panic> {
    // Unwind safe: what the code has left half done is its own, ours is never borrowed by it.
    catch_unwind(AssertUnwindSafe(code)).map_err(Panic::new)
}

/// Drops a user's value; a destructor that panics is logged and goes no further.
pub(crate) fn discard<T>(value: T) {
    if let Err(panic) = contain(move || drop(value)) {
        log::error!("a destructor panicked in the bridge: {}", panic.message());
    }
}

/// Wakes a task; a waker that panics is logged and goes no further. Call it without a lock.
#[inline]
pub(crate) fn wake(waker: Option<Waker>) {
    let Some(waker) = waker else { return };
    if let Err(panic) = contain(move || waker.wake()) {
        log::error!("a waker panicked: {}", panic.message());
    }
}
