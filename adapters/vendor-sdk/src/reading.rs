//! Looking without touching: counts, lists, and whether there is anything to lease.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use crate::schema::{DELAYED, LEASED};
use crate::time::{Times, since_boot, wall_time};
use crate::{Browsed, DeadLetter, State, Stats};

/// When a lease request on a topic would next change anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlook {
    /// Whether a message is ready now.
    pub(crate) ready: bool,
    /// When, by the wall clock, the next delay ends.
    next_due: Option<i64>,
    /// When, by the wall clock, the last delay was set.
    last_delayed: Option<i64>,
    /// When, by boot time, the next lease ends.
    next_deadline: Option<i64>,
}

impl Outlook {
    /// Before the first look: there may be something.
    pub(crate) fn unknown() -> Self {
        Self {
            ready: true,
            next_due: None,
            last_delayed: None,
            next_deadline: None,
        }
    }

    pub(crate) fn read(connection: &Connection, topic: i64) -> rusqlite::Result<Self> {
        connection
            .prepare_cached(OUTLOOK)?
            .query_row([topic], |row| {
                Ok(Self {
                    ready: row.get(0)?,
                    next_due: row.get(1)?,
                    last_delayed: row.get(2)?,
                    next_deadline: row.get(3)?,
                })
            })
    }

    /// Whether that moment has come.
    pub(crate) fn is_due(&self, times: &Times) -> bool {
        let wall = times.wall();
        self.ready
            || self.next_due.is_some_and(|due| due <= wall)
            // The wall clock went back: the delay must be anchored anew.
            || self.last_delayed.is_some_and(|delayed| delayed > wall)
            || self.next_deadline.is_some_and(|deadline| deadline <= times.boot())
    }
}

/// A number that changes when another connection has committed.
pub(crate) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}

/// The number of a topic that exists.
pub(crate) fn topic_number(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT number FROM topics WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

pub(crate) fn stats(
    connection: &Connection,
    times: &Times,
    topic: &str,
) -> rusqlite::Result<Stats> {
    let Some(topic) = topic_number(connection, topic)? else {
        return Ok(Stats::default());
    };
    let arguments = params![topic, times.wall(), times.boot(), times.boot_id()];
    connection
        .prepare_cached(STATS)?
        .query_row(arguments, |row| {
            let count = |column: usize| row.get::<_, u32>(column).map(u64::from);
            Ok(Stats {
                ready: count(0)?,
                delayed: count(1)?,
                leased: count(2)?,
                dead: count(3)?,
            })
        })
}

pub(crate) fn browse(
    connection: &Connection,
    times: &Times,
    topic: &str,
) -> rusqlite::Result<Vec<Browsed>> {
    let Some(topic) = topic_number(connection, topic)? else {
        return Ok(Vec::new());
    };
    let (wall, boot) = (times.wall(), times.boot());
    let mut statement = connection.prepare_cached(BROWSE)?;
    let rows = statement.query_map([topic], |row| {
        Ok(Browsed {
            id: Uuid::from_bytes(row.get("id")?),
            payload: row.get("payload")?,
            attempts: row.get("attempts")?,
            deliveries: row.get("deliveries")?,
            expiries: row.get("expiries")?,
            state: state(row, wall, boot, times.boot_id())?,
            published_at: wall_time(row.get("published_at")?),
        })
    })?;
    rows.collect()
}

pub(crate) fn dead_letters(
    connection: &Connection,
    topic: &str,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let Some(topic) = topic_number(connection, topic)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(DEAD_LETTERS)?;
    let rows = statement.query_map([topic], |row| {
        Ok(DeadLetter {
            id: Uuid::from_bytes(row.get("id")?),
            payload: row.get("payload")?,
            attempts: row.get("attempts")?,
            deliveries: row.get("deliveries")?,
            expiries: row.get("expiries")?,
            reason: row.get("reason")?,
            published_at: wall_time(row.get("published_at")?),
        })
    })?;
    rows.collect()
}

/// Where a message stands now, which the row may not say yet: leases and delays end by themselves.
fn state(row: &Row<'_>, wall: i64, boot: i64, boot_id: &[u8; 16]) -> rusqlite::Result<State> {
    match row.get("state")? {
        LEASED => {
            let deadline: i64 = row.get("deadline")?;
            let holder_boot: [u8; 16] = row.get("boot_id")?;
            let runs = holder_boot == *boot_id && deadline > boot;
            let deadline_boot = since_boot(deadline);
            Ok(if runs {
                State::Leased { deadline_boot }
            } else {
                State::Ready
            })
        }
        DELAYED => {
            let due_at: i64 = row.get("due_at")?;
            let due_at = (due_at > wall).then(|| wall_time(due_at));
            Ok(due_at.map_or(State::Ready, |due_at| State::Delayed { due_at }))
        }
        _ => Ok(State::Ready),
    }
}

const OUTLOOK: &str = "SELECT
    EXISTS (SELECT 1 FROM messages WHERE topic = ?1 AND state = 0),
    (SELECT min(due_at) FROM messages WHERE topic = ?1 AND state = 1),
    (SELECT max(delayed_at) FROM messages WHERE state = 1),
    (SELECT min(deadline) FROM messages WHERE topic = ?1 AND state = 2)";

const STATS: &str = "SELECT
    ready + (delayed - waiting) + (leased - running), waiting, running, dead FROM (SELECT
    (SELECT count(*) FROM messages WHERE topic = ?1 AND state = 0) AS ready,
    (SELECT count(*) FROM messages WHERE topic = ?1 AND state = 1) AS delayed,
    (SELECT count(*) FROM messages WHERE topic = ?1 AND state = 1 AND due_at > ?2) AS waiting,
    (SELECT count(*) FROM messages WHERE topic = ?1 AND state = 2) AS leased,
    (SELECT count(*) FROM messages
        WHERE topic = ?1 AND state = 2 AND deadline > ?3 AND boot_id = ?4) AS running,
    (SELECT count(*) FROM messages WHERE topic = ?1 AND state = 3) AS dead)";

const BROWSE: &str = "SELECT id, payload, attempts, deliveries, expiries, state, due_at, deadline,
    boot_id, published_at FROM messages WHERE topic = ?1 AND state < 3 ORDER BY seq";

const DEAD_LETTERS: &str = "SELECT id, payload, attempts, deliveries, expiries, reason,
    published_at FROM messages WHERE topic = ?1 AND state = 3 ORDER BY seq";
