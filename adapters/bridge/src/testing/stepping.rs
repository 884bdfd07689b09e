//! Making the fake SDK's calls, one step at a time.

use super::script::Step;
use super::sdk::FakeSdk;
use super::threads::{State, Status, Thread};

impl<M: Send + 'static, R: Send + 'static> FakeSdk<M, R> {
    /// Makes the next call of the script, and comes back when it has returned or is parked.
    ///
    /// # Panics
    ///
    /// If the call does neither within ten seconds: it waits for something else than room.
    ///
    /// # Blocking
    ///
    /// Waits for the call: a callback that needs the thread that calls `step` does not get it.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::{FakeSdk, Step};
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::sync::Arc;
    ///
    /// let seen = Arc::new(AtomicU32::new(0));
    /// let sum = Arc::clone(&seen);
    /// let sdk = FakeSdk::<u32>::new();
    /// sdk.deliver("reader", 1).deliver("reader", 2);
    /// sdk.subscribe(move |_| drop(sum.fetch_add(1, Ordering::SeqCst)));
    /// assert_eq!((sdk.step(), seen.load(Ordering::SeqCst)), (Step::Returned, 1));
    /// assert_eq!((sdk.step(), seen.load(Ordering::SeqCst)), (Step::Returned, 2));
    /// ```
    pub fn step(&self) -> Step {
        let mut state = self.shared().lock();
        let Some(name) = state.script.front().map(|line| line.thread.clone()) else {
            return Step::Ended;
        };
        if state.callback.is_none() {
            return Step::Ended;
        }
        if state.is_paused {
            return Step::Paused;
        }
        let index = self.shared().thread_of(&mut state, &name);
        // It may be on its way out of an earlier call.
        state = self.shared().settled(state, index);
        if state.threads[index].status == Status::Parked {
            return Step::Busy;
        }
        let line = state.script.pop_front();
        let thread = &mut state.threads[index];
        (thread.inbox, thread.status) = (line, Status::Running);
        self.shared().changed.notify_all();
        state = self.shared().settled(state, index);
        match state.threads[index].status {
            Status::Parked => Step::Blocked,
            Status::Idle | Status::Running => Step::Returned,
        }
    }

    /// Makes calls until the next one cannot be made; says why.
    ///
    /// Calls that park do not stop it, as long as the script goes on with other threads.
    ///
    /// # Panics
    ///
    /// As [`step`](Self::step).
    ///
    /// # Blocking
    ///
    /// As [`step`](Self::step).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::{FakeSdk, Step};
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, _stream) = callback_stream("doc").capacity(1).overflow(Overflow::Block).build();
    /// let sdk = FakeSdk::new();
    /// sdk.deliver("a", 1).deliver("b", 2).deliver("b", 3);
    /// sdk.subscribe(move |call| drop(sink.push(call)));
    /// // The third is for a thread that still waits with the second.
    /// assert_eq!(sdk.run(), Step::Busy);
    /// ```
    pub fn run(&self) -> Step {
        loop {
            let step = self.step();
            if !matches!(step, Step::Returned | Step::Blocked) {
                return step;
            }
        }
    }

    /// Makes all calls of the script and waits until all have returned: for a test whose consumer
    /// runs elsewhere and makes room by and by.
    ///
    /// # Panics
    ///
    /// If nothing happens for ten seconds: nobody makes room, or the SDK stays paused.
    ///
    /// # Blocking
    ///
    /// Waits for the calls, and so for a consumer on another thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::testing::FakeSdk;
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, stream) = callback_stream("doc").capacity(1).overflow(Overflow::Block).build();
    /// let consumer = std::thread::spawn(move || block_on(stream.take(9).collect::<Vec<_>>()));
    /// let sdk = FakeSdk::new();
    /// (0..9).for_each(|value| drop(sdk.deliver("reader", value)));
    /// sdk.subscribe(move |call| drop(sink.push(call)));
    /// sdk.run_all();
    /// assert_eq!(sdk.take_records().len(), 9);
    /// assert_eq!(consumer.join().unwrap().len(), 9);
    /// ```
    pub fn run_all(&self) {
        loop {
            match self.step() {
                Step::Returned | Step::Blocked => {}
                Step::Ended => break,
                Step::Busy | Step::Paused => {
                    let wait_for = |state: &State<M, R>| {
                        let Some(line) = state.script.front() else {
                            return true;
                        };
                        let is_parked = |thread: &Thread<M>| {
                            thread.name == line.thread && thread.status == Status::Parked
                        };
                        !state.is_paused && !state.threads.iter().any(is_parked)
                    };
                    drop(self.shared().wait(
                        self.shared().lock(),
                        "the script cannot go on",
                        wait_for,
                    ));
                }
            }
        }
        self.wait_until_idle();
    }

    /// Waits until so many calls are parked in a push.
    ///
    /// # Panics
    ///
    /// If that takes more than ten seconds.
    ///
    /// # Blocking
    ///
    /// Waits for the calls: not for a thread that they need.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::testing::FakeSdk;
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, mut stream) =
    ///     callback_stream("doc").capacity(1).overflow(Overflow::Block).build();
    /// let sdk = FakeSdk::new();
    /// sdk.deliver("a", 1).deliver("b", 2).deliver("c", 3);
    /// sdk.subscribe(move |call| drop(sink.push(call)));
    /// let _ = sdk.run();
    /// sdk.wait_until_blocked(2);
    /// // Room for one of the two.
    /// block_on(stream.next());
    /// sdk.wait_until_blocked(1);
    /// assert_eq!(sdk.blocked_now(), 1);
    /// ```
    pub fn wait_until_blocked(&self, calls: usize) {
        let reached = |state: &State<M, R>| state.count(Status::Parked) == calls;
        drop(self.shared().wait(
            self.shared().lock(),
            "calls are not parked as expected",
            reached,
        ));
    }

    /// Waits until every call that was made has returned.
    ///
    /// # Panics
    ///
    /// If that takes more than ten seconds.
    ///
    /// # Blocking
    ///
    /// Waits for the calls: not for a thread that they need.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::{StreamExt, executor::block_on};
    /// use mayhem_bridge::testing::{FakeSdk, Step};
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, mut stream) =
    ///     callback_stream("doc").capacity(1).overflow(Overflow::Block).build();
    /// let sdk = FakeSdk::new();
    /// sdk.deliver("a", 1).deliver("a", 2);
    /// sdk.subscribe(move |call| drop(sink.push(call)));
    /// assert_eq!((sdk.step(), sdk.step()), (Step::Returned, Step::Blocked));
    /// block_on(stream.next());
    /// sdk.wait_until_idle();
    /// assert_eq!(sdk.take_records().len(), 2);
    /// ```
    pub fn wait_until_idle(&self) {
        self.shared().wait_until_idle();
    }

    /// How many calls are parked in a push now.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_bridge::testing::{FakeSdk, Step};
    /// use mayhem_bridge::{Overflow, callback_stream};
    ///
    /// let (sink, stream) = callback_stream("doc").capacity(1).overflow(Overflow::Block).build();
    /// let sdk = FakeSdk::new();
    /// sdk.deliver("a", 1).deliver("b", 2);
    /// sdk.subscribe(move |call| drop(sink.push(call)));
    /// assert_eq!((sdk.run(), sdk.blocked_now()), (Step::Ended, 1));
    /// drop(stream);
    /// sdk.wait_until_idle();
    /// assert_eq!(sdk.blocked_now(), 0);
    /// ```
    pub fn blocked_now(&self) -> usize {
        self.shared().lock().count(Status::Parked)
    }
}
