//! The two files of a child below `STATE.children/`: which process it is, and every start it had.
//!
//! `NAME.child` is replaced as a whole and durable before anything is built on it. `NAME.starts`
//! only grows. Both are small; every call here may wait for the disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::FleetError;
use crate::target::Target;

/// Who the child is.
///
/// While a start is under way both incarnations are in it: the old one, which may still live, and
/// the nonce that the new one will be found by. The new one is never spawned before the old one is
/// dead, so that at most one of them lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The machine's boot that the rest belongs to.
    pub(super) boot_id: String,
    /// The process that was last known.
    pub(super) process: Option<Process>,
    /// The nonce of the one that was about to be spawned.
    pub(super) next: Option<String>,
}

/// One process that was spawned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) nonce: String,
    pub(super) pid: u32,
    pub(super) started: u64,
}

/// Where a child's files are.
#[derive(Clone, Debug)]
pub(super) struct ChildFiles {
    folder: PathBuf,
    record: PathBuf,
    replacement: PathBuf,
    starts: PathBuf,
}

impl ChildFiles {
    pub(super) fn new(folder: &Path, target: &Target) -> Self {
        Self {
            folder: folder.to_owned(),
            record: folder.join(format!("{target}.child")),
            replacement: folder.join(format!("{target}.child.new")),
            starts: folder.join(format!("{target}.starts")),
        }
    }

    /// Reads the record; `None` when the child never had one.
    ///
    /// A record that cannot be understood is an error: to go on without it could mean a second
    /// process beside a living one.
    pub(super) fn read(&self) -> Result<Option<Record>, FleetError> {
        let bytes = match fs::read(&self.record) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FleetError::files(&self.record)(error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let reason = format!("it is not a record of a child ({error})");
            FleetError::files(&self.record)(io::Error::new(io::ErrorKind::InvalidData, reason))
        })
    }

    /// Replaces the record; when this returns, the new one survives a power cut.
    pub(super) fn write(&self, record: &Record) -> Result<(), FleetError> {
        self.replace(record)
            .map_err(FleetError::files(&self.record))
    }

    /// Notes a start, unless it has been noted.
    pub(super) fn log_start(&self, pid: u32, started: u64) -> Result<(), FleetError> {
        self.append(pid, started)
            .map_err(FleetError::files(&self.starts))
    }

    fn replace(&self, record: &Record) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.replacement)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        fs::rename(&self.replacement, &self.record)?;
        File::open(&self.folder)?.sync_all()
    }

    fn append(&self, pid: u32, started: u64) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.starts)?;
        let mut written = Vec::new();
        file.read_to_end(&mut written)?;
        let start = Start { pid, started };
        let is_noted =
            |line: &[u8]| serde_json::from_slice::<Start>(line).is_ok_and(|noted| noted == start);
        // From the end: if it is there, it is the last one.
        if written.rsplit(|&byte| byte == b'\n').any(is_noted) {
            return Ok(());
        }
        let mut line = serde_json::to_string(&start)?;
        line.push('\n');
        if !written.is_empty() && !written.ends_with(b"\n") {
            // A full disk tore the line before; it must not take this one with it.
            line.insert(0, '\n');
        }
        // One write, so that a crash leaves all of the line or nothing. Not synced: the log is for
        // the operator, and no decision is built on it.
        file.write_all(line.as_bytes())
    }
}

/// Makes `STATE.children/`, readable by its owner only.
pub(super) fn make_folder(folder: &Path) -> Result<(), FleetError> {
    let make = || {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
        let metadata = folder.metadata()?;
        if !metadata.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    };
    make().map_err(FleetError::files(folder))
}

#[derive(PartialEq, Serialize, Deserialize)]
struct Start {
    pid: u32,
    started: u64,
}

#[cfg(test)]
mod tests;
