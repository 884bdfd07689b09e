//! What became of the hooks that run after the stop.

use std::fmt;

/// How one hook ended: see [`Builder::after_stop`](crate::Builder::after_stop).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookEnd {
    /// As it was given.
    pub name: &'static str,
    /// How it ended.
    pub outcome: HookOutcome,
}

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HookOutcome {
    /// It succeeded.
    Done,
    /// It failed, with this error and its sources.
    Failed(String),
    /// It, or its destructor, panicked with this message.
    Panicked(String),
    /// It was dropped because it took longer than it may.
    TimedOut,
    /// It had begun, and was dropped because of a third stop.
    Abandoned,
    /// It never began, because of a third stop.
    Skipped,
}

impl fmt::Display for HookEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, outcome } = self;
        match outcome {
            HookOutcome::Done => write!(f, "{name}: done"),
            HookOutcome::Failed(error) => write!(f, "{name}: {error}"),
            HookOutcome::Panicked(message) => write!(f, "{name}: panicked: {message}"),
            HookOutcome::TimedOut => write!(f, "{name}: took too long"),
            HookOutcome::Abandoned => write!(f, "{name}: abandoned"),
            HookOutcome::Skipped => write!(f, "{name}: skipped"),
        }
    }
}
