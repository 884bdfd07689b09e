//! How the program ends: its exit codes, and the one error type every command returns.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::output;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: it failed, or a restart failed or was lost.
    Error,
    /// 2: wrong usage, a wrong config, or an unknown target.
    Usage,
    /// 3: policy blocked the restart that was waited for.
    Blocked,
    /// 4: the store cannot be used, or another daemon holds it.
    Store,
    /// 5: timed out waiting.
    TimedOut,
    /// 6: the drain's deadline passed or the drain was cancelled; work was handed back.
    HandedBack,
    /// 130: a third signal, and that was SIGINT.
    Interrupted,
    /// 143: a third signal, and that was SIGTERM (or SIGHUP).
    Terminated,
}

impl Exit {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::Blocked => 3,
            Self::Store => 4,
            Self::TimedOut => 5,
            Self::HandedBack => 6,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not end with [`Exit::Done`], in one line for a person.
///
/// The line says what, where and what to do. It is escaped as a whole: whatever was put in from
/// outside cannot move the cursor or add a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure that ends the program with `exit`; an empty message prints nothing (the command
    /// has said it all on stdout).
    pub fn new(exit: Exit, message: impl AsRef<str>) -> Self {
        Self {
            exit,
            message: output::escape(message.as_ref()).into_owned(),
        }
    }

    /// Exit 1.
    pub fn failed(message: impl AsRef<str>) -> Self {
        Self::new(Exit::Error, message)
    }

    /// Exit 2.
    pub fn usage(message: impl AsRef<str>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Exit 4.
    pub fn store(message: impl AsRef<str>) -> Self {
        Self::new(Exit::Store, message)
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The line, escaped; empty when there is nothing more to say.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests;
