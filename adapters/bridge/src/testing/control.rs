//! What an adapter may do to the fake SDK: pause it, resume it, leave it.

use std::fmt;
use std::sync::Weak;

use super::threads::Shared;

/// The part of a [`FakeSdk`](super::FakeSdk) that adapters call: its flow control and its end.
///
/// Does not keep the SDK alive; does nothing once that is gone.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::testing::{FakeControl, FakeSdk, Step};
///
/// let sdk = FakeSdk::<u32>::new();
/// sdk.deliver("reader", 1);
/// sdk.subscribe(|_| {});
/// let control: FakeControl<u32> = sdk.control();
/// control.pause();
/// assert_eq!(sdk.step(), Step::Paused);
/// drop(sdk);
/// // Without the SDK, nothing happens.
/// control.resume();
/// ```
pub struct FakeControl<M, R = ()> {
    shared: Weak<Shared<M, R>>,
}

impl<M, R> FakeControl<M, R> {
    pub(super) fn new(shared: Weak<Shared<M, R>>) -> Self {
        Self { shared }
    }

    /// No more calls until [`resume`](Self::resume): steps are answered by
    /// [`Step::Paused`](super::Step::Paused).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::{FakeSdk, Step};
    ///
    /// let sdk = FakeSdk::<u32>::new();
    /// sdk.deliver("reader", 1);
    /// sdk.subscribe(|_| {});
    /// sdk.control().pause();
    /// assert_eq!(sdk.step(), Step::Paused);
    /// ```
    pub fn pause(&self) {
        self.set_paused(true);
    }

    /// Ends a pause.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::{FakeSdk, Step};
    ///
    /// let sdk = FakeSdk::<u32>::new();
    /// sdk.deliver("reader", 1);
    /// sdk.subscribe(|_| {});
    /// let control = sdk.control();
    /// control.pause();
    /// control.resume();
    /// assert_eq!(sdk.step(), Step::Returned);
    /// ```
    pub fn resume(&self) {
        self.set_paused(false);
    }

    /// Takes the callback away and waits until no call of it is running, as good SDKs do.
    ///
    /// # Panics
    ///
    /// If a call does not return within ten seconds; so it ends if called from the callback itself.
    ///
    /// # Blocking
    ///
    /// Waits for running calls.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::{FakeSdk, Step};
    ///
    /// let sdk = FakeSdk::<u32>::new();
    /// sdk.deliver("reader", 1);
    /// let (kept, is_kept) = std::sync::mpsc::channel::<()>();
    /// sdk.subscribe(move |_| drop(kept.clone()));
    /// sdk.control().unsubscribe();
    /// // The callback is gone, with all that it owned.
    /// assert!(is_kept.recv().is_err());
    /// assert_eq!(sdk.step(), Step::Ended);
    /// ```
    pub fn unsubscribe(&self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let callback = shared.lock().callback.take();
        drop(callback);
        shared.wait_until_idle();
    }

    fn set_paused(&self, is_paused: bool) {
        if let Some(shared) = self.shared.upgrade() {
            shared.lock().is_paused = is_paused;
            shared.changed.notify_all();
        }
    }
}

impl<M, R> Clone for FakeControl<M, R> {
    fn clone(&self) -> Self {
        Self {
            shared: Weak::clone(&self.shared),
        }
    }
}

impl<M, R> fmt::Debug for FakeControl<M, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FakeControl")
            .finish_non_exhaustive()
    }
}
