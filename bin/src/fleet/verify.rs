//! The proof of a restart: another incarnation than before, and healthy for `settle` without a
//! break.

use std::time::{Duration, Instant};

use async_io::Timer;
use futures::future::{Either, select};
use mayhem_bridge::BlockingPool;

use super::child::Child;
use super::probe::Probe;
use super::remote::Remote;
use super::{Identity, VerifyError};
use crate::fault;

/// What is asked of a target for its restart to count.
pub(super) struct Proof<'a> {
    pub(super) pool: &'a BlockingPool,
    pub(super) before: Option<&'a Identity>,
    pub(super) probe: Option<&'a Probe>,
    pub(super) settle: Duration,
    pub(super) deadline: Instant,
}

impl Proof<'_> {
    /// Of a child: one that ends again has failed at once, as nobody would start it.
    pub(super) async fn of_child(&self, child: &Child) -> Result<Identity, VerifyError> {
        let Some(running) = child.alive() else {
            return Err(VerifyError::Failed(child.detail()));
        };
        let identity = running.identity();
        if self.before == Some(&identity) {
            let detail = format!("it was not restarted: it is {identity} still");
            return Err(VerifyError::Failed(detail));
        }
        fault::point("restart.verifying");
        let settled = std::pin::pin!(self.settled());
        let ended = std::pin::pin!(running.ended());
        match select(settled, ended).await {
            Either::Left((Ok(()), _)) if !running.has_ended() => Ok(identity),
            Either::Left((Err(detail), _)) if !running.has_ended() => {
                Err(VerifyError::Lost(detail))
            }
            Either::Left(_) | Either::Right(_) => {
                let end = running
                    .reap()
                    .map_or_else(String::new, |end| end.to_string());
                let lived = running.attached_for();
                let detail = format!("{identity} {end} after {lived:.1?}");
                Err(VerifyError::Failed(detail))
            }
        }
    }

    /// Of a target elsewhere, which comes back in its own time.
    pub(super) async fn of_remote(&self, remote: &Remote) -> Result<Identity, VerifyError> {
        let Some(before) = self.before else {
            let detail = "its boot identity before is not known, so that nothing can be proven";
            return Err(VerifyError::Failed(detail.to_owned()));
        };
        fault::point("restart.verifying");
        let mut present = self.changed(remote, before).await?;
        loop {
            self.settled().await.map_err(VerifyError::Lost)?;
            // A host that reboots for ever is healthy now and then.
            let again = self.changed(remote, before).await?;
            if again == present {
                return Ok(present);
            }
            present = again;
        }
    }

    /// Waits until the boot identity is another one.
    async fn changed(&self, remote: &Remote, before: &Identity) -> Result<Identity, VerifyError> {
        let every = self.probe.map_or(ASK_EVERY, |probe| probe.every);
        let mut is_same = false;
        let mut last_unknown = None;
        loop {
            let asked = Instant::now();
            let present = remote.identity(self.pool, self.deadline).await;
            let is_over = Instant::now() >= self.deadline;
            let unknown = match present {
                Ok(present) if present != *before => return Ok(present),
                Ok(_) => None,
                Err(detail) => Some(detail),
            };
            // A question that the deadline cut off has no answer, and the one before it stands.
            is_same = unknown.is_none() || (is_over && is_same);
            if !is_over || last_unknown.is_none() {
                last_unknown = unknown;
            }
            if is_over {
                return Err(match last_unknown {
                    Some(unknown) if !is_same => VerifyError::Lost(unknown),
                    _ => VerifyError::Failed(format!(
                        "{} was not restarted: it is {before} still",
                        remote.target()
                    )),
                });
            }
            Timer::at(self.deadline.min(asked + every.max(ASK_EVERY_MIN))).await;
        }
    }

    /// Waits until the target has been healthy for `settle`. The error says why it was not.
    async fn settled(&self) -> Result<(), String> {
        let settle = self.settle;
        let Some(probe) = self.probe else {
            let until = Instant::now() + settle;
            Timer::at(until.min(self.deadline)).await;
            return match until <= self.deadline {
                true => Ok(()),
                false => Err(format!("back too late to be watched for {settle:?}")),
            };
        };
        let mut good_since = None;
        let mut last = None;
        loop {
            let asked = Instant::now();
            if asked >= self.deadline {
                return Err(last.unwrap_or_else(|| "it was not asked for its health".to_owned()));
            }
            match probe.ask(self.pool, self.deadline).await {
                Ok(()) => {
                    let since = *good_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= settle {
                        return Ok(());
                    }
                    last = Some(format!("healthy too late to be watched for {settle:?}"));
                }
                Err(detail) => {
                    good_since = None;
                    // A question that the deadline cut off says less than the answer before it.
                    if last.is_none() || Instant::now() < self.deadline {
                        last = Some(detail);
                    }
                }
            }
            let next = asked + probe.every.max(ASK_EVERY_MIN);
            let next = good_since.map_or(next, |since: Instant| next.min(since + settle));
            Timer::at(next.min(self.deadline)).await;
        }
    }
}

/// How often a boot identity is asked for when no probe says how often.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A probe never becomes a busy loop.
const ASK_EVERY_MIN: Duration = Duration::from_millis(5);
