//! Gives every dead letter its final outcome.
//!
//! A handler that refuses a message writes the outcome itself. But the engine dead-letters too (a
//! handler that panicked at every attempt), and so does the queue (a message that outlived its
//! lease again and again): then nobody is left to write it. So what the queue calls dead and the
//! journal calls open, or does not know, ends as failed, at every start and every minute.

use jiff::Timestamp;
use mayhem_bridge::BlockingPool;
use vendor_sdk::{Client, DeadLetter};

use crate::journal::{Journal, Outcome, Refusal, StoreError, Verdict};
use crate::queue;
use crate::request::Request;

/// Ends the requests of all dead letters.
///
/// # Cancel safety
///
/// Cancel safe: it runs to its end on its thread.
pub(super) async fn settle(client: &Client, journal: &Journal, pool: &BlockingPool) {
    let (client, journal) = (client.clone(), journal.clone());
    let settled = pool
        .run_async("dead letters", move |_| settle_blocking(&client, &journal))
        .await;
    match settled {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::warn!("dead letters: {error}"),
        Err(error) => log::warn!("dead letters: {error}"),
    }
}

fn settle_blocking(client: &Client, journal: &Journal) -> Result<(), StoreError> {
    let letters = match client.dead_letters(queue::TOPIC) {
        Ok(letters) => letters,
        // The queue's own failure ends the service by another way.
        Err(error) => {
            log::warn!("dead letters: {error}");
            return Ok(());
        }
    };
    for letter in letters {
        let id = letter.id.to_string();
        let known = journal.find(&id)?;
        if known
            .as_ref()
            .is_some_and(|row| row.outcome != Outcome::Open)
        {
            continue;
        }
        log::warn!(id = id.as_str(); "dead-lettered: {}", crate::output::escape(&letter.reason));
        let now = Timestamp::now();
        if known.is_some() {
            journal.finish(&id, &Verdict::failed(letter.reason), now)?;
        } else {
            journal.refuse(&id, &refusal(&id, letter), now)?;
        }
    }
    Ok(())
}

fn refusal(id: &str, letter: DeadLetter) -> Refusal {
    let request = Request::parse(id, &letter.payload);
    let outcome = if request.is_ok() {
        Outcome::Failed
    } else {
        Outcome::Malformed
    };
    let request = request.ok();
    Refusal {
        outcome,
        detail: letter.reason,
        target: request.as_ref().map(|request| request.target.to_string()),
        reason: request.as_ref().map(|request| request.reason.clone()),
        by: request.as_ref().map(|request| request.by.clone()),
        requested_at: request.as_ref().map(|request| request.requested_at),
        attempts: letter.attempts,
    }
}
