//! What happens to one message: read, admit, restart and record, verdict.
//!
//! Everything before the intent can be repeated, so trouble there is a retry or a postponement.
//! From the intent on the effect is bound to it: a redelivery finds it and goes on from there.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mayhem_core::{BranchError, Delivery, FanOut, Handler, Verdict};

use super::cancelled::Cancelled;
use super::chaos::Chaos;
use super::claims::Claims;
use super::events::Announcer;
use super::restart::Restart;
use super::stored::{Stored, Trouble};
use crate::config::{Config, Group};
use crate::fleet::{Fleet, FleetError, Identity};
use crate::journal::{self, Admission, Outcome, Refusal};
use crate::output;
use crate::request::Request;

/// How long a request waits when another one of the same target is being handled.
const CLAIMED_DELAY: Duration = Duration::from_millis(200);
/// How long a request waits when another process has the journal locked.
const BUSY_DELAY: Duration = Duration::from_secs(1);

/// Handles messages; one for the whole service.
#[derive(Debug)]
pub(super) struct RequestHandler {
    config: Arc<Config>,
    pub(super) fleet: Fleet,
    pub(super) stored: Stored,
    pub(super) announcer: Announcer,
    claims: Claims,
    cancelled: Cancelled,
    chaos: Option<Chaos>,
}

impl Handler for RequestHandler {
    /// # Cancel safety
    ///
    /// Cancel safe: what was decided is in the journal, and the redelivery goes on from there.
    async fn handle(&self, delivery: &Delivery) -> Verdict {
        let unfinished = self.cancelled.watch();
        if let Some(chaos) = &self.chaos {
            chaos.maybe_panic(delivery.id().as_str(), delivery.attempt());
        }
        let verdict = match self.decide(delivery).await {
            Ok(verdict) => verdict,
            Err(Trouble::Busy(error)) => {
                log::warn!(id = delivery.id().as_str(); "{error}");
                Verdict::Postpone { after: BUSY_DELAY }
            }
            // The service is stopping because of it; the message goes back as it came.
            Err(Trouble::Fatal) => Verdict::Postpone {
                after: Duration::ZERO,
            },
        };
        unfinished.finish();
        verdict
    }
}

impl RequestHandler {
    pub(super) fn new(
        config: Arc<Config>,
        fleet: Fleet,
        stored: Stored,
        announcer: Announcer,
        chaos: Option<Chaos>,
    ) -> Self {
        let (claims, cancelled) = (Claims::default(), Cancelled::default());
        Self {
            config,
            fleet,
            stored,
            announcer,
            claims,
            cancelled,
            chaos,
        }
    }

    /// Tells whether handlers have been cancelled.
    pub(super) fn cancelled(&self) -> Cancelled {
        self.cancelled.clone()
    }

    async fn decide(&self, delivery: &Delivery) -> Result<Verdict, Trouble> {
        let id = delivery.id().as_str();
        let request = match Request::parse(id, delivery.payload()) {
            Ok(request) => request,
            Err(malformed) => {
                let detail = malformed.detail;
                return self
                    .refuse(delivery, None, Outcome::Malformed, detail)
                    .await;
            }
        };
        let Some((group, _)) = self.config.lookup(&request.target) else {
            let detail = format!("{} is in no group of the config", request.target);
            return self
                .refuse(delivery, Some(&request), Outcome::UnknownTarget, detail)
                .await;
        };
        let Some(_claim) = self.claims.try_claim(&request.target) else {
            return Ok(Verdict::Postpone {
                after: CLAIMED_DELAY,
            });
        };
        // Whose command has run before a crash gets its verdict, though it may be disarmed since.
        if !self.config.is_live(group) && !self.has_started(&request).await? {
            return self.dry_run(delivery, &request, group).await;
        }
        self.find_if_lost(&request).await?;
        let before = self.fleet.identity(&request.target).await;
        self.admit(delivery, request, group, before).await
    }

    async fn admit(
        &self,
        delivery: &Delivery,
        request: Request,
        group: &Group,
        before: Result<Option<Identity>, FleetError>,
    ) -> Result<Verdict, Trouble> {
        let (asked, of_group) = (request.clone(), group.clone());
        let attempt = delivery.attempt();
        let (before, unknown) = match before {
            Ok(before) => (before, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let why = unknown.clone();
        let admission = self
            .stored
            .call("admit", move |journal| {
                let now = Timestamp::now();
                match why {
                    None => journal.admit(&asked, &of_group, before.as_ref(), attempt, now),
                    Some(why) => journal.admit_unidentified(&asked, &of_group, &why, attempt, now),
                }
            })
            .await?;
        let restart = |intent, is_resumed| Restart {
            handler: self,
            delivery,
            group,
            intent,
            is_resumed,
        };
        match admission {
            Admission::Go(intent) => Ok(self.fan_out(delivery, restart(intent, false)).await),
            Admission::Unidentified => self.unidentified(delivery, &request, unknown).await,
            // Its command has not been run, and cannot be while nothing could be proven.
            Admission::Resume(intent) if unknown.is_some() && intent.started_at.is_none() => {
                self.unidentified(delivery, &request, unknown).await
            }
            Admission::Resume(intent) => Ok(self.fan_out(delivery, restart(intent, true)).await),
            Admission::Finished(row) => {
                log::info!(id = row.id; "a duplicate: {} already", row.outcome.as_str());
                Ok(Verdict::Ack)
            }
            Admission::Blocked { reason, until } => {
                self.announcer.blocked(delivery, &request, &reason, until);
                Ok(Verdict::Ack)
            }
            Admission::Wait { after, reason } => {
                log::debug!(id = request.id.as_str(); "{} waits: {reason}", request.target);
                Ok(Verdict::Postpone { after })
            }
        }
    }

    /// Restarts and records, side by side. An ack means that both are done and durable.
    async fn fan_out(&self, delivery: &Delivery, restart: Restart<'_>) -> Verdict {
        FanOut::new(delivery)
            .branch("restart", restart.run())
            .branch("record", self.record(delivery))
            .join()
            .await
            .verdict()
    }

    async fn record(&self, delivery: &Delivery) -> Result<(), BranchError> {
        let id = delivery.id().to_string();
        let payload = delivery.payload().to_vec();
        self.stored
            .call("record", move |journal| {
                journal.record(&id, &payload, Timestamp::now())
            })
            .await
            .map_err(Trouble::into_branch_error)
    }

    /// Ends a message that asks for nothing that exists, as a dead letter.
    async fn refuse(
        &self,
        delivery: &Delivery,
        request: Option<&Request>,
        outcome: Outcome,
        detail: String,
    ) -> Result<Verdict, Trouble> {
        let reason = format!("{}: {detail}", outcome.as_str());
        log::warn!(id = delivery.id().as_str(); "{}", output::escape(&reason));
        self.end(delivery, request, outcome, detail).await?;
        Ok(Verdict::Dead(reason))
    }

    async fn has_started(&self, request: &Request) -> Result<bool, Trouble> {
        let id = request.id.clone();
        let intents = self
            .stored
            .call("intents", |journal| journal.open_intents());
        let mut intents = intents.await?.into_iter();
        Ok(intents.any(|intent| intent.id == id && intent.started_at.is_some()))
    }

    /// Says what would have been done to a target that mandrill may not touch.
    async fn dry_run(
        &self,
        delivery: &Delivery,
        request: &Request,
        group: &Group,
    ) -> Result<Verdict, Trouble> {
        let missing = match (self.config.service.armed, group.armed) {
            (false, false) => "service.armed and the group's armed are not set",
            (false, true) => "service.armed is not set",
            (true, _) => "the group's armed is not set",
        };
        let detail = format!("dry run: WOULD RESTART {} ({missing})", request.target);
        log::warn!(
            id = request.id.as_str(), dry_run = true;
            "WOULD RESTART {} ({missing})", request.target
        );
        self.end(delivery, Some(request), Outcome::Blocked, detail.clone())
            .await?;
        self.announcer.blocked(delivery, request, &detail, None);
        Ok(Verdict::Ack)
    }

    /// Tries again when the identity cannot be read, and ends the request when that goes on.
    async fn unidentified(
        &self,
        delivery: &Delivery,
        request: &Request,
        why: Option<String>,
    ) -> Result<Verdict, Trouble> {
        let why = why.unwrap_or_default();
        if delivery.attempt() < self.config.source.max_deliveries {
            self.announcer.trouble(delivery, "restart", why);
            return Ok(Verdict::Retry { after: None });
        }
        let detail = format!("nothing was done: {why}");
        self.end(delivery, Some(request), Outcome::Failed, detail.clone())
            .await?;
        self.announcer.failed(delivery, &request.target, &detail);
        Ok(Verdict::Dead(detail))
    }

    /// Writes the final outcome of a message that gets no intent.
    async fn end(
        &self,
        delivery: &Delivery,
        request: Option<&Request>,
        outcome: Outcome,
        detail: String,
    ) -> Result<(), Trouble> {
        let id = delivery.id().to_string();
        let refusal = Refusal {
            outcome,
            detail,
            target: request.map(|request| request.target.to_string()),
            reason: request.map(|request| request.reason.clone()),
            by: request.map(|request| request.by.clone()),
            requested_at: request.map(|request| request.requested_at),
            attempts: delivery.attempt(),
        };
        self.stored
            .call("refuse", move |kept| {
                let row = kept.refuse(&id, &refusal, Timestamp::now())?;
                // An intent of before a crash, whose target has left the config since.
                if row.outcome == Outcome::Open && row.target == refusal.target {
                    let verdict = journal::Verdict {
                        outcome: refusal.outcome,
                        detail: Some(refusal.detail),
                        after: None,
                    };
                    kept.finish(&id, &verdict, Timestamp::now())?;
                }
                Ok(())
            })
            .await
    }

    /// Lets a lost target take requests again when it is healthy.
    async fn find_if_lost(&self, request: &Request) -> Result<(), Trouble> {
        let target = request.target.clone();
        let lost = self
            .stored
            .call("lost", move |journal| journal.lost(&target))
            .await?;
        if lost.is_some() && self.fleet.is_healthy(&request.target).await {
            let target = request.target.clone();
            self.stored
                .call("resume", move |journal| journal.resume(&target))
                .await?;
            log::info!(id = request.id.as_str(); "{} is back", request.target);
        }
        Ok(())
    }
}
