//! Why something could not be done to the fleet. All texts are safe to print.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::Identity;
use crate::target::Target;

/// Why the fleet could not be opened or asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum FleetError {
    /// A file below `STATE.children/` cannot be used.
    Files {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No group has this target.
    UnknownTarget(Target),
    /// A probe's address makes no sense for a target.
    Config(String),
    /// The boot identity could not be read: it is unknown, which is not the same as changed.
    Unknown(String),
    /// Work on the pool panicked, which is a bug, or found no thread to run on.
    Internal(String),
    /// The fleet or its pool has been closed.
    Closed,
}

impl FleetError {
    pub(super) fn files(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Files { path, source }
    }
}

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files { path, .. } => {
                write!(f, "{} cannot be used", path.display())
            }
            Self::UnknownTarget(target) => write!(f, "{target} is in no group"),
            Self::Config(detail) => f.write_str(detail),
            Self::Unknown(detail) => write!(f, "the boot identity is unknown: {detail}"),
            Self::Internal(message) => write!(f, "mandrill itself failed: {message}"),
            Self::Closed => f.write_str("the fleet is closed"),
        }
    }
}

impl Error for FleetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Files { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why a restart was not carried out, or not to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum RestartError {
    /// The fence held: the target is not the incarnation that was to be restarted, so that nothing
    /// was done. Whoever restarts after a crash goes on with [`verify`](super::Fleet::verify).
    Changed {
        /// What it is now, or was when it ended.
        present: Identity,
    },
    /// Whether the fence holds could not be found out, so that nothing was done. It may be tried
    /// again.
    Unknown(String),
    /// Nothing was done, because a file could not be written: the disk may be full.
    Files {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It was tried and did not work.
    Failed(String),
    /// The fleet is being stopped or its pool is closed; nothing was done, or the child is down and
    /// the next start of the service starts it.
    Closed,
}

impl fmt::Display for RestartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { present } => write!(f, "it is another incarnation already: {present}"),
            Self::Unknown(detail) => write!(f, "the boot identity is unknown: {detail}"),
            Self::Files { path, .. } => write!(f, "{} cannot be written", path.display()),
            Self::Failed(detail) => f.write_str(detail),
            Self::Closed => f.write_str("the fleet is closed"),
        }
    }
}

impl Error for RestartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Files { source, .. } => Some(source),
            Self::Changed { .. } | Self::Unknown(_) | Self::Failed(_) | Self::Closed => None,
        }
    }
}

impl From<FleetError> for RestartError {
    fn from(error: FleetError) -> Self {
        match error {
            FleetError::Files { path, source } => Self::Files { path, source },
            FleetError::UnknownTarget(_) | FleetError::Config(_) | FleetError::Internal(_) => {
                Self::Failed(error.to_string())
            }
            FleetError::Unknown(detail) => Self::Unknown(detail),
            FleetError::Closed => Self::Closed,
        }
    }
}

/// Why a restart could not be proven.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The target did not come back, or not to health, before the deadline.
    Lost(String),
    /// The restart did not work: the child ended again, or the target is the same incarnation
    /// still.
    Failed(String),
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(detail) => write!(f, "lost: {detail}"),
            Self::Failed(detail) => f.write_str(detail),
        }
    }
}

impl Error for VerifyError {}
