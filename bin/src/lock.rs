//! `STATE.lock`: one daemon per state file.
//!
//! The lock is the kernel's (`flock`), so that it ends with its holder whatever way that ends. The
//! file's text, the holder's pid and start, is only for people; the file itself stays where it is,
//! as removing it would let two daemons lock two files of the same name.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::output::rfc3339;

/// The right to be the daemon of a state file, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The daemon's process.
    pub pid: u32,
    /// When it took the lock.
    pub since: Timestamp,
}

impl Lock {
    /// Takes the lock of `state`.
    ///
    /// # Errors
    ///
    /// Exit 4: another daemon holds it, named by pid, or the file cannot be made.
    ///
    /// # Blocking
    ///
    /// Up to half a second when the lock is held: [`holder`] in another process holds it for a
    /// moment, and so does a daemon that the kernel is still taking down.
    pub fn take(state: &Path) -> Result<Self, Failure> {
        let path = path_of(state);
        let unusable = |what: &str, error: &dyn std::fmt::Display| {
            Failure::store(format!(
                "{}: {what}: {error}; make its folder writable or choose another [service] state",
                path.display()
            ))
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(&path)
            .map_err(|error| unusable("cannot open the lock", &error))?;
        for tries_left in (0..TRIES).rev() {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if tries_left > 0 => thread::sleep(BETWEEN_TRIES),
                Err(Errno::WOULDBLOCK) => return Err(held(&path, read(&mut file))),
                Err(errno) => return Err(unusable("cannot lock it", &errno)),
            }
        }
        let own = Holder {
            pid: std::process::id(),
            since: Timestamp::now(),
        };
        write(&mut file, &own).map_err(|error| unusable("cannot write to it", &error))?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Ignored: the text is only for people, and closing the file ends the lock.
        let _ = self.file.set_len(0);
    }
}

/// Who is the daemon of `state` now; `None` when there is none. Makes no file.
///
/// # Blocking
///
/// A few milliseconds at most, while a new daemon is writing its name.
pub fn holder(state: &Path) -> Option<Holder> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(no_follow())
        .open(path_of(state))
        .ok()?;
    let mut found = None;
    for _ in 0..TRIES {
        if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
            // Nobody has it. Closing the file gives the shared lock back.
            return None;
        }
        found = read(&mut file);
        if found.as_ref().is_some_and(is_running) {
            break;
        }
        // Locked, and the text is still that of an earlier daemon: the new one is about to write.
        thread::sleep(BETWEEN_TRIES);
    }
    found
}

fn held(path: &Path, holder: Option<Holder>) -> Failure {
    let by = match holder {
        Some(holder) => format!("pid {}, since {}", holder.pid, rfc3339(holder.since)),
        None => "its pid is not written yet".to_owned(),
    };
    Failure::store(format!(
        "{}: another daemon holds this state ({by}); stop it or choose another [service] state",
        path.display()
    ))
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(TEXT_BYTES_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write(file: &mut File, holder: &Holder) -> std::io::Result<()> {
    let text = serde_json::to_string(holder)?;
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(format!("{text}\n").as_bytes())
}

fn is_running(holder: &Holder) -> bool {
    i32::try_from(holder.pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        // A process of another user exists too; only "no such process" says that it does not.
        .is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(Errno::SRCH))
}

fn path_of(state: &Path) -> PathBuf {
    let mut path = state.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// A symbolic link in the lock's place is somebody's trick or mistake.
fn no_follow() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

/// Fifty tries, ten milliseconds apart: half a second.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);
/// Far more than a pid and a moment need.
const TEXT_BYTES_MAX: u64 = 1024;

#[cfg(test)]
mod tests;
