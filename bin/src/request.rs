//! One request: restart this target, for this reason.
//!
//! A payload is one flat JSON object of a few short strings. It arrives from whoever may write to
//! the queue, so [`Request::parse`] believes nothing: size, shape, version, target grammar and
//! every character of the free texts are checked before a [`Request`] exists. Whether the target is
//! known is not asked here; the inventory decides that.

use std::error::Error;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::target::Target;

/// The longest payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// The longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 1024;

/// The longest name of a requester, in bytes.
pub const BY_BYTES_MAX: usize = 256;

/// The longest [`Malformed::detail`], in bytes.
pub const DETAIL_BYTES_MAX: usize = 240;

/// A well-formed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The message's id in the queue, a UUID as text; not part of the payload.
    pub id: String,
    /// What to restart.
    pub target: Target,
    /// Why, in the requester's words; one line, at most [`REASON_BYTES_MAX`].
    pub reason: String,
    /// Who asked; one line, at most [`BY_BYTES_MAX`].
    pub by: String,
    /// When it was asked, by the requester's clock.
    pub requested_at: Timestamp,
}

impl Request {
    /// Makes a request with a fresh id.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when `reason` or `by` is something that [`Request::parse`] would refuse.
    pub fn new(
        target: Target,
        reason: &str,
        by: &str,
        requested_at: Timestamp,
    ) -> Result<Self, Malformed> {
        check_text("reason", reason, REASON_BYTES_MAX)?;
        check_text("by", by, BY_BYTES_MAX)?;
        Ok(Self {
            id: Uuid::now_v7().to_string(),
            target,
            reason: reason.to_owned(),
            by: by.to_owned(),
            requested_at,
        })
    }

    /// Reads the payload of the message `id`.
    ///
    /// # Errors
    ///
    /// [`Malformed`], whose detail repeats no more than a few characters of the payload, escaped.
    pub fn parse(id: &str, payload: &[u8]) -> Result<Self, Malformed> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Malformed::new(&format!(
                "{} bytes are more than the limit of {PAYLOAD_BYTES_MAX}",
                payload.len()
            )));
        }
        // Serde would read a struct from an array of its values too, which is not our format.
        if payload.trim_ascii_start().first() != Some(&b'{') {
            return Err(Malformed::new("not a JSON object"));
        }
        // Depth needs no counter: every known field is a scalar and an unknown one is refused at
        // its name, so the parser never enters a second level.
        let wire: Wire =
            serde_json::from_slice(payload).map_err(|error| Malformed::new(&error.to_string()))?;
        if wire.v != VERSION {
            return Err(Malformed::new(&format!(
                "version {} of the format is not the known one, {VERSION}",
                wire.v
            )));
        }
        let target = Target::parse(&wire.target)
            .map_err(|error| Malformed::new(&format!("target: {error}")))?;
        check_text("reason", &wire.reason, REASON_BYTES_MAX)?;
        check_text("by", &wire.by, BY_BYTES_MAX)?;
        Ok(Self {
            id: id.to_owned(),
            target,
            reason: wire.reason,
            by: wire.by,
            requested_at: wire.requested_at,
        })
    }

    /// The payload that [`Request::parse`] reads back.
    pub fn payload(&self) -> Vec<u8> {
        let wire = Wire {
            v: VERSION,
            target: self.target.to_string(),
            reason: self.reason.clone(),
            by: self.by.clone(),
            requested_at: self.requested_at,
        };
        // A struct of strings and a timestamp has no value that JSON cannot hold.
        serde_json::to_vec(&wire).expect("a request is always JSON")
    }
}

/// Why a payload is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// One line, escaped, at most [`DETAIL_BYTES_MAX`] long.
    pub detail: String,
}

impl Malformed {
    fn new(text: &str) -> Self {
        let mut detail = String::new();
        for escaped in text.chars().map(|character| match character {
            // Left as they are: an escaped quote only makes the line harder to read.
            '"' | '\'' => character.to_string(),
            _ => character.escape_debug().to_string(),
        }) {
            if detail.len() + escaped.len() + ELLIPSIS.len() > DETAIL_BYTES_MAX {
                detail.push_str(ELLIPSIS);
                break;
            }
            detail.push_str(&escaped);
        }
        Self { detail }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl Error for Malformed {}

/// The payload as it travels.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u32,
    target: String,
    reason: String,
    by: String,
    requested_at: Timestamp,
}

/// Refuses what could forge a log line or hide text in one: these strings are shown to people.
fn check_text(field: &str, text: &str, bytes_max: usize) -> Result<(), Malformed> {
    if text.len() > bytes_max {
        return Err(Malformed::new(&format!(
            "{field}: {} bytes are more than the limit of {bytes_max}",
            text.len()
        )));
    }
    match text.chars().find(|&character| is_invisible(character)) {
        None => Ok(()),
        Some(character) => Err(Malformed::new(&format!(
            "{field}: character U+{:04X} is not allowed",
            u32::from(character)
        ))),
    }
}

/// Control characters, line and paragraph separators, and those that change the direction of text.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The only version of the format there is.
const VERSION: u32 = 1;

const ELLIPSIS: &str = "…";

#[cfg(test)]
mod tests;
