//! What the calls do to the tables: each a function inside the store's transaction.
//!
//! Absent on purpose: threads, transactions and the errors' meaning, which are the store's.

use std::time::Duration;

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use crate::reading::{Outlook, topic_number};
use crate::schema::{DELAYED, READY};
use crate::time::{Times, nanos, since_boot, wall_time};
use crate::{Leased, Outcome, Outgoing, Settle, Token};

/// The writer's side of the tables.
#[derive(Debug)]
pub(crate) struct Queue<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) times: &'a Times,
    /// Names the handle, so that its leases are told from others'.
    pub(crate) session: i64,
}

/// What a subscription asks the store for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseRequest {
    pub(crate) topic: i64,
    pub(crate) count_max: usize,
    pub(crate) lease: Duration,
    pub(crate) expiries_max: u32,
}

/// What a subscription gets.
#[derive(Debug)]
pub(crate) struct LeaseReply {
    pub(crate) batch: Vec<Leased>,
    /// What is left after it.
    pub(crate) outlook: Outlook,
}

/// How a subscription begins.
#[derive(Clone, Debug)]
pub(crate) struct Subscribing {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) takeover: bool,
    pub(crate) expiries_max: u32,
}

impl Queue<'_> {
    pub(crate) fn publish(
        &self,
        topic: &str,
        messages: &[Outgoing],
    ) -> rusqlite::Result<Vec<Uuid>> {
        let topic = self.topic(topic)?;
        let now = self.times.wall();
        let mut insert = self.connection.prepare_cached(INSERT)?;
        messages
            .iter()
            .map(|message| {
                let id = message.id.unwrap_or_else(Uuid::now_v7);
                insert.execute(params![topic, now, id.as_bytes(), message.payload])?;
                Ok(id)
            })
            .collect()
    }

    /// Registers a subscription; `Err(other)` when the topic has another one already.
    pub(crate) fn subscribe(
        &self,
        subscribing: &Subscribing,
    ) -> rusqlite::Result<Result<i64, String>> {
        let topic = self.topic(&subscribing.topic)?;
        let name: Option<String> = self
            .connection
            .prepare_cached("SELECT subscription FROM topics WHERE number = ?1")?
            .query_row([topic], |row| row.get(0))?;
        match name {
            Some(other) if other != subscribing.name => return Ok(Err(other)),
            Some(_) => {}
            None => {
                let sql = "UPDATE topics SET subscription = ?2 WHERE number = ?1";
                self.connection
                    .execute(sql, params![topic, subscribing.name])?;
            }
        }
        // Before the takeover: a lease that ran out was not taken over and counts.
        self.expire(topic, subscribing.expiries_max)?;
        let expiries_max = subscribing.expiries_max;
        self.connection.execute(
            EXPIRE_OTHER_BOOTS,
            params![topic, expiries_max, self.times.boot_id()],
        )?;
        if subscribing.takeover {
            self.connection
                .execute(TAKE_OVER, params![topic, self.session])?;
        }
        Ok(Ok(topic))
    }

    pub(crate) fn lease(&self, request: LeaseRequest) -> rusqlite::Result<LeaseReply> {
        self.connection
            .prepare_cached(RE_ANCHOR)?
            .execute([self.times.wall()])?;
        self.expire(request.topic, request.expiries_max)?;
        let mut batch = Vec::new();
        // Those whose delay is over first: they are older, and a steady flow of new messages must
        // not keep them waiting.
        self.take(LEASE_DUE, request, &mut batch)?;
        if batch.len() < request.count_max {
            let count_max = request.count_max - batch.len();
            self.take(
                LEASE_READY,
                LeaseRequest {
                    count_max,
                    ..request
                },
                &mut batch,
            )?;
        }
        Ok(LeaseReply {
            batch,
            outlook: Outlook::read(self.connection, request.topic)?,
        })
    }

    pub(crate) fn settle(&self, batch: &[(Token, Settle)]) -> rusqlite::Result<Vec<Outcome>> {
        let mut ack = self.connection.prepare_cached(ACK)?;
        batch
            .iter()
            .map(|(token, settle)| {
                let Token { seq, delivery } = *token;
                let changed = match settle {
                    Settle::Ack => ack.execute(params![seq, delivery])?,
                    Settle::Nack { after, counted } => self.nack(*token, *after, *counted)?,
                    Settle::Dead { reason } => self
                        .connection
                        .prepare_cached(DEAD)?
                        .execute(params![seq, delivery, reason])?,
                };
                Ok(outcome(changed))
            })
            .collect()
    }

    pub(crate) fn extend(&self, batch: &[(Token, Duration)]) -> rusqlite::Result<Vec<Outcome>> {
        let now = self.times.boot();
        let mut extend = self.connection.prepare_cached(EXTEND)?;
        batch
            .iter()
            .map(|(token, duration)| {
                let deadline = now.saturating_add(nanos(*duration));
                let changed = extend.execute(params![token.seq, token.delivery, deadline])?;
                Ok(outcome(changed))
            })
            .collect()
    }

    /// The topic's number; a new topic gets one.
    fn topic(&self, name: &str) -> rusqlite::Result<i64> {
        if let Some(number) = topic_number(self.connection, name)? {
            return Ok(number);
        }
        self.connection
            .execute("INSERT INTO topics (name) VALUES (?1)", [name])?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Returns the leases that have run out.
    fn expire(&self, topic: i64, expiries_max: u32) -> rusqlite::Result<usize> {
        let mut expire = self.connection.prepare_cached(EXPIRE)?;
        expire.execute(params![topic, expiries_max, self.times.boot()])
    }

    fn take(
        &self,
        sql: &str,
        request: LeaseRequest,
        batch: &mut Vec<Leased>,
    ) -> rusqlite::Result<()> {
        let deadline = self.times.boot().saturating_add(nanos(request.lease));
        let count_max = i64::try_from(request.count_max).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![
            request.topic,
            count_max,
            self.session,
            self.times.boot_id(),
            deadline,
            self.times.wall(),
        ])?;
        let first = batch.len();
        while let Some(row) = rows.next()? {
            batch.push(leased(row, deadline)?);
        }
        // RETURNING promises no order.
        batch[first..].sort_unstable_by_key(|leased| leased.token);
        Ok(())
    }

    fn nack(&self, token: Token, after: Duration, counted: bool) -> rusqlite::Result<usize> {
        let now = self.times.wall();
        let (state, delayed_at, due_at) = if after.is_zero() {
            (READY, None, None)
        } else {
            (DELAYED, Some(now), Some(now.saturating_add(nanos(after))))
        };
        self.connection.prepare_cached(NACK)?.execute(params![
            token.seq,
            token.delivery,
            state,
            delayed_at,
            due_at,
            counted
        ])
    }
}

fn leased(row: &Row<'_>, deadline: i64) -> rusqlite::Result<Leased> {
    let attempts: u32 = row.get(2)?;
    let deliveries: u32 = row.get(3)?;
    Ok(Leased {
        id: Uuid::from_bytes(row.get(1)?),
        token: Token {
            seq: row.get(0)?,
            delivery: deliveries,
        },
        payload: row.get(5)?,
        attempt: attempts.saturating_add(1),
        deliveries,
        deadline_boot: since_boot(deadline),
        published_at: wall_time(row.get(4)?),
    })
}

fn outcome(changed: usize) -> Outcome {
    if changed == 0 {
        Outcome::Gone
    } else {
        Outcome::Done
    }
}

const INSERT: &str = "INSERT INTO messages
    (topic, state, attempts, deliveries, expiries, published_at, id, payload)
    VALUES (?1, 0, 0, 0, 0, ?2, ?3, ?4) ON CONFLICT (id) DO NOTHING";

/// The rule for a wall clock that went back: a delay that was set in what is now the future begins
/// anew. So no delay lasts longer than it was meant to after the clock was seen to go back.
const RE_ANCHOR: &str = "UPDATE messages
    SET due_at = ?1 + (due_at - delayed_at), delayed_at = ?1
    WHERE state = 1 AND delayed_at > ?1";

const EXPIRE: &str = "UPDATE messages
    SET state = CASE WHEN ?2 > 0 AND expiries + 1 >= ?2 THEN 3 ELSE 0 END,
        reason = CASE WHEN ?2 > 0 AND expiries + 1 >= ?2 THEN 'crash loop' END,
        expiries = expiries + 1, deadline = NULL, holder = NULL, boot_id = NULL
    WHERE topic = ?1 AND state = 2 AND deadline <= ?3";

/// A lease of another boot has ended, whatever its deadline says: the two boot times have nothing
/// to do with each other. Only at subscribe, since no boot ends while a process runs.
const EXPIRE_OTHER_BOOTS: &str = "UPDATE messages
    SET state = CASE WHEN ?2 > 0 AND expiries + 1 >= ?2 THEN 3 ELSE 0 END,
        reason = CASE WHEN ?2 > 0 AND expiries + 1 >= ?2 THEN 'crash loop' END,
        expiries = expiries + 1, deadline = NULL, holder = NULL, boot_id = NULL
    WHERE topic = ?1 AND state = 2 AND boot_id <> ?3";

const TAKE_OVER: &str = "UPDATE messages
    SET state = 0, deadline = NULL, holder = NULL, boot_id = NULL
    WHERE topic = ?1 AND state = 2 AND holder <> ?2";

const LEASE_DUE: &str = "UPDATE messages
    SET state = 2, deliveries = deliveries + 1, due_at = NULL, delayed_at = NULL,
        holder = ?3, boot_id = ?4, deadline = ?5
    WHERE seq IN (SELECT seq FROM messages INDEXED BY messages_due
        WHERE topic = ?1 AND state = 1 AND due_at <= ?6 ORDER BY due_at LIMIT ?2)
    RETURNING seq, id, attempts, deliveries, published_at, payload";

const LEASE_READY: &str = "UPDATE messages
    SET state = 2, deliveries = deliveries + 1, holder = ?3, boot_id = ?4, deadline = ?5
    WHERE ?6 IS NOT NULL AND seq IN (SELECT seq FROM messages INDEXED BY messages_ready
        WHERE topic = ?1 AND state = 0 ORDER BY seq LIMIT ?2)
    RETURNING seq, id, attempts, deliveries, published_at, payload";

const ACK: &str = "DELETE FROM messages WHERE seq = ?1 AND state = 2 AND deliveries = ?2";

const NACK: &str = "UPDATE messages
    SET state = ?3, delayed_at = ?4, due_at = ?5, attempts = attempts + ?6,
        deadline = NULL, holder = NULL, boot_id = NULL
    WHERE seq = ?1 AND state = 2 AND deliveries = ?2";

const DEAD: &str = "UPDATE messages
    SET state = 3, reason = ?3, attempts = attempts + 1,
        deadline = NULL, holder = NULL, boot_id = NULL
    WHERE seq = ?1 AND state = 2 AND deliveries = ?2";

const EXTEND: &str = "UPDATE messages SET deadline = ?3
    WHERE seq = ?1 AND state = 2 AND deliveries = ?2";

#[cfg(test)]
mod tests;
