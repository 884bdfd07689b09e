//! A target that a command restarts, wherever it is.
//!
//! Its incarnation is what the group's `boot_id` command prints. That the command fails says
//! nothing: the identity is unknown then, and unknown is never taken for changed.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_io::Timer;
use futures::future::{Either, select};
use mayhem_bridge::BlockingPool;
use parking_lot::Mutex;
use smol::lock::Mutex as TurnMutex;

use super::command::{self, CommandError, Finished};
use super::launch::Launch;
use super::{HostState, Identity, Liveness, RestartError, procfs, running, work};
use crate::fault;
use crate::output::escape;
use crate::target::Target;

/// One target of a command group.
#[derive(Debug)]
pub(super) struct Remote {
    target: Target,
    restart: Launch,
    restart_timeout: Duration,
    boot_id: Option<Launch>,
    /// One restart at a time.
    turn: TurnMutex<()>,
    view: Mutex<View>,
}

impl Remote {
    pub(super) fn new(
        target: &Target,
        argv: &[String],
        restart_timeout: Duration,
        boot_id: Option<&[String]>,
    ) -> Arc<Self> {
        Arc::new(Self {
            target: target.clone(),
            restart: Launch::command(argv, target),
            restart_timeout,
            boot_id: boot_id.map(|argv| Launch::command(argv, target)),
            turn: TurnMutex::default(),
            view: Mutex::default(),
        })
    }

    /// Asks for the boot identity.
    ///
    /// # Errors
    ///
    /// Why it is unknown, safe to print.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the command is killed.
    pub(super) async fn identity(
        &self,
        pool: &BlockingPool,
        deadline: Instant,
    ) -> Result<Identity, String> {
        let Some(boot_id) = &self.boot_id else {
            return Err("the group has no boot_id command".to_owned());
        };
        let deadline = deadline.min(Instant::now() + BOOT_ID_WAIT_MAX);
        let finished = command::run(pool, boot_id.clone(), "boot-id.spawned", deadline).await;
        let boot_id = finished
            .map_err(|error| error.to_string())
            .and_then(read_boot_id)
            .map_err(|error| format!("the boot_id command {error}"))?;
        let identity = Identity::Boot { boot_id };
        self.view.lock().identity = Some(identity.clone());
        Ok(identity)
    }

    /// Runs the command, if the target is the incarnation that was to be restarted.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropping the future kills the command, and what it did so far stays done.
    pub(super) async fn restart(
        &self,
        pool: &BlockingPool,
        before: Option<&Identity>,
        request: Option<&str>,
        deadline: Instant,
    ) -> Result<(), RestartError> {
        let Some(before) = before else {
            return Err(RestartError::Unknown(
                "it was not known before, so that a restart could not be proven".to_owned(),
            ));
        };
        let turn = std::pin::pin!(self.turn.lock());
        let _turn = match select(turn, Timer::at(deadline)).await {
            Either::Left((turn, _)) => turn,
            Either::Right(_) => {
                return Err(RestartError::Failed(
                    "another restart of the target took too long".to_owned(),
                ));
            }
        };
        let _restarting = Restarting::begin(&self.view);
        let present = self.identity(pool, deadline).await;
        let present = present.map_err(RestartError::Unknown)?;
        if present != *before {
            return Err(RestartError::Changed { present });
        }
        fault::point("command.fence-held");
        let launch = match request {
            Some(request) => self.restart.clone().with(REQUEST, request),
            None => self.restart.clone(),
        };
        let deadline = deadline.min(Instant::now() + self.restart_timeout);
        let finished = command::run(pool, launch, "command.spawned", deadline).await;
        fault::point("command.ended");
        match finished {
            Ok(finished) if finished.is_success() => Ok(()),
            Ok(finished) => {
                let failure = finished.failure();
                Err(RestartError::Failed(format!("the command {failure}")))
            }
            Err(CommandError::Closed) => Err(RestartError::Closed),
            Err(error) => Err(RestartError::Failed(format!("the command {error}"))),
        }
    }

    /// Kills the command that an earlier daemon started for `request`, with its process group, if
    /// it still runs.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it runs to its end on its thread.
    pub(super) async fn end_leftover(&self, pool: &BlockingPool, request: &str) {
        let (target, request) = (self.target.clone(), request.to_owned());
        let done = work(pool, "end a command", move || {
            let id = request.as_str();
            match kill_leftover(id) {
                Ok(None) => {}
                Ok(Some(pid)) => log::warn!(
                    id, host = target.as_str();
                    "the command of before the crash still ran as pid {pid}: killed with its group"
                ),
                Err(error) => log::warn!(
                    id, host = target.as_str();
                    "the command of before the crash may still run: {error}"
                ),
            }
        });
        // Ignored: it is logged, and without a pool there is nothing left to kill with.
        let _ = done.await;
    }

    /// What an operator sees.
    pub(super) fn state(&self) -> HostState {
        let view = self.view.lock();
        HostState {
            liveness: match view.is_restarting {
                true => Liveness::Restarting,
                false => Liveness::Unknown,
            },
            identity: view.identity.clone(),
            detail: None,
        }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }
}

#[derive(Debug, Default)]
struct View {
    /// What was read last.
    identity: Option<Identity>,
    is_restarting: bool,
}

/// Marks a restart for as long as it lasts, whatever way it is left.
struct Restarting<'view>(&'view Mutex<View>);

impl<'view> Restarting<'view> {
    fn begin(view: &'view Mutex<View>) -> Self {
        view.lock().is_restarting = true;
        Self(view)
    }
}

impl Drop for Restarting<'_> {
    fn drop(&mut self) {
        self.0.lock().is_restarting = false;
    }
}

/// Kills the group of the oldest process that carries this request; gives its leader.
///
/// Found by the variable, as after a crash nothing else is known. What left the group did so to
/// outlive the command, and is left alone as after any other timeout.
fn kill_leftover(request: &str) -> io::Result<Option<u32>> {
    let found = procfs::find_by_variable(REQUEST, &[request])?;
    let Some(leader) = procfs::leader(found.clone()) else {
        return Ok(None);
    };
    for (stat, _) in found {
        if stat.group == leader.pid {
            running::kill(stat.pid, stat.started)?;
        }
    }
    Ok(Some(leader.pid))
}

/// Takes the one line that the command printed.
fn read_boot_id(finished: Finished) -> Result<String, String> {
    if !finished.is_success() {
        return Err(finished.failure());
    }
    let text = String::from_utf8_lossy(&finished.stdout);
    let line = text.trim();
    if line.is_empty() {
        return Err("printed nothing".to_owned());
    }
    if line.len() > BOOT_ID_BYTES_MAX || line.chars().any(char::is_control) {
        return Err("printed more than one short line".to_owned());
    }
    Ok(escape(line).into_owned())
}

/// The variable that tells a command which request it serves.
const REQUEST: &str = "MANDRILL_REQUEST";
/// How long a boot identity may take to be read: a slow ssh login.
const BOOT_ID_WAIT_MAX: Duration = Duration::from_secs(10);
/// The kernel's is 36 bytes long; others may name an image or a machine as well.
const BOOT_ID_BYTES_MAX: usize = 256;
