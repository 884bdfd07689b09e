//! How a branch fails.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::Cause;

/// Why a branch failed, and so what its message needs.
#[derive(Debug)]
#[non_exhaustive]
pub enum BranchError {
    /// Another attempt may succeed.
    Retry {
        /// Not before this long from now; `None` leaves it to the consumer's backoff.
        after: Option<Duration>,
        /// What went wrong.
        cause: Cause,
    },
    /// Not now, and not as an attempt.
    Postpone {
        /// Not before this long from now.
        after: Duration,
        /// What stands in the way.
        cause: Cause,
    },
    /// It can never succeed.
    Dead {
        /// What went wrong.
        cause: Cause,
    },
    /// The branch panicked with this message; treated as `Retry`.
    Panicked(String),
}

impl BranchError {
    /// An error that another attempt may cure.
    pub fn retry(cause: impl Into<Cause>) -> Self {
        Self::Retry {
            after: None,
            cause: cause.into(),
        }
    }

    /// An error that another attempt may cure, though not before `after`.
    pub fn retry_after(after: Duration, cause: impl Into<Cause>) -> Self {
        Self::Retry {
            after: Some(after),
            cause: cause.into(),
        }
    }

    /// Not an error: the time has not come.
    pub fn postpone(after: Duration, cause: impl Into<Cause>) -> Self {
        Self::Postpone {
            after,
            cause: cause.into(),
        }
    }

    /// An error that no attempt can cure.
    pub fn dead(cause: impl Into<Cause>) -> Self {
        Self::Dead {
            cause: cause.into(),
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        matches!(self, Self::Dead { .. })
    }

    /// The error and its sources in one line.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Retry { cause, .. } | Self::Postpone { cause, .. } | Self::Dead { cause } => {
                describe(cause.as_ref())
            }
            Self::Panicked(_) => self.to_string(),
        }
    }
}

/// An error and its sources in one line, for a person.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl fmt::Display for BranchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { .. } => f.write_str("the branch failed for now"),
            Self::Postpone { .. } => f.write_str("the branch was put off"),
            Self::Dead { .. } => f.write_str("the branch failed for good"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
        }
    }
}

impl Error for BranchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Retry { cause, .. } | Self::Postpone { cause, .. } | Self::Dead { cause } => {
                Some(cause.as_ref())
            }
            Self::Panicked(_) => None,
        }
    }
}
