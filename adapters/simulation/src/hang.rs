//! Why a run ends without what it was to come to.

use std::error::Error;
use std::fmt;

use mayhem_core::Instant;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise; shrinking keeps it.
    pub invariant: &'static str,
    /// What happened, for a person.
    pub detail: String,
    /// When.
    pub at: Instant,
}

/// Why a run ended without its future being done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hang {
    /// Nothing can run and no timer is set: what is left waits for ever.
    Deadlock {
        /// When it was noticed.
        at: Instant,
        /// The names of the tasks that are left.
        waiting: Vec<String>,
    },
    /// A promise was broken: see [`Simulation::violate`](crate::Simulation::violate).
    Violated(Violation),
    /// There is more to do beyond the time that was given: see
    /// [`Simulation::run_until`](crate::Simulation::run_until).
    Endless {
        /// When the next of it is.
        at: Instant,
        /// The names of the tasks that are left.
        running: Vec<String>,
    },
    /// Two million polls went by while time stood still.
    Livelock {
        /// The instant at which time stands.
        at: Instant,
        /// The names of the tasks that are left.
        running: Vec<String>,
    },
}

impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadlock { waiting, .. } => {
                let waiting = waiting.join(", ");
                write!(f, "nothing can run and no timer is set; waiting: {waiting}")
            }
            Self::Violated(violation) => violation.fmt(f),
            Self::Endless { running, .. } => {
                write!(f, "there is no end to these: {}", running.join(", "))
            }
            Self::Livelock { running, .. } => {
                write!(
                    f,
                    "time stands still while these run: {}",
                    running.join(", ")
                )
            }
        }
    }
}

impl Error for Hang {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at - Instant::ZERO;
        write!(f, "{} at {at:?}: {}", self.invariant, self.detail)
    }
}
