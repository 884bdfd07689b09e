//! One table of the document: which keys it may have, and how their values are read.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration;
use super::findings::{Findings, closest};

/// A table whose keys are all known.
pub(super) struct Section<'d, 'i> {
    /// What the operator calls it, for messages.
    pub(super) place: String,
    /// Where it begins.
    pub(super) span: Range<usize>,
    table: &'d DeTable<'i>,
}

impl<'d, 'i> Section<'d, 'i> {
    /// Takes `value` as a table and reports every key that is not in `known`.
    pub(super) fn open(
        findings: &mut Findings<'_>,
        place: &str,
        value: &'d Spanned<DeValue<'i>>,
        known: &[&str],
    ) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            let found = value.get_ref().type_str();
            let message = format!("{place} is a table with keys, not {}", a(found));
            findings.problem(value.span(), &message, None);
            return None;
        };
        Some(Self::over(findings, place, table, value.span(), known))
    }

    /// The same for a table that is known to be one.
    pub(super) fn over(
        findings: &mut Findings<'_>,
        place: &str,
        table: &'d DeTable<'i>,
        span: Range<usize>,
        known: &[&str],
    ) -> Self {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let near = closest(name, known.iter().copied());
            let elsewhere = HOMES.iter().find(|(_, keys)| keys.contains(&name));
            let message = match (near, elsewhere) {
                (None, Some((home, _))) if *home != place => {
                    format!("unknown key `{name}` in {place}; it belongs to {home}")
                }
                _ => format!("unknown key `{name}` in {place}"),
            };
            findings.problem(key.span(), &message, near);
        }
        Self {
            place: place.to_owned(),
            span,
            table,
        }
    }

    pub(super) fn value(&self, key: &str) -> Option<&'d Spanned<DeValue<'i>>> {
        self.table.get(key)
    }

    /// Where a key's value is, or else the table.
    pub(super) fn span_of(&self, key: &str) -> Range<usize> {
        self.value(key)
            .map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Reports that `key` is not there.
    pub(super) fn missing(&self, findings: &mut Findings<'_>, key: &str, advice: &str) {
        let message = format!("`{key}` is missing in {}; {advice}", self.place);
        findings.missing(self.span.clone(), &message);
    }

    /// Reports what is wrong with the value of `key`.
    pub(super) fn wrong(&self, findings: &mut Findings<'_>, key: &str, what: &str) {
        let message = format!("`{key}` in {}: {what}", self.place);
        findings.problem(self.span_of(key), &message, None);
    }

    pub(super) fn string(&self, findings: &mut Findings<'_>, key: &str) -> Option<&'d str> {
        self.typed(findings, key, "a string", DeValue::as_str)
    }

    pub(super) fn boolean(&self, findings: &mut Findings<'_>, key: &str) -> Option<bool> {
        self.typed(findings, key, "true or false", DeValue::as_bool)
    }

    pub(super) fn integer<N: TryFrom<i64>>(
        &self,
        findings: &mut Findings<'_>,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> Option<N> {
        let integer = self.typed(findings, key, "a number", DeValue::as_integer)?;
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.filter(|number| range.contains(number)) {
            Some(number) => N::try_from(number).ok(),
            None => {
                let (least, most) = (range.start(), range.end());
                self.wrong(findings, key, &format!("expected {least} to {most}"));
                None
            }
        }
    }

    /// A length of time of at least `least`.
    pub(super) fn duration(
        &self,
        findings: &mut Findings<'_>,
        key: &str,
        least: Duration,
    ) -> Option<Duration> {
        let text = self.typed(findings, key, "a time such as \"25s\"", DeValue::as_str)?;
        match duration::parse(text) {
            Ok(length) if length >= least => Some(length),
            Ok(_) => {
                let least = duration::show(least);
                self.wrong(findings, key, &format!("expected {least} or longer"));
                None
            }
            Err(expected) => {
                self.wrong(findings, key, &expected);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word(
        &self,
        findings: &mut Findings<'_>,
        key: &str,
        words: &[&'static str],
    ) -> Option<&'static str> {
        let given = self.string(findings, key)?;
        let found = words.iter().find(|word| **word == given);
        if found.is_none() {
            let choice = words.join("\" or \"");
            let message = format!("`{key}` in {} is \"{choice}\", not \"{given}\"", self.place);
            let meant = closest(given, words.iter().copied());
            findings.problem(self.span_of(key), &message, meant);
        }
        found.copied()
    }

    /// A list of strings, each with its place.
    pub(super) fn strings(
        &self,
        findings: &mut Findings<'_>,
        key: &str,
    ) -> Option<Vec<(&'d str, Range<usize>)>> {
        let list = self.typed(findings, key, "a list of strings", DeValue::as_array)?;
        let mut strings = Vec::with_capacity(list.len());
        for item in list.iter() {
            let Some(text) = item.get_ref().as_str() else {
                let found = a(item.get_ref().type_str());
                let message = format!("`{key}` in {}: expected a string, not {found}", self.place);
                findings.problem(item.span(), &message, None);
                return None;
            };
            strings.push((text, item.span()));
        }
        Some(strings)
    }

    fn typed<T>(
        &self,
        findings: &mut Findings<'_>,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'d DeValue<'i>) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?.get_ref();
        let read = read(value);
        if read.is_none() {
            let found = a(value.type_str());
            self.wrong(findings, key, &format!("expected {expected}, not {found}"));
        }
        read
    }
}

fn a(kind: &str) -> String {
    match kind {
        "integer" | "array" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

pub(super) const DOCUMENT: &[&str] = &["service", "source", "policy", "group", "listen"];
pub(super) const SERVICE: &[&str] = &["state", "grace", "armed"];
pub(super) const SOURCE: &[&str] = &[
    "kind",
    "lease",
    "max_lease",
    "max_in_flight",
    "max_deliveries",
];
pub(super) const POLICY: &[&str] = &["cooldown", "max_concurrent", "spacing", "settle", "timeout"];
pub(super) const GROUP: &[&str] = &[
    "name",
    "armed",
    "targets",
    "restarter",
    "probe",
    "boot_id",
    "cooldown",
    "max_concurrent",
    "spacing",
    "settle",
    "timeout",
];
pub(super) const PROCESS: &[&str] = &["kind", "argv", "count", "first_port"];
pub(super) const COMMAND: &[&str] = &["kind", "argv", "timeout"];
pub(super) const PROBE: &[&str] = &["kind", "url", "every", "expect", "timeout"];
pub(super) const BOOT_ID: &[&str] = &["argv"];
pub(super) const LISTEN: &[&str] = &["control"];

/// Where a key that stands in the wrong place probably belongs.
const HOMES: &[(&str, &[&str])] = &[
    ("[service]", SERVICE),
    ("[source]", SOURCE),
    ("[policy]", POLICY),
    ("a process restarter", PROCESS),
    ("[[group]]", GROUP),
    ("a probe", PROBE),
    ("[listen]", LISTEN),
];
