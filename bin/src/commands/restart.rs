//! `mandrill restart`: publishes requests, and on demand waits for what becomes of them.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use vendor_sdk::Outgoing;

use super::{history, requests};
use crate::cli::RestartArgs;
use crate::config::{self, Config, Service, closest};
use crate::exit::{Exit, Failure};
use crate::journal::{HistoryFilter, HistoryRow, Journal, Outcome, StoreErrorKind};
use crate::lock;
use crate::output::{Stdout, json_line, rfc3339};
use crate::queue;
use crate::request::Request;
use crate::target::Target;

pub(super) fn run(args: &RestartArgs, is_json: bool, stdout: &Stdout) -> Result<(), Failure> {
    let began = Instant::now();
    let config = config::load(&args.config.config)?;
    let targets = known_targets(&config, &args.targets, &args.config.config)?;
    let requests = requests_for(&targets, &args.reason)?;
    let service = &config.service;
    publish(service, &requests)?;
    stdout.text(&published(&requests, is_json));
    if lock::holder(&service.state).is_none() {
        log::warn!("no daemon is running: the requests wait until `mandrill run` is started");
    }
    if !args.wait {
        return Ok(());
    }
    let rows = wait(service, &requests, began + args.timeout, |row| {
        if is_json {
            stdout.json(row);
        } else {
            stdout.text(&story(row));
        }
    })?;
    verdict(&rows)
}

/// Reads target names and looks each up; the same one given twice counts once.
///
/// # Errors
///
/// Exit 2, one line about all names that are wrong, with the ones that were probably meant.
pub(super) fn known_targets(
    config: &Config,
    names: &[String],
    file: &Path,
) -> Result<Vec<Target>, Failure> {
    let mut targets: Vec<Target> = Vec::new();
    let mut wrong = Vec::new();
    for name in names {
        let what = match Target::parse(name) {
            Err(error) => error.to_string(),
            Ok(target) if config.lookup(&target).is_none() => {
                format!("{} has no such target", file.display())
            }
            Ok(target) => {
                if targets.contains(&target) {
                    log::warn!(target = target.as_str(); "given twice, counted once");
                } else {
                    targets.push(target);
                }
                continue;
            }
        };
        let known = config.targets().map(|(_, target)| target.as_str());
        let meant = closest(name, known).map(|meant| format!("; did you mean {meant}?"));
        wrong.push(format!("\"{name}\": {what}{}", meant.unwrap_or_default()));
    }
    if wrong.is_empty() {
        return Ok(targets);
    }
    Err(Failure::usage(format!(
        "{} (nothing was done)",
        wrong.join(", ")
    )))
}

fn requests_for(targets: &[Target], reason: &str) -> Result<Vec<Request>, Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::usage("--reason is empty: say in a few words why"));
    }
    // The kernel's word, not the environment's. Anybody who may write to the queue can claim
    // another name; the queue's file mode is what decides who may.
    let by = format!("uid:{}", rustix::process::getuid().as_raw());
    let now = Timestamp::now();
    let request = |target: &Target| Request::new(target.clone(), reason, &by, now);
    let requests: Result<Vec<_>, _> = targets.iter().map(request).collect();
    requests.map_err(|malformed| Failure::usage(format!("--{malformed}")))
}

/// Returns when the requests, all or none, are on disk.
fn publish(service: &Service, requests: &[Request]) -> Result<(), Failure> {
    let mut messages = Vec::with_capacity(requests.len());
    for request in requests {
        let id = request
            .id
            .parse()
            .map_err(|_| Failure::failed("a request without a UUID"))?;
        messages.push(Outgoing {
            id: Some(id),
            payload: request.payload(),
        });
    }
    let client = queue::open(service)?;
    client
        .publish(queue::TOPIC, messages)
        .map_err(requests::unusable)?;
    client.close().map_err(requests::unusable)
}

fn published(requests: &[Request], is_json: bool) -> String {
    let at = rfc3339(Timestamp::now());
    let line = |request: &Request| {
        let (id, target) = (&request.id, &request.target);
        if is_json {
            json_line(&json!({"event": "published", "id": id, "target": target, "at": at}))
        } else {
            format!("{target}: published as {id}\n")
        }
    };
    requests.iter().map(line).collect()
}

/// Waits until every request has its final outcome or `deadline` has come; tells each row once, the
/// ones still open at the end.
fn wait(
    service: &Service,
    requests: &[Request],
    deadline: Instant,
    mut tell: impl FnMut(&HistoryRow),
) -> Result<Vec<HistoryRow>, Failure> {
    let mut waiting: Vec<&str> = requests.iter().map(|request| request.id.as_str()).collect();
    let mut rows = Vec::new();
    let mut journal = None;
    while !waiting.is_empty() && Instant::now() < deadline {
        if journal.is_none() {
            // The first daemon of this state makes it.
            journal = requests::journal(service)?;
        }
        let mut left = Vec::with_capacity(waiting.len());
        for id in waiting {
            let row = match &journal {
                Some(journal) => final_row(journal, id)?,
                None => None,
            };
            match row {
                Some(row) => {
                    tell(&row);
                    rows.push(row);
                }
                None => left.push(id),
            }
        }
        waiting = left;
        if !waiting.is_empty() {
            thread::sleep(POLL.min(deadline.saturating_duration_since(Instant::now())));
        }
    }
    if !waiting.is_empty() {
        let all = requests::rows(service, &HistoryFilter::default())?;
        for row in all
            .into_iter()
            .filter(|row| waiting.contains(&row.id.as_str()))
        {
            tell(&row);
            rows.push(row);
        }
    }
    Ok(rows)
}

fn final_row(journal: &Journal, id: &str) -> Result<Option<HistoryRow>, Failure> {
    match journal.find(id) {
        Ok(row) => Ok(row.filter(|row| row.outcome != Outcome::Open)),
        // The daemon is writing: look again.
        Err(error) if error.kind() == StoreErrorKind::Busy => Ok(None),
        Err(error) => Err(requests::broken(error)),
    }
}

/// What became of one request, for a person.
fn story(row: &HistoryRow) -> String {
    let target = row.target.as_deref().unwrap_or("-");
    let mut story = format!("{target}: {}", row.outcome);
    if let (Some(before), Some(after)) = (&row.before, &row.after) {
        story.push_str(&format!(", {before} -> {after}"));
    }
    if let Some(detail) = &row.detail {
        story.push_str(&format!(", {detail}"));
    }
    if row.until.is_some() {
        story.push_str(&format!(", until {}", history::moment(row.until)));
    }
    format!("{}\n", crate::output::escape(&story))
}

/// The exit: what failed counts before what is still open, and that before what was blocked.
fn verdict(rows: &[HistoryRow]) -> Result<(), Failure> {
    let count = |is_it: fn(Outcome) -> bool| rows.iter().filter(|row| is_it(row.outcome)).count();
    let total = rows.len();
    let open = count(|outcome| outcome == Outcome::Open);
    let blocked = count(|outcome| outcome == Outcome::Blocked);
    let failed = total - open - blocked - count(|outcome| outcome == Outcome::Verified);
    if failed > 0 {
        let message =
            format!("{failed} of {total} restarts did not succeed; see the outcomes above");
        return Err(Failure::failed(message));
    }
    if open > 0 {
        let message = format!(
            "timed out with {open} of {total} requests still open; they stay in the queue, \
            `mandrill history` tells what becomes of them"
        );
        return Err(Failure::new(Exit::TimedOut, message));
    }
    if blocked > 0 {
        let message = format!("policy blocked {blocked} of {total} restarts; see `until` above");
        return Err(Failure::new(Exit::Blocked, message));
    }
    Ok(())
}

/// How often the journal is asked; well below what a person notices.
const POLL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
