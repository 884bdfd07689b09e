//! One command run to its end, or to its time's: the whole process group dies at the timeout.
//!
//! No thread waits for it: its end is seen by pidfd, its output read as it comes. Of the output the
//! last part is kept. A command that ends well may leave processes behind (a delayed reboot does);
//! they are left alone, and their hold on the pipes is not waited for.

use std::fmt;
use std::io;
use std::process::{ChildStderr, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use async_io::Async;
use futures::future::{Either, FutureExt, join, select};
use futures::io::{AsyncRead, AsyncReadExt};
use mayhem_bridge::BlockingPool;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

use super::launch::Launch;
use super::running::{End, Running};
use super::work;
use crate::fault;
use crate::output::escape;

/// How a command ended and what it said last.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) end: End,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl Finished {
    pub(super) fn is_success(&self) -> bool {
        self.end == End::Exited(0)
    }

    /// The end and the last line of standard error, safe to print.
    pub(super) fn failure(&self) -> String {
        match last_line(&self.stderr) {
            Some(line) => format!("{}: {line}", self.end),
            None => self.end.to_string(),
        }
    }
}

/// Why a command did not finish.
#[derive(Debug)]
pub(super) enum CommandError {
    /// It was not started.
    Start(String),
    /// It was killed, with its group, when its time was over.
    TimedOut(Finished),
    /// The pool is closed; it was not started.
    Closed,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(detail) => write!(f, "cannot be started: {detail}"),
            Self::TimedOut(finished) => match last_line(&finished.stderr) {
                Some(line) => write!(f, "did not end in time and was killed: {line}"),
                None => f.write_str("did not end in time and was killed"),
            },
            Self::Closed => f.write_str("the fleet is closed"),
        }
    }
}

/// Runs a command until it ends or `deadline`.
///
/// # Errors
///
/// See [`CommandError`]. An exit code other than 0 is none.
///
/// # Cancel safety
///
/// Not cancel safe: dropping the future kills the command and its group.
pub(super) async fn run(
    pool: &BlockingPool,
    launch: Launch,
    spawned: &'static str,
    deadline: Instant,
) -> Result<Finished, CommandError> {
    let started = work(pool, "start a command", move || {
        Group::start(&launch, spawned)
    })
    .await;
    let mut group = started
        .map_err(|_| CommandError::Closed)?
        .map_err(CommandError::Start)?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let is_ended = {
        let ended = group.leader.ended_by(deadline);
        let reading = join(
            keep_last(&mut group.stdout, &mut stdout),
            keep_last(&mut group.stderr, &mut stderr),
        );
        match select(std::pin::pin!(ended), std::pin::pin!(reading)).await {
            Either::Left((is_ended, _)) => is_ended,
            Either::Right((_, ended)) => ended.await,
        }
    };
    if !is_ended {
        group.kill();
        // Not for ever: a process deep in the kernel dies when it comes out of it.
        group.leader.ended_by(Instant::now() + DEATH_WAIT_MAX).await;
    }
    // What is in the pipes by now is all that is waited for: others may hold them open.
    keep_last(&mut group.stdout, &mut stdout).now_or_never();
    keep_last(&mut group.stderr, &mut stderr).now_or_never();
    let end = group.leader.reap().unwrap_or(End::Unknown);
    group.is_over = true;
    let finished = Finished {
        end,
        stdout,
        stderr,
    };
    match is_ended {
        true => Ok(finished),
        false => Err(CommandError::TimedOut(finished)),
    }
}

/// The last line that says something, of bounded length and safe to print.
pub(super) fn last_line(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    let short: String = line.chars().take(LINE_CHARACTERS_MAX).collect();
    Some(escape(&short).into_owned())
}

/// A command that was started, with its process group. Dropped early, it is killed.
struct Group {
    leader: Running,
    stdout: Async<ChildStdout>,
    stderr: Async<ChildStderr>,
    is_over: bool,
}

impl Group {
    fn start(launch: &Launch, spawned: &'static str) -> Result<Self, String> {
        let mut command = launch.to_command()?;
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        fault::point(spawned);
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let group = || {
            Ok(Self {
                leader: Running::spawned(child.id())?,
                stdout: Async::new(stdout)?,
                stderr: Async::new(stderr)?,
                is_over: false,
            })
        };
        group().map_err(|error: io::Error| {
            // What cannot be watched must not stay. Ignored: it is our own child, so that these can
            // only fail if it is gone.
            let _ = kill_group(child.id());
            let _ = child.wait();
            format!("pid {} cannot be watched: {error}", child.id())
        })
    }

    /// Kills everything in the group. The leader has not been reaped, so that the group's number is
    /// still its own.
    fn kill(&self) {
        if let Err(error) = kill_group(self.leader.pid()) {
            log::warn!(
                "process group {} cannot be killed: {error}",
                self.leader.pid()
            );
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.kill();
        // SIGKILL takes effect within microseconds; waiting for it spares a zombie until our own
        // end.
        self.leader.wait_blocking(REAP_WAIT_MAX);
        self.leader.reap();
    }
}

/// Reads until the end of the pipe and keeps the last part.
///
/// # Cancel safety
///
/// Cancel safe: what was read is kept.
async fn keep_last(pipe: &mut (impl AsyncRead + Unpin), kept: &mut Vec<u8>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    // An error is an end as well: what the command said is only ever told, never relied on.
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..length]);
        let surplus = kept.len().saturating_sub(OUTPUT_BYTES_MAX);
        kept.drain(..surplus);
    }
}

fn kill_group(leader: u32) -> rustix::io::Result<()> {
    let group = i32::try_from(leader).ok().and_then(Pid::from_raw);
    match kill_process_group(group.ok_or(Errno::SRCH)?, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// How much of an output is kept.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
const CHUNK_BYTES: usize = 4 * 1024;
const LINE_CHARACTERS_MAX: usize = 200;
const DEATH_WAIT_MAX: Duration = Duration::from_secs(1);
const REAP_WAIT_MAX: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
