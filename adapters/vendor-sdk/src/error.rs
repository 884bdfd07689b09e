//! What can go wrong, each in one line that names the file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Why a call failed.
///
/// Only [`Error::Locked`] is worth trying again on the same handle. [`Error::Refused`] concerns the
/// one call. Everything else is for good: the handle has latched, or was never opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be used as a queue at all: missing folder, no permission, read-only, not a
    /// database, or some other program's database. Nothing was changed.
    Unusable {
        /// The queue's file.
        path: PathBuf,
        /// What stands in the way.
        detail: String,
    },
    /// Another process held the file for longer than the busy timeout. Nothing was changed; the
    /// handle goes on.
    Locked {
        /// The queue's file.
        path: PathBuf,
        /// How long the call waited.
        waited: Duration,
    },
    /// The disk, or the size allowed by [`Options::bytes_max`](crate::Options::bytes_max), is full.
    /// The call's change was rolled back.
    Full {
        /// The queue's file.
        path: PathBuf,
        /// SQLite's own words.
        detail: String,
    },
    /// Reading, writing or syncing failed. Whether the call's change is durable is unknown.
    Io {
        /// The queue's file.
        path: PathBuf,
        /// SQLite's own words.
        detail: String,
    },
    /// The file is damaged.
    Corrupt {
        /// The queue's file.
        path: PathBuf,
        /// SQLite's own words.
        detail: String,
    },
    /// The file was written by another version of this SDK. Nothing was changed.
    WrongVersion {
        /// The queue's file.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The version that this SDK reads and writes.
        expected: i64,
    },
    /// An earlier call met an error after which the file's state is unknown; this handle does
    /// nothing any more. Open the file again.
    Latched {
        /// The earlier call's error.
        first: Arc<Error>,
    },
    /// The handle was closed before the call.
    Closed {
        /// The queue's file.
        path: PathBuf,
    },
    /// The call asks for something impossible; nothing was changed.
    Refused {
        /// The queue's file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

impl Error {
    /// The file that the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Unusable { path, .. }
            | Self::Locked { path, .. }
            | Self::Full { path, .. }
            | Self::Io { path, .. }
            | Self::Corrupt { path, .. }
            | Self::WrongVersion { path, .. }
            | Self::Closed { path }
            | Self::Refused { path, .. } => path,
            Self::Latched { first } => first.path(),
        }
    }

    /// Whether the same call on the same handle may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file's name may hold anything, a line end included; the message is one line.
        let file = self.path().to_string_lossy();
        let file = file.escape_debug();
        match self {
            Self::Unusable { detail, .. } => write!(f, "cannot use {file}: {detail}"),
            Self::Locked { waited, .. } => {
                write!(f, "{file} was locked by another process for {waited:?}")
            }
            Self::Full { detail, .. } => write!(f, "no space left for {file}: {detail}"),
            Self::Io { detail, .. } => write!(f, "input or output failed on {file}: {detail}"),
            Self::Corrupt { detail, .. } => write!(f, "{file} is damaged: {detail}"),
            Self::WrongVersion {
                found, expected, ..
            } => write!(
                f,
                "{file} has queue format {found}, this program reads format {expected}"
            ),
            Self::Latched { first } => write!(f, "stopped after an earlier error: {first}"),
            Self::Closed { .. } => write!(f, "{file} was closed"),
            Self::Refused { detail, .. } => write!(f, "{file}: refused: {detail}"),
        }
    }
}

impl std::error::Error for Error {}
