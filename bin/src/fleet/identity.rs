//! Which incarnation of a target is meant, and how a target is doing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One incarnation of a target: a restart is proven by it being another one than before.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Identity {
    /// A child of ours. The number alone could be another process's later; with the start time it
    /// is unique for as long as the machine runs.
    Process {
        /// Its process id.
        pid: u32,
        /// When it started, in clock ticks since the machine booted.
        started: u64,
    },
    /// What a group's `boot_id` command printed.
    Boot {
        /// The line.
        boot_id: String,
    },
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, .. } => write!(f, "pid {pid}"),
            Self::Boot { boot_id } => write!(f, "boot {boot_id}"),
        }
    }
}

/// How a target is doing, as far as the fleet knows without asking it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// In one word.
    pub liveness: Liveness,
    /// The living child, or the boot identity that was read last.
    pub identity: Option<Identity>,
    /// Why it is down, when that is known.
    pub detail: Option<String>,
}

/// A target's state in one word; it says nothing about health, which only a probe can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// The child lives.
    Up,
    /// The child is dead: it ended by itself, or could not be started.
    Down,
    /// The child is being started.
    Starting,
    /// A restart is being carried out.
    Restarting,
    /// The target is no child of ours and nothing is being done to it.
    Unknown,
}

impl Liveness {
    /// The word, as in `mandrill status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Starting => "starting",
            Self::Restarting => "restarting",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
