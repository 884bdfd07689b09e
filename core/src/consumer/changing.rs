//! Changes of a running consumer: pause and resume.
//!
//! A pause is no phase: it may come and go in one, and a stop goes through it.

use super::engine::Engine;
use crate::{Event, Phase};

impl Engine<'_> {
    /// Does what the control asked for; returns whether it asked for anything.
    pub(super) fn poll_changes(&mut self) -> bool {
        let Some(wanted) = self.shared.changes.take() else {
            return false;
        };
        if let Some(is_paused) = wanted.is_paused {
            self.pause(is_paused);
        }
        true
    }

    fn pause(&mut self, is_paused: bool) {
        if self.stats.is_paused == is_paused || self.stats.phase != Phase::Running {
            return;
        }
        self.stats.is_paused = is_paused;
        self.intake.ask_anew();
        // Nothing was to be settled in a pause: what is to be now is not late.
        self.observing.progress_at = self.observing.now;
        self.emit(|| {
            if is_paused {
                Event::Paused
            } else {
                Event::Resumed
            }
        });
    }
}
