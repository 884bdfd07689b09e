//! May a request start? The decision, its row and the intent, in one transaction.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use super::Journal;
use super::error::StoreError;
use super::history::{self, HistoryRow, Outcome};
use super::store::{Step, micros, timestamp};
use crate::config::Group;
use crate::fleet::Identity;
use crate::policy::{self, Decision, Facts};
use crate::request::Request;
use crate::target::Target;

/// What [`Journal::admit`] decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Start it. The intent is durable, and holds one of the group's places until it is finished.
    Go(Intent),
    /// It was admitted before, and whoever began has left no outcome: see what came of it.
    Resume(Intent),
    /// It has its final outcome already.
    Finished(HistoryRow),
    /// It has ended as blocked just now.
    Blocked {
        /// One line for the requester.
        reason: String,
        /// When the same request could pass; `None` when no time alone will let it.
        until: Option<Timestamp>,
    },
    /// It could start, were it known which incarnation the target is; it stays open.
    Unidentified,
    /// It stays open; ask again later.
    Wait {
        /// How much later.
        after: Duration,
        /// One line for the requester.
        reason: String,
    },
}

/// The durable promise to restart a target once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The request.
    pub id: String,
    /// The target.
    pub target: Target,
    /// The incarnation that is to be replaced; `None` when there was none, or it was not known.
    pub before: Option<Identity>,
    /// When it was admitted.
    pub opened_at: Timestamp,
    /// Since when the restarter may have acted; only set for those that cannot be repeated.
    pub started_at: Option<Timestamp>,
}

impl Journal {
    /// Decides about a request of `group`, under the group's policy.
    ///
    /// `before` is the target's identity now; it is kept only when the answer is [`Admission::Go`].
    /// `attempt` is the delivery's. One id must not be asked about twice at a time: the second call
    /// would get [`Admission::Resume`] while the first is at work.
    ///
    /// # Blocking
    ///
    /// Until the decision is on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing may be done to the target. Whether the intent was kept is unknown;
    /// the redelivery will tell.
    pub fn admit(
        &self,
        request: &Request,
        group: &Group,
        before: Option<&Identity>,
        attempt: u32,
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        self.decide(request, group, attempt, now, |transaction| {
            open_intent(transaction, request, before, now).map(Admission::Go)
        })
    }

    /// Decides as [`Journal::admit`] about a target whose identity cannot be read: because of
    /// `why`, the answer is [`Admission::Unidentified`] where it would be [`Admission::Go`].
    ///
    /// What the policy says holds for a host that does not answer too, and so does an intent of
    /// before a crash: the host may be on its way back.
    ///
    /// # Blocking
    ///
    /// Until the decision is on disk.
    ///
    /// # Errors
    ///
    /// As [`Journal::admit`].
    pub fn admit_unidentified(
        &self,
        request: &Request,
        group: &Group,
        why: &str,
        attempt: u32,
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        self.decide(request, group, attempt, now, |transaction| {
            note(transaction, request, why)?;
            Ok(Admission::Unidentified)
        })
    }

    fn decide(
        &self,
        request: &Request,
        group: &Group,
        attempt: u32,
        now: Timestamp,
        go: impl Fn(&Transaction<'_>) -> rusqlite::Result<Admission>,
    ) -> Result<Admission, StoreError> {
        self.store.write(&ADMIT, |transaction| {
            if let Some(known) = recall(transaction, request, attempt)? {
                return Ok(known);
            }
            // The clock may have been set back: see the policy for the rule.
            transaction
                .prepare_cached("UPDATE targets SET anchor_us = ?1 WHERE anchor_us > ?1")?
                .execute([micros(now)])?;
            let facts = collect_facts(transaction, &request.target, group, now)?;
            match policy::admit(&group.policy, &facts, now) {
                Decision::Go => go(transaction),
                Decision::Blocked { reason, until } => {
                    transaction
                        .prepare_cached(
                            "UPDATE requests SET outcome = ?2, detail = ?3, until_us = ?4,
                             finished_us = ?5 WHERE id = ?1 AND outcome = 'open'",
                        )?
                        .execute(params![
                            request.id,
                            Outcome::Blocked.as_str(),
                            reason,
                            until.map(micros),
                            micros(now)
                        ])?;
                    Ok(Admission::Blocked { reason, until })
                }
                Decision::Wait { after, reason } => {
                    note(transaction, request, &reason)?;
                    Ok(Admission::Wait { after, reason })
                }
            }
        })
    }
}

/// Finds the request, or writes its row; `None` when there is something to decide.
fn recall(
    transaction: &Transaction<'_>,
    request: &Request,
    attempt: u32,
) -> rusqlite::Result<Option<Admission>> {
    let Some(row) = history::find(transaction, &request.id)? else {
        transaction
            .prepare_cached(
                "INSERT INTO requests (id, target, reason, requested_by, outcome, attempts,
                 requested_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                request.id,
                request.target.as_str(),
                request.reason,
                request.by,
                Outcome::Open.as_str(),
                attempt,
                micros(request.requested_at)
            ])?;
        return Ok(None);
    };
    if row.outcome != Outcome::Open {
        return Ok(Some(Admission::Finished(row)));
    }
    if row.target.as_deref() != Some(request.target.as_str()) {
        // Ids are the publisher's to choose. The request that came first keeps its row.
        let reason = "its id is in use by a request for another target".to_owned();
        return Ok(Some(Admission::Blocked {
            reason,
            until: None,
        }));
    }
    transaction
        .prepare_cached(
            "UPDATE requests SET attempts = max(attempts, ?2) WHERE id = ?1 AND outcome = 'open'",
        )?
        .execute(params![request.id, attempt])?;
    let intent = transaction
        .prepare_cached(
            "SELECT id, target, before, intent_us, started_us FROM requests
             WHERE id = ?1 AND intent_us IS NOT NULL",
        )?
        .query_row([&request.id], history::read_intent)
        .optional()?;
    Ok(intent.map(Admission::Resume))
}

fn collect_facts<'a>(
    transaction: &Transaction<'_>,
    target: &'a Target,
    group: &Group,
    now: Timestamp,
) -> rusqlite::Result<Facts<'a>> {
    let own = transaction
        .prepare_cached("SELECT anchor_us, lost_us FROM targets WHERE target = ?1")?
        .query_row([target.as_str()], |row| {
            Ok((timestamp(row, 0)?, timestamp(row, 1)?))
        })
        .optional()?;
    let (last_restart, lost_since) = own.unwrap_or_default();
    // Membership comes from the config of today, not from the row: groups may have been redrawn
    // since, and what is at work counts where its target is now.
    let intents = history::open_intents(transaction)?;
    let at_work = intents.iter().find(|intent| intent.target == *target);
    let group_at_work = intents
        .iter()
        .filter(|intent| group.targets.contains(&intent.target))
        .count();
    Ok(Facts {
        target,
        last_restart,
        lost_since,
        at_work: at_work.map(|intent| intent.id.clone()),
        group_at_work,
        group_last_restart: group_last_restart(transaction, group, now)?,
    })
}

/// The latest verified restart in the group, as far as its spacing can still see it.
fn group_last_restart(
    transaction: &Transaction<'_>,
    group: &Group,
    now: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    let spacing = SignedDuration::try_from(group.policy.spacing).unwrap_or(SignedDuration::MAX);
    let horizon = now.checked_sub(spacing).unwrap_or(Timestamp::MIN);
    let mut statement = transaction.prepare_cached(
        "SELECT target, anchor_us FROM targets WHERE anchor_us >= ?1 ORDER BY anchor_us DESC",
    )?;
    let mut rows = statement.query([micros(horizon)])?;
    while let Some(row) = rows.next()? {
        if group.targets.contains(&history::read_target(row, 0)?) {
            return timestamp(row, 1);
        }
    }
    Ok(None)
}

/// Says in the row what an open request waits for.
fn note(transaction: &Transaction<'_>, request: &Request, detail: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE requests SET detail = ?2 WHERE id = ?1 AND outcome = 'open'")?
        .execute(params![request.id, detail])?;
    Ok(())
}

fn open_intent(
    transaction: &Transaction<'_>,
    request: &Request,
    before: Option<&Identity>,
    now: Timestamp,
) -> rusqlite::Result<Intent> {
    transaction
        .prepare_cached(
            "UPDATE requests SET intent_us = ?2, before = ?3, detail = NULL
             WHERE id = ?1 AND outcome = 'open'",
        )?
        .execute(params![
            request.id,
            micros(now),
            before.map(history::identity_text)
        ])?;
    Ok(Intent {
        id: request.id.clone(),
        target: request.target.clone(),
        before: before.cloned(),
        opened_at: now,
        started_at: None,
    })
}

const ADMIT: Step = Step {
    before_commit: "journal.admit.before-commit",
    after_commit: "journal.admit.after-commit",
};
