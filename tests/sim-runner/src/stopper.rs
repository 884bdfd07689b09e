//! The observer of a life's consumer: counts what it is told of, and stops the consumer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mayhem_core::{Control, Event, Plan};
use mayhem_sim::Checker;

use crate::handler::panic_as_planned;
use crate::output::say;
use crate::totals::name_of;

/// Stops a consumer from within its observer.
pub(crate) struct Stopper {
    /// After how many more events, and how.
    pub(crate) stop: Option<(u64, Plan)>,
    /// After how many more it panics.
    pub(crate) panic: Option<u64>,
    pub(crate) checker: Checker,
    pub(crate) told: Told,
    /// Whether every event is printed.
    pub(crate) is_told: bool,
}

/// What was told of, by name.
pub(crate) type Told = Arc<Mutex<BTreeMap<&'static str, u64>>>;

impl Stopper {
    pub(crate) fn see(&mut self, event: &Event, control: &Mutex<Option<Control>>) {
        if self.is_told {
            say(format_args!("    told {event:?}"));
        }
        if let Some(name) = name_of(event) {
            self.count(name);
        }
        if let Some(left) = self.panic {
            self.panic = left.checked_sub(1);
            if left == 0 {
                self.count("observer panicked");
                self.checker.observer_panics();
                panic_as_planned();
            }
        }
        let Some((count, plan)) = self.stop else {
            return;
        };
        self.stop = count.checked_sub(1).map(|left| (left, plan));
        if count == 0
            && let Some(control) = control.lock().expect("as above").as_ref()
        {
            self.checker.stopped(&plan);
            control.stop(plan);
        }
    }

    fn count(&self, name: &'static str) {
        let mut told = self.told.lock().expect("nobody panics with it");
        *told.entry(name).or_default() += 1;
    }
}
