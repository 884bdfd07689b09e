//! What Linux says about processes: `/proc/PID/stat`, `/proc/PID/environ` and the machine's boot
//! id.
//!
//! Everything here reads files that the kernel makes up on the spot; no call waits for a disk.

use std::fs;
use std::io;

use rustix::io::Errno;

/// The variable that carries a child's nonce.
pub(super) const NONCE: &str = "MANDRILL_NONCE";

/// One process, as its `stat` file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: u32,
    /// The letter of its state; `Z` and `X` are dead.
    pub(super) state: u8,
    /// Its process group.
    pub(super) group: u32,
    /// When it started, in clock ticks since boot.
    pub(super) started: u64,
}

impl Stat {
    pub(super) fn is_dead(self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// Reads a `stat` line. The second field is the program's name in parentheses and may itself
    /// hold spaces and parentheses, so that fields are counted from the last one that closes.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (head, tail) = line.rsplit_once(')')?;
        let (pid, _name) = head.split_once(" (")?;
        let mut fields = tail.split_ascii_whitespace();
        // Fields are counted from 1 in proc_pid_stat(5): state is 3, pgrp 5 and starttime 22.
        let state = *fields.next()?.as_bytes().first()?;
        let group = fields.nth(1)?.parse().ok()?;
        let started = fields.nth(16)?.parse().ok()?;
        let pid = pid.trim().parse().ok()?;
        Some(Self {
            pid,
            state,
            group,
            started,
        })
    }
}

/// Reads a process's `stat`; `None` when there is no such process.
pub(super) fn stat(pid: u32) -> io::Result<Option<Stat>> {
    let bytes = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(bytes) => bytes,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The name can be any bytes; the fields after it are ASCII.
    match Stat::parse(&String::from_utf8_lossy(&bytes)) {
        Some(stat) => Ok(Some(stat)),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("/proc/{pid}/stat is not understood"),
        )),
    }
}

/// Finds the living processes that were given one of these nonces, and with which.
///
/// The kernel shows the environment as it was at the start of the program, so that a process cannot
/// lose its nonce; its own children inherit it, which is why callers look at the group as well.
/// Processes of other users do not show theirs and are passed over.
pub(super) fn find_by_nonce(nonces: &[&str]) -> io::Result<Vec<(Stat, usize)>> {
    find_by_variable(NONCE, nonces)
}

/// The same by any variable and its values.
pub(super) fn find_by_variable(variable: &str, values: &[&str]) -> io::Result<Vec<(Stat, usize)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // Any failure here is a process that is gone or not ours.
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
            continue;
        };
        let carried = environment
            .split(|&byte| byte == 0)
            .find_map(|pair| pair.strip_prefix(variable.as_bytes())?.strip_prefix(b"="));
        let Some(index) =
            carried.and_then(|carried| values.iter().position(|value| value.as_bytes() == carried))
        else {
            continue;
        };
        if let Some(stat) = stat(pid)?.filter(|stat| !stat.is_dead()) {
            found.push((stat, index));
        }
    }
    Ok(found)
}

/// The machine's boot id: pids and start times of another boot mean nothing.
pub(super) fn machine_boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// The process that was spawned, among those that carry the same value: it leads its group, and is
/// older than what it started itself.
pub(super) fn leader(found: Vec<(Stat, usize)>) -> Option<Stat> {
    found
        .into_iter()
        .map(|(stat, _)| stat)
        .filter(|stat| stat.group == stat.pid)
        .min_by_key(|stat| (stat.started, stat.pid))
}

fn is_gone(error: &io::Error) -> bool {
    // A process that ends between open and read answers ESRCH.
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests;
