//! The totals, printed last: what became of every delivery that this process had.

use mayhem_bridge::ThreadInfo;
use mayhem_core::Totals;
use serde::Serialize;
use serde_json::{Value, json};

use super::events::{Announcer, Style, Verdicts};
use crate::output::Table;

/// The last line of `run` and `demo`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    event: &'static str,
    received: u64,
    acked: u64,
    nacked: u64,
    released: u64,
    dead_lettered: u64,
    expired: u64,
    abandoned: u64,
    merged: u64,
    outstanding: u64,
    extended: u64,
    redelivered: u64,
    #[serde(flatten)]
    verdicts: Verdicts,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<u64>,
    threads: Vec<Value>,
    balanced: bool,
}

impl Summary {
    pub(super) fn new(
        totals: &Totals,
        outstanding: u64,
        verdicts: Verdicts,
        threads: Vec<Value>,
    ) -> Self {
        Self {
            event: "summary",
            received: totals.received,
            acked: totals.acked,
            nacked: totals.nacked,
            released: totals.released,
            dead_lettered: totals.dead_lettered,
            expired: totals.expired,
            abandoned: totals.abandoned,
            merged: totals.merged,
            outstanding,
            extended: totals.extended,
            redelivered: totals.redelivered,
            verdicts,
            published: None,
            threads,
            balanced: totals.ended() + outstanding == totals.received,
        }
    }

    /// Adds what the demo's publisher did: how many ids, and whether each is accounted for.
    pub(super) fn with_published(mut self, count: u64, is_accounted: bool) -> Self {
        self.published = Some(count);
        self.balanced &= is_accounted;
        self
    }

    /// Whether every delivery, and in the demo every published request, is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.balanced
    }

    pub(super) fn print(&self, announcer: &Announcer) {
        match announcer.style() {
            Style::Json => announcer.stdout().json(self),
            Style::Lines | Style::Live => {
                announcer.progress("");
                announcer.stdout().text(&self.tables());
            }
        }
    }

    fn tables(&self) -> String {
        let mut requests = Table::new(["requests", ""]);
        let published = self.published.map(|count| ("published", count));
        let verdicts = &self.verdicts;
        let rows = [
            ("restarted", verdicts.restarted),
            ("blocked", verdicts.blocked),
            ("failed", verdicts.failed),
            ("lost", verdicts.lost),
        ];
        for (name, count) in published.into_iter().chain(rows) {
            requests.row([name, &count.to_string()]);
        }
        let mut deliveries = Table::new(["deliveries", ""]);
        for (name, count) in [
            ("received", self.received),
            ("acked", self.acked),
            ("nacked", self.nacked),
            ("released", self.released),
            ("dead-lettered", self.dead_lettered),
            ("expired", self.expired),
            ("abandoned", self.abandoned),
            ("merged", self.merged),
            ("outstanding", self.outstanding),
        ] {
            deliveries.row([name, &count.to_string()]);
        }
        let verdict = if self.balanced {
            "the totals add up"
        } else {
            "THE TOTALS DO NOT ADD UP"
        };
        format!("\n{requests}\n{deliveries}\n{verdict}\n")
    }
}

/// The process's threads, as the JSON contract has them.
pub(crate) fn threads() -> Vec<Value> {
    mayhem_bridge::inventory().iter().map(thread).collect()
}

fn thread(thread: &ThreadInfo) -> Value {
    let age_ms = thread.age().map(|age| age.as_millis());
    json!({
        "name": thread.name,
        "owner": thread.owner,
        "job": thread.job,
        "state": thread.state.to_string(),
        "age_ms": age_ms.and_then(|age_ms| u64::try_from(age_ms).ok()),
        "os_id": thread.os_id,
    })
}
