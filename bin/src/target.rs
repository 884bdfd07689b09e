//! The name of a host that may be restarted.
//!
//! A target is only ever a key into the inventory of the config. Names arrive from strangers, so
//! there is one way to make a [`Target`], and it knows the whole grammar: no leading dash (an
//! option for somebody's argv), no slash, no space, no upper case, nothing outside ASCII.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The longest name, in bytes: as long as a host name may be.
pub const TARGET_BYTES_MAX: usize = 253;

/// A well-formed target name: `[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?`.
///
/// Well-formed does not mean known: ask [`Config::lookup`](crate::config::Config::lookup).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(Arc<str>);

impl Target {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without repeating the name: it may be hostile.
    pub fn parse(name: &str) -> Result<Self, TargetError> {
        if name.is_empty() {
            return Err(TargetError::Empty);
        }
        if name.len() > TARGET_BYTES_MAX {
            return Err(TargetError::TooLong);
        }
        let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = name.as_bytes();
        if let Some(position) = bytes
            .iter()
            .position(|&byte| !edge(byte) && !matches!(byte, b'.' | b'_' | b'-'))
        {
            return Err(TargetError::Character { position });
        }
        if !edge(bytes[0]) {
            return Err(TargetError::Start);
        }
        if !edge(bytes[bytes.len() - 1]) {
            return Err(TargetError::End);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Why a name is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetError {
    /// Nothing is there.
    Empty,
    /// Longer than [`TARGET_BYTES_MAX`].
    TooLong,
    /// A character outside `a-z 0-9 . _ -`.
    Character {
        /// Its first byte, counted from 0.
        position: usize,
    },
    /// It does not start with a letter or a digit.
    Start,
    /// It does not end with a letter or a digit.
    End,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a target name is empty"),
            Self::TooLong => write!(f, "a target name is at most {TARGET_BYTES_MAX} bytes long"),
            Self::Character { position } => write!(
                f,
                "a target name has only a-z, 0-9, '.', '_' and '-' (see byte {})",
                position + 1
            ),
            Self::Start => f.write_str("a target name starts with a-z or 0-9"),
            Self::End => f.write_str("a target name ends with a-z or 0-9"),
        }
    }
}

impl Error for TargetError {}

#[cfg(test)]
mod tests;
