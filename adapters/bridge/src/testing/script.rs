//! What the fake SDK is to do, and what came of it.

/// What the SDK tells its callback.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// It returned this.
    Returned(R),
    /// It panicked, with this message; the SDK has survived it.
    Panicked(String),
}
