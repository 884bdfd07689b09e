//! What the operator is told while it happens: a line per event, and the totals at the end.
//!
//! With `--json` every event is one object, in the form that `docs` and scripts rely on; otherwise
//! the ones that a person wants are printed as readable lines. The engine tells its events by
//! message id; the target is remembered from the moment the message came in until its delivery
//! ends.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mayhem_core::{Delivery, DeliveryKey, Event, MessageId};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::fleet::Identity;
use crate::output::{CLEAR_LINE, Stdout, escape, rfc3339};
use crate::request::Request;
use crate::target::Target;

/// Tells events on standard output. Clones tell to the same place.
#[derive(Clone)]
pub struct Announcer(Arc<Shared>);

/// How many requests ended how, in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdicts {
    /// Restarted and verified.
    pub restarted: u64,
    /// Blocked by policy.
    pub blocked: u64,
    /// Not carried out, or it did not take.
    pub failed: u64,
    /// Did not come back.
    pub lost: u64,
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One JSON object per event.
    Json,
    /// Readable lines.
    Lines,
    /// Readable lines above a progress line.
    Live,
}

impl Announcer {
    /// Tells events on `stdout`.
    pub fn new(stdout: Stdout, style: Style) -> Self {
        Self(Arc::new(Shared {
            stdout,
            style,
            state: Mutex::default(),
        }))
    }

    /// Where the events go.
    pub fn stdout(&self) -> &Stdout {
        &self.0.stdout
    }

    /// How they are written.
    pub fn style(&self) -> Style {
        self.0.style
    }

    /// How many requests have ended how so far.
    pub fn verdicts(&self) -> Verdicts {
        self.0.state.lock().verdicts
    }

    /// Replaces the progress line; without one, does nothing.
    pub fn progress(&self, line: &str) {
        if self.0.style == Style::Live {
            line.clone_into(&mut self.0.state.lock().progress);
            self.0.stdout.text(&format!("{CLEAR_LINE}{line}"));
        }
    }

    /// Tells a publisher's line: a request is durable.
    pub fn published(&self, id: &str, target: &str, line: &Value) {
        match self.0.style {
            Style::Json => self.0.stdout.json(line),
            Style::Lines | Style::Live => {
                let no_key = Subject {
                    id: Some(id),
                    target: Some(target),
                    attempt: None,
                };
                self.0.person("published", &no_key, "");
            }
        }
    }

    pub(super) fn learn(&self, id: &MessageId, target: Target) {
        self.0
            .state
            .lock()
            .subjects
            .entry(id.clone())
            .or_default()
            .target = Some(target);
    }

    pub(super) fn restarted(
        &self,
        delivery: &Delivery,
        target: &Target,
        before: Option<&Identity>,
        after: Option<&Identity>,
        elapsed: Duration,
    ) {
        self.0.state.lock().verdicts.restarted += 1;
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let more = json!({ "before": before, "after": after, "elapsed_ms": elapsed_ms });
        let show = |identity: Option<&Identity>| {
            identity.map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        let text = format!("{} -> {} in {elapsed_ms} ms", show(before), show(after));
        self.0
            .tell("restarted", &subject(delivery, target), &text, more);
    }

    pub(super) fn blocked(
        &self,
        delivery: &Delivery,
        request: &Request,
        reason: &str,
        until: Option<Timestamp>,
    ) {
        self.0.state.lock().verdicts.blocked += 1;
        let until = until.map(rfc3339);
        let text = match &until {
            Some(until) => format!("{reason}; it could pass at {until}"),
            None => reason.to_owned(),
        };
        let more = json!({ "reason": reason, "until": until });
        self.0
            .tell("blocked", &subject(delivery, &request.target), &text, more);
    }

    pub(super) fn failed(&self, delivery: &Delivery, target: &Target, error: &str) {
        self.0.state.lock().verdicts.failed += 1;
        let more = json!({ "branch": "restart", "error": error });
        self.0
            .tell("failed", &subject(delivery, target), error, more);
    }

    pub(super) fn lost(&self, delivery: &Delivery, target: &Target, error: &str) {
        self.0.state.lock().verdicts.lost += 1;
        let more = json!({ "branch": "restart", "error": error });
        let text = format!("{error}; once it is back: mandrill resume {target}");
        self.0.tell("lost", &subject(delivery, target), &text, more);
    }

    /// Logs why a message will be tried again, and keeps it for the event that tells so.
    pub(super) fn trouble(&self, delivery: &Delivery, branch: &'static str, error: String) {
        self.0.trouble(&delivery.key(), Some(branch), error);
    }

    /// Tells a step of the shutdown.
    pub(super) fn shutdown(&self, phase: &str) {
        self.0.tell(
            "shutdown",
            &Subject::default(),
            phase,
            json!({ "phase": phase }),
        );
    }

    /// Tells what the engine observed.
    pub(super) fn engine(&self, event: &Event) {
        match event {
            Event::BranchFailed {
                delivery,
                branch,
                error,
                ..
            } => {
                self.0.trouble(delivery, Some(branch), error.clone());
            }
            Event::HandlerPanicked { delivery, message }
            | Event::ShieldPanicked { delivery, message } => {
                self.0
                    .trouble(delivery, None, format!("panicked: {message}"));
            }
            Event::BrokerFailed {
                call,
                error,
                permanent,
            } => {
                let lasting = if *permanent { "for good" } else { "for now" };
                log::error!("the queue failed {lasting} in {call:?}: {}", escape(error));
            }
            Event::Phase(phase) => {
                log::debug!("the consumer is {phase:?}");
            }
            _ => {
                if let (Some(name), Some(key)) = (name(event), event.delivery()) {
                    self.0.observed(name, key, event);
                }
            }
        }
    }
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer")
            .field("style", &self.0.style)
            .finish_non_exhaustive()
    }
}

struct Shared {
    stdout: Stdout,
    style: Style,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    verdicts: Verdicts,
    /// The line that stays below all others.
    progress: String,
    /// What is known of each message in hand.
    subjects: HashMap<MessageId, Known>,
}

#[derive(Clone, Default)]
struct Known {
    target: Option<Target>,
    /// The latest trouble: which branch (none for the handler itself) and what.
    trouble: Option<(Option<&'static str>, String)>,
}

/// What an event is about.
#[derive(Clone, Copy, Default)]
struct Subject<'a> {
    id: Option<&'a str>,
    target: Option<&'a str>,
    attempt: Option<u32>,
}

impl Shared {
    /// Keeps an error until the event that it leads to, and logs it at once.
    fn trouble(&self, key: &DeliveryKey, branch: Option<&'static str>, error: String) {
        let place = branch.unwrap_or("handler");
        log::warn!(id = key.id.as_str(); "{place}: {}", escape(&error));
        let mut state = self.state.lock();
        state.subjects.entry(key.id.clone()).or_default().trouble = Some((branch, error));
    }

    fn observed(&self, name: &str, key: &DeliveryKey, event: &Event) {
        let known = {
            let mut state = self.state.lock();
            match is_end(event) {
                true => state.subjects.remove(&key.id),
                false => state.subjects.get(&key.id).cloned(),
            }
            .unwrap_or_default()
        };
        let mut more = match event {
            Event::Retried { after, .. } | Event::Postponed { after, .. } => {
                json!({ "after_ms": u64::try_from(after.as_millis()).unwrap_or(u64::MAX) })
            }
            Event::DeadLettered { reason, .. } => json!({ "reason": reason }),
            Event::SlowPoll { took, .. } => {
                json!({ "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX) })
            }
            _ => json!({}),
        };
        let mut text = match event {
            Event::Retried { after, .. } => format!("again in {} ms", after.as_millis()),
            Event::DeadLettered { reason, .. } => reason.clone(),
            Event::SlowPoll { took, .. } => format!("one poll took {} ms", took.as_millis()),
            _ => String::new(),
        };
        if let (Event::Retried { .. } | Event::Postponed { .. }, Some((branch, error))) =
            (event, &known.trouble)
        {
            more["branch"] = json!(branch);
            more["error"] = json!(error);
            text = format!("{error}; {text}");
        }
        let target = known.target.as_ref().map(Target::as_str);
        let subject = Subject {
            id: Some(key.id.as_str()),
            target,
            attempt: Some(key.attempt),
        };
        self.tell(name, &subject, &text, more);
    }

    fn tell(&self, name: &str, subject: &Subject<'_>, text: &str, more: Value) {
        match self.style {
            Style::Json => {
                let mut line = Map::new();
                line.insert("event".to_owned(), json!(name));
                line.insert("id".to_owned(), json!(subject.id));
                line.insert("target".to_owned(), json!(subject.target));
                line.insert("attempt".to_owned(), json!(subject.attempt));
                line.insert("at".to_owned(), json!(rfc3339(Timestamp::now())));
                if let Value::Object(more) = more {
                    line.extend(more);
                }
                self.stdout.json(&line);
            }
            Style::Lines | Style::Live => {
                if !QUIET.contains(&name) {
                    self.person(name, subject, text);
                }
            }
        }
    }

    fn person(&self, name: &str, subject: &Subject<'_>, text: &str) {
        let now = jiff::Zoned::now().strftime("%H:%M:%S%.3f").to_string();
        let target = escape(subject.target.unwrap_or("-"));
        let id = subject
            .id
            .map_or_else(String::new, |id| format!("  [{}]", escape(id)));
        let line = format!("{now}  {name:<13} {target:<12} {}{id}", escape(text));
        let line = line.trim_end();
        if self.style == Style::Live {
            let progress = &self.state.lock().progress;
            self.stdout.text(&format!("{CLEAR_LINE}{line}\n{progress}"));
        } else {
            self.stdout.line(line);
        }
    }
}

fn subject<'a>(delivery: &'a Delivery, target: &'a Target) -> Subject<'a> {
    Subject {
        id: Some(delivery.id().as_str()),
        target: Some(target.as_str()),
        attempt: Some(delivery.attempt()),
    }
}

/// The event's name in the JSON contract.
fn name(event: &Event) -> Option<&'static str> {
    match event {
        Event::Received(_) => Some("received"),
        Event::Retried { .. } => Some("retried"),
        Event::Postponed { .. } => Some("postponed"),
        Event::Acked(_) => Some("acked"),
        Event::Nacked { .. } => Some("nacked"),
        Event::Released(_) => Some("released"),
        Event::DeadLettered { .. } => Some("dead_lettered"),
        Event::Extended(_) => Some("extended"),
        Event::SlowPoll { .. } => Some("slow_poll"),
        Event::LeaseLost(_) => Some("lease_lost"),
        _ => None,
    }
}

/// Whether the delivery has ended with this event.
fn is_end(event: &Event) -> bool {
    matches!(
        event,
        Event::Acked(_)
            | Event::Nacked { .. }
            | Event::Released(_)
            | Event::DeadLettered { .. }
            | Event::Expired(_)
            | Event::Abandoned(_)
    )
}

/// What a person need not see of every message.
const QUIET: &[&str] = &["received", "postponed", "acked", "nacked", "extended"];
