//! What follows a stop: once each, in its order, when nothing is handled any more, and in time.

use std::future::Future;
use std::time::Duration;

use mayhem_core::{Cause, HookOutcome, Report};

use super::checks::{Checks, Mark};
use super::{Broken, Checker, Time};

/// A hook as the builder was told.
pub(super) struct Hook {
    name: &'static str,
    within: Duration,
    pub(super) began: Option<Mark>,
    ended: Option<(Ended, Mark)>,
}

/// What a hook has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    Done,
    Failed,
    Panicked,
    Dropped,
}

/// A hook that has begun; dropped early, it was given up or has panicked.
struct Begun {
    checker: Checker,
    index: usize,
    is_over: bool,
}

impl Checker {
    /// Watches a hook, to be given to the builder's `after_stop` with the same name and time, in
    /// the same order, before [`begin`](Self::begin).
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_core::{Consumer, Delivery, Verdict};
    /// use mayhem_sim::{Checker, Promises, SimBroker, SimSettings, Simulation};
    /// use std::time::Duration;
    ///
    /// let sim = Simulation::new(3);
    /// let broker = SimBroker::new(&sim, SimSettings::default());
    /// broker.finish();
    /// let checker = Checker::new(&sim, &broker);
    /// let within = Duration::from_secs(5);
    /// let flush = checker.hook("flush", within, async { Ok(()) });
    ///
    /// let consumer = Consumer::builder()
    ///     .broker(broker)
    ///     .clock(sim.clock())
    ///     .handler(async |_: &Delivery| Verdict::Ack)
    ///     .on_event(checker.observer())
    ///     .after_stop("flush", within, flush)
    ///     .build();
    /// checker.begin(&sim, &consumer.control(), Promises::default());
    /// let report = sim.run(consumer.run()).expect("no promise is broken");
    /// checker.end(&report);
    /// assert_eq!(checker.violation(), None);
    /// ```
    pub fn hook(
        &self,
        name: &'static str,
        within: Duration,
        work: impl Future<Output = Result<(), Cause>> + Send + 'static,
    ) -> impl Future<Output = Result<(), Cause>> + Send + 'static {
        let mut index = 0;
        self.check(|checks, _| {
            index = checks.hooks.len();
            checks.hooks.push(Hook {
                name,
                within,
                began: None,
                ended: None,
            });
            Ok(())
        });
        let checker = self.clone();
        async move {
            checker.check(|checks, now| checks.hook_begins(index, now));
            let mut begun = Begun {
                checker,
                index,
                is_over: false,
            };
            let result = work.await;
            let ended = if result.is_ok() {
                Ended::Done
            } else {
                Ended::Failed
            };
            begun.end(ended);
            result
        }
    }
}

impl Begun {
    fn end(&mut self, ended: Ended) {
        self.is_over = true;
        let index = self.index;
        self.checker
            .check(|checks, now| checks.hook_ends(index, ended, now));
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(match std::thread::panicking() {
                true => Ended::Panicked,
                false => Ended::Dropped,
            });
        }
    }
}

impl Checks {
    fn hook_begins(&mut self, index: usize, time: Time) -> Result<(), Broken> {
        let name = self.hooks[index].name;
        let broken = |detail: &str| Err(Broken("hooks in order", format!("{name} {detail}")));
        if self.is_deaf() {
            self.closed.get_or_insert(time);
        }
        if self.closed.is_none() {
            return broken("begins before the consumer is closed");
        }
        // Of those that were given up a task may still be running.
        if self.running > 0 && self.counts.abandoned() == 0 && !self.is_deaf() {
            return broken("begins while a handler runs");
        }
        if self.is_given_up(time) {
            return broken("begins though it was given up");
        }
        let is_next = |(other, hook): (usize, &Hook)| (other < index) == hook.ended.is_some();
        if !self.hooks.iter().enumerate().all(is_next) {
            return broken("begins before its turn");
        }
        self.hooks[index].began = Some(time);
        Ok(())
    }

    fn hook_ends(&mut self, index: usize, ended: Ended, time: Time) -> Result<(), Broken> {
        let (is_given_up, is_closed) = (self.is_given_up(time), self.is_closed);
        let Some(hook) = self.hooks.get_mut(index) else {
            return Ok(());
        };
        let Some(began) = hook.began else {
            return Ok(());
        };
        let (name, within) = (hook.name, hook.within);
        let took = time.now - began.now;
        let is_late = took > within + (time.stolen - began.stolen);
        hook.ended = Some((ended, time));
        if is_late && !is_closed {
            let detail = format!("{name} takes {took:?} of {within:?}");
            return Err(Broken("hooks in time", detail));
        }
        if is_given_up && !is_closed {
            let detail = format!("{name} goes on though it was given up");
            return Err(Broken("hooks in time", detail));
        }
        Ok(())
    }

    /// Whether the third stop is some time ago.
    fn is_given_up(&self, time: Time) -> bool {
        let third = self.stops.get(2);
        third.is_some_and(|(mark, _)| time.is_well_after(*mark))
    }

    /// The report says of each hook what it has come to, and comes when the last has ended.
    pub(super) fn check_hooks(&mut self, report: &Report, time: Time) -> Result<(), Broken> {
        let hooks = std::mem::take(&mut self.hooks);
        let may_give_up = self.stops.len() > 2;
        let mut over = self.closed;
        if report.hooks.len() != hooks.len() {
            let detail = format!("{} of {}", report.hooks.len(), hooks.len());
            return Err(Broken("hooks in order", detail));
        }
        for (told, hook) in report.hooks.iter().zip(&hooks) {
            let ended = hook.ended.as_ref();
            over = ended.map(|(_, mark)| *mark).or(over);
            let took = match (hook.began, ended) {
                (Some(began), Some((_, ended))) => ended.now - began.now,
                _ => Duration::ZERO,
            };
            let is_right = match (ended.map(|(ended, _)| ended), &told.outcome) {
                (None, HookOutcome::Skipped) => may_give_up,
                (Some(Ended::Done), HookOutcome::Done) => true,
                (Some(Ended::Failed), HookOutcome::Failed(_)) => true,
                (Some(Ended::Panicked), HookOutcome::Panicked(_)) => true,
                (Some(Ended::Dropped), HookOutcome::TimedOut) => took >= hook.within,
                (Some(Ended::Dropped), HookOutcome::Abandoned) => may_give_up,
                _ => false,
            };
            if told.name != hook.name || !is_right {
                let (name, within) = (hook.name, hook.within);
                let detail = format!("{name} came to {ended:?} in {took:?} of {within:?}: {told}");
                return Err(Broken("hooks in order", detail));
            }
        }
        if over.is_some_and(|over| time.is_well_after(over)) {
            let detail = "the consumer waits for nothing".to_owned();
            return Err(Broken("hooks in time", detail));
        }
        Ok(())
    }
}
