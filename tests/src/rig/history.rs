//! What became of the requests, from `mandrill history --json`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::text;

/// All rows of the history.
#[derive(Clone, Debug)]
pub struct History {
    rows: Vec<Value>,
}

impl History {
    pub(super) fn new(rows: Vec<Value>) -> Self {
        Self { rows }
    }

    /// The rows, oldest or newest first as the program printed them.
    pub fn rows(&self) -> &[Value] {
        &self.rows
    }

    /// The row of a request.
    pub fn row(&self, id: &str) -> &Value {
        let found = self.rows.iter().find(|row| row["id"] == id);
        found.unwrap_or_else(|| panic!("no row for {id} in {:#?}", self.rows))
    }

    /// What became of a request.
    pub fn outcome(&self, id: &str) -> &str {
        text(&self.row(id)["outcome"])
    }

    /// What became of a request; `open` also while the history does not know it.
    pub fn outcome_or_open(&self, id: &str) -> &str {
        let found = self.rows.iter().find(|row| row["id"] == id);
        found.map_or("open", |row| text(&row["outcome"]))
    }

    /// How many requests ended in which way.
    pub fn outcomes(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for row in &self.rows {
            *counts.entry(text(&row["outcome"])).or_default() += 1;
        }
        counts
    }

    /// How many requests for `target` got as far as an intent that was carried out.
    pub fn started(&self, target: &str) -> usize {
        let is_started = |row: &&Value| {
            let outcome = text(&row["outcome"]);
            row["target"] == target && matches!(outcome, "verified" | "failed" | "lost")
        };
        self.rows.iter().filter(is_started).count()
    }

    /// Fails unless exactly the published requests are here, each once, each finished, and each
    /// verified one with a new identity of its own.
    pub fn assert_each_ended_once(&self, published: &[String]) {
        let ids: Vec<&str> = self.rows.iter().map(|row| text(&row["id"])).collect();
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), distinct.len(), "no request is listed twice");
        let published: BTreeSet<&str> = published.iter().map(String::as_str).collect();
        let missing: Vec<_> = published.difference(&distinct).collect();
        let invented: Vec<_> = distinct.difference(&published).collect();
        assert!(
            missing.is_empty() && invented.is_empty(),
            "{missing:?} {invented:?}"
        );
        let mut after = BTreeSet::new();
        for row in &self.rows {
            let outcome = text(&row["outcome"]);
            assert!(FINAL.contains(&outcome), "not a final outcome: {row}");
            if outcome == "verified" {
                let (old, new) = (&row["before"], &row["after"]);
                assert!(
                    old.is_object() && new.is_object() && old != new,
                    "a new identity: {row}"
                );
                assert!(
                    after.insert(new.to_string()),
                    "one restart, one verdict: {row}"
                );
            }
        }
    }
}

/// How a request can end.
const FINAL: &[&str] = &[
    "verified",
    "failed",
    "lost",
    "blocked",
    "unknown-target",
    "malformed",
];
