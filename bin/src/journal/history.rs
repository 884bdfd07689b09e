//! What the journal can tell: requests with their outcomes, targets, and the intents still open.

use std::fmt;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::admission::Intent;
use super::error::StoreError;
use super::store::{bad, micros, timestamp};
use super::{Journal, store};
use crate::config::Policy;
use crate::fleet::Identity;
use crate::policy;
use crate::target::Target;

/// What became of a request. All but [`Outcome::Open`] are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing yet: it waits, or is at work.
    Open,
    /// The target is another incarnation than before, and was healthy for the settle time.
    Verified,
    /// The restart was not carried out, or did not make another incarnation.
    Failed,
    /// The target did not come back within the timeout.
    Lost,
    /// The policy did not let it pass.
    Blocked,
    /// The inventory does not have such a target.
    UnknownTarget,
    /// The payload was no request.
    Malformed,
}

impl Outcome {
    /// The word for it, in the file and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Blocked => "blocked",
            Self::UnknownTarget => "unknown-target",
            Self::Malformed => "malformed",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        ALL_OUTCOMES.into_iter().find(|own| own.as_str() == word)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One request, as `mandrill history --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryRow {
    /// The message's id.
    pub id: String,
    /// What was to be restarted; `None` when the payload did not tell.
    pub target: Option<String>,
    /// Why; `None` when the payload did not tell.
    pub reason: Option<String>,
    /// Who asked; `None` when the payload did not tell.
    pub by: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// More about the outcome, or what an open request waits for.
    pub detail: Option<String>,
    /// When a blocked request could pass.
    pub until: Option<Timestamp>,
    /// How many attempts it took, or has taken so far.
    pub attempts: u32,
    /// When it was asked, by the requester's clock.
    pub requested_at: Option<Timestamp>,
    /// When it got its final outcome.
    pub finished_at: Option<Timestamp>,
    /// The incarnation that was to be replaced.
    pub before: Option<Identity>,
    /// The incarnation that was verified.
    pub after: Option<Identity>,
}

/// Which requests [`Journal::history`] returns; by default all.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// Only those for this target.
    pub target: Option<Target>,
    /// Only those that finished at or after this moment, or are still open.
    pub since: Option<Timestamp>,
    /// Only those with this outcome.
    pub outcome: Option<Outcome>,
}

/// What the journal knows about a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRow {
    /// The target.
    pub target: Target,
    /// When it was last verified after a restart.
    pub last_restart: Option<Timestamp>,
    /// Since when it is lost.
    pub lost_since: Option<Timestamp>,
    /// Where the cooldown is counted from.
    anchor: Option<Timestamp>,
}

impl TargetRow {
    /// When its cooldown ends under `policy`; `None` when it is over.
    pub fn cooldown_until(&self, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        policy::cooldown_until(policy, self.anchor, now)
    }
}

impl Journal {
    /// Returns the requests that pass `filter`, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn history(&self, filter: &HistoryFilter) -> Result<Vec<HistoryRow>, StoreError> {
        self.store.read(|transaction| {
            let query = format!(
                "SELECT {ROW} FROM requests
                 WHERE (?1 IS NULL OR target = ?1) AND (?2 IS NULL OR outcome = ?2)
                   AND (?3 IS NULL OR finished_us IS NULL OR finished_us >= ?3)
                 ORDER BY seq"
            );
            let mut statement = transaction.prepare_cached(&query)?;
            let parameters = params![
                filter.target.as_ref().map(Target::as_str),
                filter.outcome.map(Outcome::as_str),
                filter.since.map(micros)
            ];
            statement.query_map(parameters, read_row)?.collect()
        })
    }

    /// Returns one request; `None` when the journal has never seen it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn find(&self, id: &str) -> Result<Option<HistoryRow>, StoreError> {
        self.store.read(|transaction| find(transaction, id))
    }

    /// Returns every target that was ever verified or lost, by name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn targets(&self) -> Result<Vec<TargetRow>, StoreError> {
        self.store.read(|transaction| {
            let query = "SELECT target, last_restart_us, lost_us, anchor_us FROM targets
                         ORDER BY target";
            let mut statement = transaction.prepare_cached(query)?;
            let rows = statement.query_map([], |row| {
                Ok(TargetRow {
                    target: read_target(row, 0)?,
                    last_restart: timestamp(row, 1)?,
                    lost_since: timestamp(row, 2)?,
                    anchor: timestamp(row, 3)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Returns the intents that have no outcome yet, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open_intents(&self) -> Result<Vec<Intent>, StoreError> {
        self.store.read(open_intents)
    }

    /// Returns since when `target` is lost; `None` when it is not.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn lost(&self, target: &Target) -> Result<Option<Timestamp>, StoreError> {
        self.store.read(|transaction| {
            let query = "SELECT lost_us FROM targets WHERE target = ?1";
            let mut statement = transaction.prepare_cached(query)?;
            let since = statement.query_row([target.as_str()], |row| timestamp(row, 0));
            Ok(since.optional()?.flatten())
        })
    }
}

pub(super) fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<HistoryRow>> {
    connection
        .prepare_cached(&format!("SELECT {ROW} FROM requests WHERE id = ?1"))?
        .query_row([id], read_row)
        .optional()
}

pub(super) fn open_intents(
    connection: &rusqlite::Transaction<'_>,
) -> rusqlite::Result<Vec<Intent>> {
    let query = "SELECT id, target, before, intent_us, started_us FROM requests
                 WHERE outcome = 'open' AND intent_us IS NOT NULL ORDER BY intent_us, seq";
    let mut statement = connection.prepare_cached(query)?;
    statement.query_map([], read_intent)?.collect()
}

/// Reads `id, target, before, intent_us, started_us`, where `intent_us` is not null.
pub(super) fn read_intent(row: &Row<'_>) -> rusqlite::Result<Intent> {
    let opened_at = Timestamp::from_microsecond(row.get(3)?).map_err(|error| bad(3, error))?;
    Ok(Intent {
        id: row.get(0)?,
        target: read_target(row, 1)?,
        before: read_identity(row, 2)?,
        opened_at,
        started_at: timestamp(row, 4)?,
    })
}

pub(super) fn read_target(row: &Row<'_>, column: usize) -> rusqlite::Result<Target> {
    Target::parse(row.get_ref(column)?.as_str()?).map_err(|error| bad(column, error))
}

/// An identity as the file holds it.
pub(super) fn identity_text(identity: &Identity) -> String {
    // Two shapes of numbers and strings; JSON holds them all.
    serde_json::to_string(identity).expect("an identity is always JSON")
}

fn read_identity(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Identity>> {
    row.get_ref(column)?
        .as_str_or_null()?
        .map(|text| serde_json::from_str(text).map_err(|error| bad(column, error)))
        .transpose()
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<HistoryRow> {
    let outcome = Outcome::parse(row.get_ref(4)?.as_str()?).ok_or_else(|| {
        rusqlite::Error::InvalidColumnType(4, "outcome".to_owned(), rusqlite::types::Type::Text)
    })?;
    Ok(HistoryRow {
        id: row.get(0)?,
        target: row.get(1)?,
        reason: row.get(2)?,
        by: row.get(3)?,
        outcome,
        detail: row.get(5)?,
        until: store::timestamp(row, 6)?,
        attempts: row.get(7)?,
        requested_at: timestamp(row, 8)?,
        finished_at: timestamp(row, 9)?,
        before: read_identity(row, 10)?,
        after: read_identity(row, 11)?,
    })
}

/// The columns of a [`HistoryRow`], in the order of [`read_row`].
const ROW: &str = "id, target, reason, requested_by, outcome, detail, until_us, attempts,
                   requested_us, finished_us, before, after";

const ALL_OUTCOMES: [Outcome; 7] = [
    Outcome::Open,
    Outcome::Verified,
    Outcome::Failed,
    Outcome::Lost,
    Outcome::Blocked,
    Outcome::UnknownTarget,
    Outcome::Malformed,
];
