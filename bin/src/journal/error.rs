//! Why the journal cannot be used, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::fs::{Access, access};

/// The journal cannot be used. Shown, it is one line that names the file and what to do.
///
/// Whatever the kind, the program that meets it exits with 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    path: PathBuf,
    kind: StoreErrorKind,
    cause: String,
}

/// What is wrong with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It is something else than a SQLite database.
    NotADatabase,
    /// It is the database of another program.
    Foreign,
    /// It is a journal with a schema that this mandrill does not know.
    Version,
    /// It, or its folder, cannot be written.
    ReadOnly,
    /// Its device, or a quota, is full.
    Full,
    /// Another process had it locked for too long. The call changed nothing and may be repeated.
    Busy,
    /// It cannot be opened: its folder is missing, or it is not a regular file.
    Unopenable,
    /// It works, but what it confirms would not survive a power cut.
    NotDurable,
    /// Its contents contradict themselves.
    Damaged,
    /// The device failed.
    Io,
    /// [`Journal::close`](super::Journal::close) was called.
    Closed,
}

impl StoreError {
    /// What is wrong.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn new(path: &Path, kind: StoreErrorKind, cause: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            cause: cause.into(),
        }
    }

    pub(super) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let extended = error.sqlite_error().map(|error| error.extended_code);
        let kind = match error.sqlite_error_code() {
            // The index of the write-ahead log could not grow, which is the first to fail on a full
            // device; SQLite calls it an I/O error.
            _ if extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => StoreErrorKind::Full,
            Some(ErrorCode::NotADatabase) => StoreErrorKind::NotADatabase,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreErrorKind::ReadOnly,
            Some(ErrorCode::DiskFull) => StoreErrorKind::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreErrorKind::Busy,
            // SQLite says the same when it may not make the file's neighbours.
            Some(ErrorCode::CannotOpen)
                if path.is_file() && access(path, Access::WRITE_OK).is_err() =>
            {
                StoreErrorKind::ReadOnly
            }
            Some(ErrorCode::CannotOpen) => StoreErrorKind::Unopenable,
            Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => StoreErrorKind::Io,
            // Everything else, values of a wrong type included, is nothing that we have written.
            _ => StoreErrorKind::Damaged,
        };
        Self::new(path, kind, error.to_string())
    }

    pub(super) fn from_io(path: &Path, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                StoreErrorKind::ReadOnly
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreErrorKind::Unopenable,
            _ => StoreErrorKind::Io,
        };
        Self::new(path, kind, error.to_string())
    }

    /// Whether the connection must not be used any more.
    pub(super) fn latches(&self) -> bool {
        self.kind != StoreErrorKind::Busy
    }

    fn advice(&self) -> &'static str {
        match self.kind {
            StoreErrorKind::NotADatabase | StoreErrorKind::Foreign => {
                "it is not mandrill's; name another file as service.state"
            }
            StoreErrorKind::Version => {
                "use the mandrill that wrote it, or name another file as service.state"
            }
            StoreErrorKind::ReadOnly => "make the file and its folder writable",
            StoreErrorKind::Full => "make room on its device and start again",
            StoreErrorKind::Busy => "find out which other process holds it",
            StoreErrorKind::Unopenable => "it must be a regular file in an existing folder",
            StoreErrorKind::NotDurable => "put it on a local file system",
            StoreErrorKind::Damaged => "restore it, or move it away to begin a new one",
            StoreErrorKind::Io => "check the device, then start again",
            StoreErrorKind::Closed => "mandrill is stopping",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path is quoted and escaped: one line, whatever it is named.
        write!(f, "state file {:?}: ", self.path)?;
        for character in self.cause.chars() {
            match character.is_control() {
                true => write!(f, "{}", character.escape_default())?,
                false => write!(f, "{character}")?,
            }
        }
        write!(f, "; {}", self.advice())
    }
}

impl Error for StoreError {}
