//! What is counted is what was told.

use mayhem_core::{Event, Totals};

use super::Broken;
use super::checks::Checks;

/// How often each thing was told that the totals count as well, beside the ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    shed: u64,
    extended: u64,
    retried: u64,
    postponed: u64,
    redelivered: u64,
    panicked: u64,
    slow_polls: u64,
    timed_out: u64,
    poisoned: u64,
}

impl Told {
    pub(super) fn add(&mut self, event: &Event) {
        match event {
            Event::Received(key) => self.redelivered += u64::from(key.attempt > 1),
            Event::Shed(_) => self.shed += 1,
            Event::Extended(_) => self.extended += 1,
            Event::Retried { .. } => self.retried += 1,
            Event::Postponed { .. } => self.postponed += 1,
            Event::HandlerPanicked { .. } => self.panicked += 1,
            Event::SlowPoll { .. } => self.slow_polls += 1,
            Event::HandlerTimedOut { .. } => self.timed_out += 1,
            Event::Poisoned { .. } => self.poisoned += 1,
            _ => {}
        }
    }
}

impl Checks {
    pub(super) fn check_totals(&self, totals: &Totals) -> Result<(), Broken> {
        let counted = Told {
            shed: totals.shed,
            extended: totals.extended,
            retried: totals.retried,
            postponed: totals.postponed,
            redelivered: totals.redelivered,
            panicked: totals.panicked,
            slow_polls: totals.slow_polls,
            timed_out: totals.timed_out,
            poisoned: totals.poisoned,
        };
        if counted == self.told {
            return Ok(());
        }
        let detail = format!("{counted:?}, but the events say {:?}", self.told);
        Err(Broken("told and counted", detail))
    }
}
