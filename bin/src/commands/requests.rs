//! All requests there are: those the journal knows, and those that still wait in the queue.

use std::collections::HashSet;

use jiff::Timestamp;
use vendor_sdk::{Browsed, Client, DeadLetter, State, Stats};

use crate::config::Service;
use crate::exit::Failure;
use crate::journal::{HistoryFilter, HistoryRow, Journal, Outcome, StoreError};
use crate::output::rfc3339;
use crate::queue;
use crate::request::Request;

/// The queue; `None` when there is none yet. Makes nothing.
fn existing_queue(service: &Service) -> Result<Option<Client>, Failure> {
    if queue::path(service).exists() {
        return queue::open(service).map(Some);
    }
    Ok(None)
}

/// The journal, for reading; `None` when there is none yet. Makes nothing.
pub(super) fn journal(service: &Service) -> Result<Option<Journal>, Failure> {
    Journal::open_existing_read(&service.state).map_err(broken)
}

/// Every request that passes `filter`: the journal's, oldest first, then the waiting ones.
pub(super) fn rows(service: &Service, filter: &HistoryFilter) -> Result<Vec<HistoryRow>, Failure> {
    // The queue first. A request leaves it only after its row is final, so whatever is gone from
    // the queue by now is in the journal.
    let mut waiting = Vec::new();
    if let Some(client) = existing_queue(service)? {
        waiting.extend(
            client
                .dead_letters(queue::TOPIC)
                .map_err(unusable)?
                .iter()
                .map(dead),
        );
        waiting.extend(
            client
                .browse(queue::TOPIC)
                .map_err(unusable)?
                .iter()
                .map(open),
        );
        client.close().map_err(unusable)?;
    }
    let mut rows = Vec::new();
    let mut known = HashSet::new();
    if let Some(journal) = journal(service)? {
        for row in journal.history(&HistoryFilter::default()).map_err(broken)? {
            known.insert(row.id.clone());
            rows.push(row);
        }
    }
    rows.extend(waiting.into_iter().filter(|row| !known.contains(&row.id)));
    rows.retain(|row| passes(row, filter));
    Ok(rows)
}

/// How many messages the queue holds, by state.
pub(super) fn stats(service: &Service) -> Result<Stats, Failure> {
    let Some(client) = existing_queue(service)? else {
        return Ok(Stats::default());
    };
    let stats = client.stats(queue::TOPIC).map_err(unusable)?;
    client.close().map_err(unusable)?;
    Ok(stats)
}

/// The queue cannot be used.
pub(super) fn unusable(error: vendor_sdk::Error) -> Failure {
    Failure::store(format!(
        "{error}; see that the file is whole, writable and has room"
    ))
}

/// The journal cannot be used.
pub(super) fn broken(error: StoreError) -> Failure {
    Failure::store(error.to_string())
}

fn passes(row: &HistoryRow, filter: &HistoryFilter) -> bool {
    let is_target = |target| row.target.as_deref() == Some(target);
    filter
        .target
        .as_ref()
        .is_none_or(|target| is_target(target.as_str()))
        && filter.outcome.is_none_or(|outcome| row.outcome == outcome)
        && filter
            .since
            .is_none_or(|since| row.finished_at.is_none_or(|end| end >= since))
}

/// A request that no daemon has looked at, or that waits to be looked at again.
fn open(message: &Browsed) -> HistoryRow {
    let detail = match message.state {
        State::Ready => "waits in the queue".to_owned(),
        State::Leased { .. } => "is delivered and not yet decided".to_owned(),
        State::Delayed { due_at } => match Timestamp::try_from(due_at) {
            Ok(due_at) => format!("waits until {}", rfc3339(due_at)),
            Err(_) => "waits".to_owned(),
        },
    };
    let id = message.id.to_string();
    row(
        id,
        &message.payload,
        Outcome::Open,
        detail,
        message.attempts,
    )
}

/// A request that the queue itself gave up.
fn dead(message: &DeadLetter) -> HistoryRow {
    let detail = format!("dead letter of the queue: {}", message.reason);
    let id = message.id.to_string();
    // As the daemon will write it when it finds the letter.
    let outcome = match Request::parse(&id, &message.payload) {
        Ok(_) => Outcome::Failed,
        Err(_) => Outcome::Malformed,
    };
    row(id, &message.payload, outcome, detail, message.attempts)
}

fn row(id: String, payload: &[u8], outcome: Outcome, detail: String, attempts: u32) -> HistoryRow {
    let request = Request::parse(&id, payload).ok();
    HistoryRow {
        id,
        target: request.as_ref().map(|request| request.target.to_string()),
        reason: request.as_ref().map(|request| request.reason.clone()),
        by: request.as_ref().map(|request| request.by.clone()),
        outcome,
        detail: Some(detail),
        until: None,
        attempts,
        requested_at: request.map(|request| request.requested_at),
        finished_at: None,
        before: None,
        after: None,
    }
}

#[cfg(test)]
mod tests;
