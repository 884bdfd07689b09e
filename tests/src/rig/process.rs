//! Processes as `/proc` shows them.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

/// One line of a child's start log: a pid and, because pids come back, when it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Start {
    /// The process.
    pub pid: u32,
    /// Its start in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub started: u64,
}

impl Start {
    /// Reads `{"pid":…,"started":…}`.
    pub fn read(value: &Value) -> Option<Self> {
        let pid = u32::try_from(value["pid"].as_u64()?).ok()?;
        Some(Self {
            pid,
            started: value["started"].as_u64()?,
        })
    }

    /// Whether exactly this process runs: not another one with its pid, not a zombie.
    pub fn is_alive(&self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else {
            return false;
        };
        // The name is in parentheses and may hold anything; what follows it is fields 3 and on.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let is_same = fields.get(19).and_then(|text| text.parse().ok()) == Some(self.started);
        is_same && !matches!(fields.first(), Some(&"Z" | &"X"))
    }

    /// Kills the process and its group, if it is still this one.
    pub fn kill_group(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_alive()) {
            // Ignored: it may have ended by itself just now.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// The lines of a start log; none when there is no file.
pub(super) fn starts(path: &Path) -> Vec<Start> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let read = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("a start log holds JSON lines");
        Start::read(&value).expect("a start log line has pid and started")
    };
    text.lines().map(read).collect()
}

/// The lines of every start log in `folder`.
pub(super) fn all_starts(folder: &Path) -> Vec<Start> {
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    let logs = paths.filter(|path| path.extension().is_some_and(|end| end == "starts"));
    logs.flat_map(|path| starts(&path)).collect()
}

/// The processes whose command line, with spaces between and after its arguments, holds one of
/// `words`.
pub(super) fn naming(words: &[String]) -> Vec<u32> {
    let entries = fs::read_dir("/proc")
        .expect("/proc can be read")
        .filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let names_one = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        words.iter().any(|word| line.contains(word.as_str()))
    };
    pids.filter(names_one).collect()
}
