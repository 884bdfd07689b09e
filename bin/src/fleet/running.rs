//! One process, held by its pidfd: signalled, watched and reaped without a thread and without the
//! danger that its number belongs to somebody else by now.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use futures::future::{Either, select};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal,
    waitid,
};

use super::Identity;
use super::procfs;

/// A process that was alive when it was attached to, ours or adopted.
pub(super) struct Running {
    pid: u32,
    started: u64,
    pidfd: Async<OwnedFd>,
    attached: Instant,
    /// How it ended; set once it has been reaped.
    end: OnceLock<End>,
}

impl Running {
    /// Attaches to a process that was just spawned by us. It may be dead already: it keeps its
    /// number until it is reaped.
    pub(super) fn spawned(pid: u32) -> io::Result<Self> {
        let pidfd = open(pid)?;
        match procfs::stat(pid)? {
            Some(stat) => Self::over(pidfd, pid, stat.started),
            None => Err(Errno::SRCH.into()),
        }
    }

    /// Attaches to a process that is known by its number and start time; `None` when it is dead.
    pub(super) fn adopt(pid: u32, started: u64) -> io::Result<Option<Self>> {
        let pidfd = match open(pid) {
            Ok(pidfd) => pidfd,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // Looked at after the pidfd was opened: only then are both about the same process.
        match procfs::stat(pid)? {
            Some(stat) if stat.started == started && !stat.is_dead() => {
                Self::over(pidfd, pid, started).map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn started(&self) -> u64 {
        self.started
    }

    pub(super) fn identity(&self) -> Identity {
        Identity::Process {
            pid: self.pid,
            started: self.started,
        }
    }

    /// Whether it has ended, reaped or not.
    pub(super) fn has_ended(&self) -> bool {
        if self.end.get().is_some() {
            return true;
        }
        wait_readable(self.pidfd.get_ref(), Duration::ZERO)
    }

    /// Waits for its end. It is left unreaped, so that its number stays taken.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only looks.
    pub(super) async fn ended(&self) {
        while !self.has_ended() {
            if self.pidfd.readable().await.is_err() {
                // The reactor is out of order: look now and then instead.
                Timer::after(LOOK_EVERY).await;
            }
        }
    }

    /// Waits for its end until `deadline` and says whether it came.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only looks.
    pub(super) async fn ended_by(&self, deadline: Instant) -> bool {
        let ended = std::pin::pin!(self.ended());
        match select(ended, Timer::at(deadline)).await {
            Either::Left(_) => true,
            Either::Right(_) => self.has_ended(),
        }
    }

    /// Waits for its end with the thread, for `patience` at most.
    ///
    /// # Blocking
    ///
    /// For `patience`, which callers keep short.
    pub(super) fn wait_blocking(&self, patience: Duration) {
        wait_readable(self.pidfd.get_ref(), patience);
    }

    /// Sends a signal; to the dead it does nothing.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.pidfd.get_ref(), signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes the exit status of the dead; `None` while it lives.
    pub(super) fn reap(&self) -> Option<End> {
        if !self.has_ended() {
            return None;
        }
        let end = self.end.get_or_init(|| {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            match waitid(WaitId::PidFd(self.pidfd.get_ref().as_fd()), options) {
                Ok(Some(status)) => End::from(status),
                // Adopted: its status went to whoever inherited it.
                Ok(None) | Err(_) => End::Unknown,
            }
        });
        Some(*end)
    }

    /// How long ago it was spawned or adopted.
    pub(super) fn attached_for(&self) -> Duration {
        self.attached.elapsed()
    }

    fn over(pidfd: OwnedFd, pid: u32, started: u64) -> io::Result<Self> {
        Ok(Self {
            pid,
            started,
            pidfd: Async::new_nonblocking(pidfd)?,
            attached: Instant::now(),
            end: OnceLock::new(),
        })
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("pid", &self.pid)
            .field("started", &self.started)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// It was not our own child.
    Unknown,
}

impl From<WaitIdStatus> for End {
    fn from(status: WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => Self::Killed(signal),
            (None, None) => Self::Unknown,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Killed(signal) => write!(f, "was ended by signal {signal}"),
            Self::Unknown => f.write_str("ended"),
        }
    }
}

/// Kills a process that is known by its number and start time, and waits a moment for its end, so
/// that what it held is free; does nothing when it is dead.
///
/// # Blocking
///
/// Up to a second, when the process is deep in the kernel.
pub(super) fn kill(pid: u32, started: u64) -> io::Result<()> {
    let pidfd = match open(pid) {
        Ok(pidfd) => pidfd,
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    // Looked at after the pidfd was opened: only then are both about the same process.
    if procfs::stat(pid)?.is_none_or(|stat| stat.started != started) {
        return Ok(());
    }
    match pidfd_send_signal(&pidfd, Signal::KILL) {
        Ok(()) => {}
        Err(Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    }
    wait_readable(&pidfd, KILL_WAIT_MAX);
    Ok(())
}

/// Waits until a pidfd is readable, which it is when its process is dead, and says whether it is.
fn wait_readable(pidfd: &OwnedFd, patience: Duration) -> bool {
    let mut pidfd = [PollFd::new(pidfd, PollFlags::IN)];
    let patience = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    // A failure means no more than that nothing is known yet.
    matches!(poll(&mut pidfd, Some(&patience)), Ok(ready) if ready > 0)
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(Errno::SRCH)?;
    Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

/// Whether opening failed because there is no such process, or its number is a mere thread's by
/// now.
fn is_gone(error: &io::Error) -> bool {
    [Errno::SRCH, Errno::INVAL, Errno::NOENT]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

const KILL_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often the end is looked for should the reactor fail.
const LOOK_EVERY: Duration = Duration::from_millis(100);
