//! The lock under which the file is made: one process at a time, and once.
//!
//! SQLite's own locks cannot serve here, since they need the file. The lock is a file beside it,
//! `STATE.create`, and is gone again when the journal exists.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{StoreError, StoreErrorKind};

/// How long another process may take to make the file.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Held while the file is made.
#[derive(Debug)]
pub(super) struct CreationLock {
    path: PathBuf,
    // Holds the lock until it is closed.
    _file: File,
}

impl CreationLock {
    /// Waits for the lock of the journal at `state`.
    pub(super) fn take(state: &Path) -> Result<Self, StoreError> {
        let mut path = state.as_os_str().to_owned();
        path.push(".create");
        let path = PathBuf::from(path);
        let started = Instant::now();
        loop {
            match try_take(&path) {
                Ok(Some(file)) => return Ok(Self { path, _file: file }),
                Ok(None) if started.elapsed() > WAIT_MAX => {
                    let cause = format!("another process holds {path:?}");
                    return Err(StoreError::new(state, StoreErrorKind::Busy, cause));
                }
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                Err(error) => return Err(StoreError::from_io(state, &error)),
            }
        }
    }
}

impl Drop for CreationLock {
    fn drop(&mut self) {
        // Ignored: a lock file that stays is only clutter. It is removed while the lock is held,
        // and `try_take` tells a removed one from the real one.
        let _ = fs::remove_file(&self.path);
    }
}

/// The locked file, or `None` when somebody else has it.
fn try_take(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Between our open and our lock its holder may have removed it; then we hold a lock on nothing.
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) if named.ino() == own.ino() && named.dev() == own.dev() => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
