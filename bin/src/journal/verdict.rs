//! How a request ends, and what that says about its target.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use super::Journal;
use super::error::StoreError;
use super::history::{self, HistoryRow, Outcome};
use super::store::{Step, micros};
use crate::fleet::Identity;
use crate::target::Target;

/// The end of a request that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What became of it; never [`Outcome::Open`].
    pub outcome: Outcome,
    /// More about it, one line.
    pub detail: Option<String>,
    /// The incarnation that was found afterwards.
    pub after: Option<Identity>,
}

impl Verdict {
    /// The target came back as `after`, healthy.
    pub fn verified(after: Identity) -> Self {
        Self {
            outcome: Outcome::Verified,
            detail: None,
            after: Some(after),
        }
    }

    /// The restart was not carried out, or did not take.
    pub fn failed(detail: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failed,
            detail: Some(detail.into()),
            after: None,
        }
    }

    /// The target did not come back.
    pub fn lost(detail: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Lost,
            detail: Some(detail.into()),
            after: None,
        }
    }
}

/// The end of a message that was never admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What became of it; never [`Outcome::Open`].
    pub outcome: Outcome,
    /// More about it, one line.
    pub detail: String,
    /// The target, when the payload told.
    pub target: Option<String>,
    /// The reason, when the payload told.
    pub reason: Option<String>,
    /// The requester, when the payload told.
    pub by: Option<String>,
    /// When it was asked, when the payload told.
    pub requested_at: Option<Timestamp>,
    /// The delivery's attempt.
    pub attempts: u32,
}

impl Journal {
    /// Marks that the restarter of this intent may act from now on, and returns whether it may.
    ///
    /// `false` means that the mark was there before, or that there is no such open intent: then the
    /// restarter must not be run. For restarters that cannot tell whether they have run already.
    ///
    /// # Blocking
    ///
    /// Until the mark is on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the restarter must not be run.
    pub fn mark_started(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.store.write(&STARTED, |transaction| {
            let marked = transaction
                .prepare_cached(
                    "UPDATE requests SET started_us = ?2 WHERE id = ?1 AND outcome = 'open'
                     AND intent_us IS NOT NULL AND started_us IS NULL",
                )?
                .execute(params![id, micros(now)])?;
            Ok(marked == 1)
        })
    }

    /// Ends an admitted or waiting request, and returns its row as it is now.
    ///
    /// The first outcome stays: when there is one already, this changes nothing and the row tells
    /// it. `None` means that the journal does not know the request. With the first verdict the
    /// target's last restart (verified) or its being lost (lost) is kept too.
    ///
    /// # Blocking
    ///
    /// Until the outcome is on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the message must not be acked. Its redelivery finds the intent again.
    ///
    /// # Panics
    ///
    /// When the verdict is [`Outcome::Open`].
    pub fn finish(
        &self,
        id: &str,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Result<Option<HistoryRow>, StoreError> {
        assert!(verdict.outcome != Outcome::Open, "open is no verdict");
        self.store.write(&FINISH, |transaction| {
            let first = transaction
                .prepare_cached(
                    "UPDATE requests SET outcome = ?2, detail = ?3, after = ?4, finished_us = ?5
                     WHERE id = ?1 AND outcome = 'open' RETURNING target",
                )?
                .query_row(
                    params![
                        id,
                        verdict.outcome.as_str(),
                        verdict.detail,
                        verdict.after.as_ref().map(history::identity_text),
                        micros(now)
                    ],
                    |row| history::read_target(row, 0),
                )
                .optional()?;
            if let Some(target) = first {
                mark_target(transaction, &target, verdict.outcome, now)?;
            }
            history::find(transaction, id)
        })
    }

    /// Ends a message that is not admitted, and returns its row as it is now.
    ///
    /// A request that waits is ended by this. One that has its outcome keeps it, one with an open
    /// intent stays open, since whoever is at work on it will tell, and so does one for another
    /// target: ids are the publisher's to choose, and the first message of an id keeps its row.
    ///
    /// # Blocking
    ///
    /// Until the outcome is on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the message must not be settled.
    ///
    /// # Panics
    ///
    /// When the refusal is [`Outcome::Open`].
    pub fn refuse(
        &self,
        id: &str,
        refusal: &Refusal,
        now: Timestamp,
    ) -> Result<HistoryRow, StoreError> {
        assert!(refusal.outcome != Outcome::Open, "open is no refusal");
        self.store.write(&REFUSE, |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO requests (id, target, reason, requested_by, outcome, detail,
                     attempts, requested_us, finished_us)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                     ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome,
                     detail = excluded.detail, attempts = max(attempts, excluded.attempts),
                     finished_us = excluded.finished_us
                     WHERE outcome = 'open' AND intent_us IS NULL AND target IS excluded.target",
                )?
                .execute(params![
                    id,
                    refusal.target,
                    refusal.reason,
                    refusal.by,
                    refusal.outcome.as_str(),
                    refusal.detail,
                    refusal.attempts,
                    refusal.requested_at.map(micros),
                    micros(now)
                ])?;
            history::find(transaction, id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
        })
    }

    /// Keeps a request as it came, for replay; the first one of an id stays.
    ///
    /// # Blocking
    ///
    /// Until it is on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the message must not be acked.
    pub fn record(
        &self,
        id: &str,
        payload: &[u8],
        received_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.store.write(&RECORD, |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO records (id, payload, received_us) VALUES (?1, ?2, ?3)
                     ON CONFLICT (id) DO NOTHING",
                )?
                .execute(params![id, payload, micros(received_at)])?;
            Ok(())
        })
    }

    /// Lets a lost target take requests again; `false` when it was not lost.
    ///
    /// # Blocking
    ///
    /// Until it is on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn resume(&self, target: &Target) -> Result<bool, StoreError> {
        self.store.write(&RESUME, |transaction| {
            let resumed = transaction
                .prepare_cached(
                    "UPDATE targets SET lost_us = NULL WHERE target = ?1 AND lost_us IS NOT NULL",
                )?
                .execute([target.as_str()])?;
            Ok(resumed == 1)
        })
    }
}

/// Keeps what a verdict says about the target.
fn mark_target(
    transaction: &Transaction<'_>,
    target: &Target,
    outcome: Outcome,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let query = match outcome {
        Outcome::Verified => {
            "INSERT INTO targets (target, last_restart_us, anchor_us) VALUES (?1, ?2, ?2)
             ON CONFLICT (target) DO UPDATE SET last_restart_us = excluded.last_restart_us,
             anchor_us = excluded.anchor_us, lost_us = NULL"
        }
        Outcome::Lost => {
            "INSERT INTO targets (target, lost_us) VALUES (?1, ?2)
             ON CONFLICT (target) DO UPDATE SET lost_us = excluded.lost_us"
        }
        _ => return Ok(()),
    };
    transaction
        .prepare_cached(query)?
        .execute(params![target.as_str(), micros(now)])?;
    Ok(())
}

const STARTED: Step = Step {
    before_commit: "journal.started.before-commit",
    after_commit: "journal.started.after-commit",
};

const FINISH: Step = Step {
    before_commit: "journal.finish.before-commit",
    after_commit: "journal.finish.after-commit",
};

const REFUSE: Step = Step {
    before_commit: "journal.refuse.before-commit",
    after_commit: "journal.refuse.after-commit",
};

const RECORD: Step = Step {
    before_commit: "journal.record.before-commit",
    after_commit: "journal.record.after-commit",
};

const RESUME: Step = Step {
    before_commit: "journal.resume.before-commit",
    after_commit: "journal.resume.after-commit",
};
