//! What the fake SDK is to do, and what came of it.

/// What the SDK tells its callback.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::testing::{Call, FakeSdk, Outcome};
///
/// let sdk = FakeSdk::new();
/// sdk.deliver("reader", 7).fail("reader", "link lost").close("reader");
/// sdk.subscribe(|call: Call<u32>| match call {
///     Call::Message(value) => value.to_string(),
///     Call::Error(error) => error,
///     Call::Closed => "closed".to_owned(),
/// });
/// sdk.run_all();
/// let outcomes = sdk.take_records().into_iter().map(|record| record.outcome);
/// let expected = ["7", "link lost", "closed"].map(|word| Outcome::Returned(word.to_owned()));
/// assert!(outcomes.eq(expected));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call<M> {
    /// A message has come.
    Message(M),
    /// Something failed, in the SDK's words.
    Error(String),
    /// The SDK has closed the subscription.
    Closed,
}

/// What one step has come to.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::testing::{FakeSdk, Step};
///
/// let sdk = FakeSdk::<u32>::new();
/// sdk.deliver("reader", 7);
/// assert_eq!(sdk.step(), Step::Ended, "nobody is subscribed");
/// sdk.subscribe(|_| {});
/// assert_eq!(sdk.step(), Step::Returned);
/// assert_eq!(sdk.step(), Step::Ended);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a step that was not made is told here"]
#[non_exhaustive]
pub enum Step {
    /// The call was made and has returned; how, its [`Record`] tells.
    Returned,
    /// The call was made and is parked in a push.
    Blocked,
    /// Not made: its thread is still parked in an earlier call.
    Busy,
    /// Not made: the SDK was told to pause.
    Paused,
    /// Not made: the script is at its end, or nobody is subscribed.
    Ended,
}

/// One call that has returned.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::testing::{FakeSdk, Outcome, Record};
///
/// let sdk = FakeSdk::<u32, _>::new();
/// sdk.deliver("reader", 7);
/// sdk.subscribe(|_| "seen");
/// sdk.run_all();
/// let expected = Record {
///     line: 0,
///     thread: "reader".to_owned(),
///     outcome: Outcome::Returned("seen"),
/// };
/// assert_eq!(sdk.take_records(), [expected]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<R> {
    /// The number of the call in the script, from 0.
    pub line: usize,
    /// The thread that made it.
    pub thread: String,
    /// What the callback did.
    pub outcome: Outcome<R>,
}

/// What the callback did.
///
/// # Examples
///
/// ```
/// use mayhem_bridge::testing::{FakeSdk, Outcome};
///
/// let sdk = FakeSdk::<u32>::new();
/// sdk.deliver("reader", 7);
/// sdk.subscribe(|call| panic!("not this: {call:?}"));
/// sdk.run_all();
/// let outcome = sdk.take_records().remove(0).outcome;
/// assert_eq!(outcome, Outcome::Panicked("not this: Message(7)".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// It returned this.
    Returned(R),
    /// It panicked, with this message; the SDK has survived it.
    Panicked(String),
}
