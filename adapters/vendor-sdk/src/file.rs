//! The database file from outside: its creation, its permissions, its folder.
//!
//! The file is never opened here: closing any descriptor of it would drop the POSIX locks that
//! SQLite holds in this process (<https://www.sqlite.org/howtocorrupt.html>, §2.2).

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags};

use crate::Error;

/// Held while a file is created and looked at for the first time, across processes.
#[derive(Debug)]
pub(crate) struct CreationLock {
    // Held for its drop, which closes the descriptor and so frees the lock.
    _descriptor: OwnedFd,
}

impl CreationLock {
    /// Waits for the lock of the database at `path`, at most `timeout`.
    pub(crate) fn acquire(path: &Path, timeout: Duration) -> Result<Self, Error> {
        let lock = sibling(path, ".create-lock");
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let descriptor = rustix::fs::open(&lock, flags, OWNER_ONLY).map_err(|error| {
            let name = lock.to_string_lossy();
            unusable(
                path,
                format!("{}: {}", name.escape_debug(), io::Error::from(error)),
            )
        })?;
        let begin = Instant::now();
        // In steps, because flock(2) has no timeout and its holder may be stopped.
        while let Err(error) =
            rustix::fs::flock(&descriptor, FlockOperation::NonBlockingLockExclusive)
        {
            let waited = begin.elapsed();
            match error {
                rustix::io::Errno::WOULDBLOCK if waited < timeout => thread::sleep(LOCK_STEP),
                rustix::io::Errno::WOULDBLOCK => {
                    return Err(Error::Locked {
                        path: path.to_owned(),
                        waited,
                    });
                }
                rustix::io::Errno::INTR => {}
                other => return Err(unusable(path, io::Error::from(other).to_string())),
            }
        }
        Ok(Self {
            _descriptor: descriptor,
        })
    }
}

/// Makes the file when there is none, readable by its owner only from its first moment on.
pub(crate) fn create(path: &Path) -> Result<(), Error> {
    // mknod makes a regular file without opening it, with its mode, or fails when there is one.
    match rustix::fs::mknodat(CWD, path, FileType::RegularFile, OWNER_ONLY, 0) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => check_regular(path),
        Err(error) => Err(unusable(path, io::Error::from(error).to_string())),
    }
}

/// Takes from others what they may do with an existing file and with SQLite's files beside it.
pub(crate) fn restrict(path: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-shm"] {
        let file = sibling(path, suffix);
        let Ok(found) = fs::metadata(&file) else {
            continue;
        };
        let mode = found.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(&file, Permissions::from_mode(mode & 0o700)).map_err(|error| {
                unusable(
                    path,
                    format!("others may read it, and that cannot be changed: {error}"),
                )
            })?;
        }
    }
    Ok(())
}

/// Syncs the folder of `path`, so that the names in it are durable.
///
/// SQLite does so too, but swallows an error of it.
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::Io {
            path: path.to_owned(),
            detail: format!("its folder: {error}"),
        })
}

/// The path with `suffix` after its last byte.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// An [`Error::Unusable`].
pub(crate) fn unusable(path: &Path, detail: impl Into<String>) -> Error {
    Error::Unusable {
        path: path.to_owned(),
        detail: detail.into(),
    }
}

fn check_regular(path: &Path) -> Result<(), Error> {
    let found = fs::metadata(path).map_err(|error| unusable(path, error.to_string()))?;
    if found.is_file() {
        Ok(())
    } else {
        Err(unusable(path, "it is not a regular file"))
    }
}

/// Read and write for the owner, nothing for others. SQLite gives `-wal` and `-shm` the same.
const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);
/// How often a creation lock is tried; creation takes some milliseconds.
const LOCK_STEP: Duration = Duration::from_millis(2);
