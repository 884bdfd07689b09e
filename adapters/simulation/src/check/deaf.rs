//! A consumer whose observer has panicked: it tells nothing any more, and stops in order.
//!
//! What is known of deliveries is known from what is told. From here on the checker looks only at
//! what the broker and the handlers see, and at the report.

use std::time::Duration;

use mayhem_core::{DeliveryKey, Failure, Phase, Plan, Report, Stats, Verdict};

use super::checks::{Checks, End, Generation, Mark, Start};
use super::facts::broken;
use super::{Broken, Checker, Time};
use crate::{Fact, SettleKind};

impl Checker {
    /// The observer panics, which it is to tell before it does: the consumer tells nothing any
    /// more, and stops as after a failure.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_core::Event;
    /// use mayhem_sim::Checker;
    ///
    /// /// For `on_event`: panics when a lease is lost.
    /// fn strict(checker: Checker) -> impl FnMut(&Event) + Send {
    ///     let mut observer = checker.observer();
    ///     move |event| {
    ///         observer(event);
    ///         if matches!(event, Event::LeaseLost(_)) {
    ///             checker.observer_panics();
    ///             panic!("planned");
    ///         }
    ///     }
    /// }
    /// ```
    pub fn observer_panics(&self) {
        self.check(|checks, now| {
            checks.deaf_at = Some(now);
            Ok(())
        });
    }
}

impl Checks {
    /// Whether nothing is told any more.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf_at.is_some()
    }

    /// Something is told: not to an observer that has panicked.
    pub(super) fn check_heard(&self) -> Result<(), Broken> {
        if self.is_deaf() {
            let detail = "an observer is told after its panic".to_owned();
            return Err(Broken("told once", detail));
        }
        Ok(())
    }

    /// The consumer stops, and nothing starts any more.
    pub(super) fn check_stopping(&self, stats: &Stats, time: Time) -> Result<(), Broken> {
        let is_late = self.deaf_at.is_some_and(|at| time.is_well_after(at));
        if is_late && stats.phase == Phase::Running && !self.is_closed {
            let detail = format!("it goes on though its observer panicked: {stats:?}");
            return Err(Broken("no failure", detail));
        }
        Ok(())
    }

    /// An ack is asked for: some handler of the message must have come to one.
    pub(super) fn settled_unheard(&self, fact: &Fact, kind: SettleKind) -> Result<(), Broken> {
        let message = self.messages.get(&fact.id);
        let mut generations = message.into_iter().flat_map(|it| &it.generations);
        let is_acked = |it: &Generation| {
            let end = it.end.as_ref().map(|(end, _)| end);
            it.holds == 0 && matches!(end, Some(End::Verdict(Verdict::Ack)))
        };
        if kind == SettleKind::Ack && !generations.any(is_acked) {
            return broken("no early ack", fact, "no handler has come to it");
        }
        Ok(())
    }

    /// What is left to be said at the end.
    pub(super) fn end_unheard(&mut self, report: &Report, time: Time) -> Result<(), Broken> {
        let is_right = match &report.error {
            Some(Failure::ObserverPanicked(message)) => message == "planned",
            Some(Failure::Broker(_)) => self.promises.may_break,
            _ => false,
        };
        if !is_right {
            let detail = format!("the observer panicked, and not {:?}", report.error);
            return Err(Broken("no failure", detail));
        }
        if !report.is_balanced() {
            return Err(Broken("conservation", format!("{:?}", report.totals)));
        }
        let closed = self.hooks.iter().find_map(|hook| hook.began);
        let plan = self.check_stopped(closed.unwrap_or(time))?;
        let totals = &report.totals;
        // What was given up may have been under way, and was never counted.
        let is_orderly = totals.expired + totals.abandoned == 0 && plan.flush >= FLUSH_MIN;
        if !is_orderly {
            self.unfinished.push(self.life);
        } else if self.promises.is_honest && self.leased > 0 {
            let detail = format!("{} are, though nothing was lost", self.leased);
            return Err(Broken("nothing held", detail));
        }
        self.check_hooks(report, time)
    }

    /// It takes no longer than its plan for failures, or for the stop that came before; returns
    /// which it was.
    fn check_stopped(&self, closed: Mark) -> Result<Plan, Broken> {
        let deaf_at = self.deaf_at.unwrap_or_default();
        let before = self.stops.first().filter(|(at, _)| at.now <= deaf_at.now);
        let (since, plan) = before
            .copied()
            .unwrap_or((deaf_at, self.promises.failure_plan));
        let allowed = plan.drain + plan.grace + plan.flush + (closed.stolen - since.stolen);
        let took = closed.now - since.now;
        if took > allowed {
            let detail = format!("after a panic of the observer: {took:?} of {allowed:?}");
            return Err(Broken("stop in time", detail));
        }
        Ok(plan)
    }

    /// One that was given away before begins after all.
    pub(super) fn start_unheard(&mut self, name: &DeliveryKey, time: Time) -> Start {
        let generations = self.messages.get_mut(&name.id);
        let generations = generations.map(|it| &mut it.generations);
        let waits = |it: &Generation| !it.is_started && it.attempt == name.attempt;
        let mut start = Start {
            life: self.life,
            generation: usize::MAX,
        };
        if let Some(generations) = generations
            && let Some(place) = generations.iter().rposition(waits)
        {
            (generations[place].is_started, generations[place].started) = (true, time);
            start.generation = place;
        }
        start
    }
}

/// Within this time a broker that does all that it should has answered.
const FLUSH_MIN: Duration = Duration::from_secs(5);
