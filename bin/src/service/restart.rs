//! The branch that restarts a target and proves it, and goes on after a crash in the middle of it.
//!
//! The intent is durable before this starts. When it is resumed, the identity tells how far the
//! last run came: changed means that the restart was carried out, so it is only verified; unchanged
//! means that it was not, so it is carried out now, fenced on that identity. A command cannot be
//! fenced like that: once it has its durable `started` mark it is waited for, and never run again.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use mayhem_core::{BranchError, Delivery};

use super::handler::RequestHandler;
use crate::config::{Group, RestarterSpec};
use crate::fault;
use crate::fleet::{Identity, RestartError, VerifyError};
use crate::journal::{Intent, Outcome, Verdict};

/// Where a test may have the process killed while a restart is under way.
pub const FAULT_POINTS: &[&str] = &[
    "restart.intent",
    "restart.started",
    "restart.carried-out",
    "restart.verified",
    "restart.finished",
];

/// How long from one look at the identity to the next while waiting for a command of before a
/// crash.
const IDENTITY_EVERY: Duration = Duration::from_millis(500);

/// One restart under way.
pub(super) struct Restart<'a> {
    pub(super) handler: &'a RequestHandler,
    pub(super) delivery: &'a Delivery,
    pub(super) group: &'a Group,
    pub(super) intent: Intent,
    pub(super) is_resumed: bool,
}

impl Restart<'_> {
    /// Restarts, verifies and writes the verdict; `Ok` means that the verdict is durable.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the intent stays open and is resumed by the next delivery.
    pub(super) async fn run(self) -> Result<(), BranchError> {
        let began = Instant::now();
        fault::point("restart.intent");
        let verdict = match self.carry_out(began).await? {
            Carried::Out => self.verify(began).await,
            Carried::Not(verdict) => verdict,
        };
        self.finish(verdict, began).await
    }

    async fn carry_out(&self, began: Instant) -> Result<Carried, BranchError> {
        let deadline = began + self.group.policy.timeout;
        let is_command = matches!(self.group.restarter, RestarterSpec::Command { .. });
        if is_command && !self.mark_started().await? {
            return self.wait_for_command(began).await;
        }
        let target = &self.intent.target;
        let (before, request) = (self.intent.before.as_ref(), Some(self.intent.id.as_str()));
        let restarted = self
            .handler
            .fleet
            .restart(target, before, request, deadline)
            .await;
        fault::point("restart.carried-out");
        match restarted {
            Ok(()) => Ok(Carried::Out),
            // The run before the crash got that far.
            Err(RestartError::Changed { .. }) if self.is_resumed => Ok(Carried::Out),
            Err(RestartError::Changed { present }) => Ok(Carried::Not(Verdict::failed(format!(
                "somebody else restarted it at the same moment: it is {present} now"
            )))),
            Err(RestartError::Failed(detail)) => Ok(Carried::Not(Verdict::failed(detail))),
            Err(error @ (RestartError::Unknown(_) | RestartError::Files { .. })) if !is_command => {
                Err(BranchError::retry(error.to_string()))
            }
            Err(RestartError::Closed) => Err(BranchError::postpone(
                Duration::ZERO,
                "the service is stopping",
            )),
            Err(error) => Ok(Carried::Not(Verdict::failed(format!(
                "nothing was done: {error}"
            )))),
        }
    }

    /// Writes the durable mark that the command may have run; false when it was there already.
    async fn mark_started(&self) -> Result<bool, BranchError> {
        let id = self.intent.id.clone();
        let is_first = self
            .handler
            .stored
            .call("mark started", move |journal| {
                journal.mark_started(&id, Timestamp::now())
            })
            .await
            .map_err(super::stored::Trouble::into_branch_error)?;
        fault::point("restart.started");
        Ok(is_first)
    }

    /// Waits for what a command of before a crash may have done. What still runs of it at the
    /// timeout is killed, so that `failed` stays true.
    async fn wait_for_command(&self, began: Instant) -> Result<Carried, BranchError> {
        let fleet = &self.handler.fleet;
        let (target, id) = (&self.intent.target, self.intent.id.as_str());
        let started_at = self.intent.started_at.unwrap_or(self.intent.opened_at);
        let timeout = self.group.policy.timeout;
        log::info!(id; "{target}: its command was running when the service died: waiting for it");
        loop {
            let left = crate::policy::remaining(timeout, started_at, Timestamp::now());
            // Wall time that is set back must not have this wait for longer than the timeout.
            let is_over = left.is_none() || began.elapsed() >= timeout;
            if is_over {
                fleet.end_leftover(target, id).await;
            }
            let present = fleet.identity(target).await;
            if matches!(&present, Ok(Some(present)) if Some(present) != self.intent.before.as_ref())
            {
                return Ok(Carried::Out);
            }
            if is_over {
                let detail = "the service died while the command ran, and the boot identity did \
                              not change within the timeout; the command is not run again";
                return Ok(Carried::Not(Verdict::failed(detail)));
            }
            async_io::Timer::after(IDENTITY_EVERY).await;
        }
    }

    async fn verify(&self, began: Instant) -> Verdict {
        let policy = &self.group.policy;
        let deadline = began + policy.timeout;
        let (target, before) = (&self.intent.target, self.intent.before.as_ref());
        let verified = self
            .handler
            .fleet
            .verify(target, before, policy.settle, deadline)
            .await;
        fault::point("restart.verified");
        match verified {
            Ok(after) => Verdict::verified(after),
            Err(VerifyError::Lost(detail)) => Verdict::lost(detail),
            Err(VerifyError::Failed(detail)) => Verdict::failed(detail),
        }
    }

    /// Makes the verdict durable, then tells it.
    async fn finish(self, verdict: Verdict, began: Instant) -> Result<(), BranchError> {
        let (id, durable) = (self.intent.id.clone(), verdict.clone());
        self.handler
            .stored
            .call("finish", move |journal| {
                journal.finish(&id, &durable, Timestamp::now())
            })
            .await
            .map_err(super::stored::Trouble::into_branch_error)?;
        fault::point("restart.finished");
        self.tell(&verdict, began.elapsed());
        Ok(())
    }

    fn tell(&self, verdict: &Verdict, elapsed: Duration) {
        let announcer = &self.handler.announcer;
        let (delivery, target) = (self.delivery, &self.intent.target);
        let detail = verdict.detail.as_deref().unwrap_or_default();
        match verdict.outcome {
            Outcome::Verified => {
                let before: Option<&Identity> = self.intent.before.as_ref();
                announcer.restarted(delivery, target, before, verdict.after.as_ref(), elapsed);
            }
            Outcome::Lost => announcer.lost(delivery, target, detail),
            _ => announcer.failed(delivery, target, detail),
        }
    }
}

/// Whether the restart was carried out.
enum Carried {
    Out,
    Not(Verdict),
}
