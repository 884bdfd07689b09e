//! What a consumer's events, its stats and its handlers must be like.

use std::time::Duration;

use mayhem_core::{Delivery, Event, Failure, MessageId, Phase, Plan, Report};

use super::checks::{Checks, Counts, ENDS, End, Generation, Mark, Promises, Start};
use super::poison::Spared;
use super::room::Weight;
use super::timeouts::Rung;
use super::{Broken, Time};

impl Checks {
    pub(super) fn begin(&mut self, promises: Promises, time: Time) {
        let Self {
            life,
            messages,
            leases,
            is_safe,
            unfinished,
            stolen_at,
            hooks,
            extend_count_max,
            ..
        } = std::mem::take(self);
        *self = Self {
            promises,
            life: life + 1,
            messages,
            leases,
            is_safe,
            unfinished,
            stolen_at,
            hooks,
            extend_count_max,
            ..Self::default()
        };
        for (_, message) in self.messages.iter_mut() {
            message.generations.clear();
            message.owners.clear();
            message.done_count = 0;
            message.open.clear();
            message.was_let_go = false;
            message.weight = Weight::default();
            message.spared = Spared::default();
        }
        self.set_rate(self.promises.rate, time);
    }

    pub(super) fn event(&mut self, event: &Event, time: Time) -> Result<(), Broken> {
        self.check_heard()?;
        self.told.add(event);
        match event {
            Event::Received(key) => self.received(&key.id, key.attempt, time),
            Event::Merged(key) => self.merged(key, time)?,
            Event::Poisoned { delivery, attempt } => {
                self.set_aside(delivery, time);
                self.check_poison(delivery, *attempt)?;
            }
            Event::Shed(delivery) => {
                self.set_aside(delivery, time);
                self.shed(delivery, time)?;
                self.note_shed(&delivery.id, time);
            }
            Event::Extended(key) => self.extended(key)?,
            Event::HandlerOverdue { delivery, .. } => self.rung(Rung::Overdue, delivery, time)?,
            Event::HandlerTimedOut { delivery, .. } => self.rung(Rung::TimedOut, delivery, time)?,
            Event::HandlerStuck { delivery, .. } => self.rung(Rung::Stuck, delivery, time)?,
            Event::SlowPoll { delivery, took } => self.slow_poll_told(delivery, *took)?,
            Event::ShieldPanicked { .. } => self.counts.shield_panics += 1,
            Event::LeaseLost(key) => {
                // It may have had a permit and a turn, and its task not begun.
                self.idle.end();
                self.lost(key, time)?;
            }
            Event::BrokerFailed {
                call, permanent, ..
            } => {
                if *permanent {
                    self.broken_at.get_or_insert(time);
                }
                self.call_told(*call, *permanent)?;
            }
            Event::HandlerPanicked { .. } => self.counts.panics += 1,
            Event::BranchFailed { .. } => self.counts.branch_failures += 1,
            Event::Phase(phase) => {
                if *phase < self.phase {
                    let phases = format!("from {:?} to {phase:?}", self.phase);
                    return Err(Broken("order of phases", phases));
                }
                self.phase = *phase;
                match phase {
                    Phase::Draining => self.draining = Some(time),
                    Phase::Closed => self.closed = Some(time),
                    _ => {}
                }
            }
            _ => self.changed(event, time)?,
        }
        if !matches!(event, Event::Received(_) | Event::LeaseLost(_)) {
            self.newest = 0;
        }
        let Some(key) = event.delivery() else {
            return Ok(());
        };
        let change = match end_of(event) {
            Some(end) => {
                self.counts.ends[end] += 1;
                self.leave_room(&key.id);
                self.ended(event, key)?;
                -1
            }
            None if matches!(event, Event::Received(_)) => {
                self.counts.received += 1;
                1
            }
            None => return Ok(()),
        };
        let message = self.messages.get_or_default(&key.id);
        let open = message.open.get(key.attempt).copied().unwrap_or_default() + change;
        message.open.insert(key.attempt, open);
        self.open_count += change;
        if open < 0 {
            let detail = format!("{key} ends more often than it was received");
            return Err(Broken("one end", detail));
        }
        Ok(())
    }

    pub(super) fn start(&mut self, delivery: &Delivery, time: Time) -> Result<Start, Broken> {
        let name = delivery.key();
        if self.is_closed {
            return Err(Broken("closed is closed", format!("{name} starts")));
        }
        if let Some(draining) = self.draining.or(self.deaf_at)
            && time.is_well_after(draining)
        {
            return Err(Broken("no start after stop", format!("{name} starts")));
        }
        self.running += 1;
        self.idle.end();
        if self.is_deaf() {
            return Ok(self.start_unheard(&name, time));
        }
        self.check_start(&name, time)?;
        let stolen_at = self.stolen_at.now;
        let message = self.messages.get_or_default(delivery.id());
        // One whose handler has ended unseen, in the task that runs it, is not looked for here.
        let mut generations = message.generations.iter();
        if generations.any(|it| it.is_started && it.end.is_none()) {
            return Err(Broken("in hand once", format!("{name} starts again")));
        }
        let waits = |it: &Generation| !it.is_started && it.attempt == delivery.attempt();
        let Some(generation) = message.generations.iter().rposition(waits) else {
            return Err(Broken("in hand once", format!("{name} was not received")));
        };
        message.generations[generation].is_started = true;
        message.generations[generation].started = time;
        let until = message.generations[generation].known.until;
        if time.now >= until && stolen_at < until {
            let detail = format!("{name} starts, though its lease ended at {until:?}");
            return Err(Broken("lost is lost", detail));
        }
        // A task may be polled for the first time when it is on a later attempt already.
        self.check_not_poison(delivery.id(), delivery.attempt())?;
        Ok(Start {
            life: self.life,
            generation,
        })
    }

    pub(super) fn poll(
        &self,
        start: &Start,
        delivery: &Delivery,
        remaining: Option<Duration>,
        time: Time,
    ) -> Result<(), Broken> {
        let id = delivery.id();
        if start.life != self.life || self.is_closed {
            return Err(Broken("closed is closed", format!("{id} is still handled")));
        }
        let message = self.messages.get(id);
        if let Some(generation) = message.and_then(|it| it.generations.get(start.generation)) {
            self.check_overdue(generation, delivery, time)?;
        }
        let remaining = remaining.unwrap_or_default();
        if !self.promises.keeps_leases || remaining.is_zero() {
            return Ok(());
        }
        let until = message.and_then(|message| message.until);
        if until.is_none_or(|until| time.now + remaining > until) {
            let detail = format!("{id}: {remaining:?} left, but it ends at {until:?}");
            return Err(Broken("lease shown", detail));
        }
        Ok(())
    }

    pub(super) fn finish(
        &mut self,
        start: &Start,
        id: &MessageId,
        end: End,
        time: Time,
    ) -> Result<(), Broken> {
        if start.life != self.life {
            return Ok(());
        }
        self.running = self.running.saturating_sub(1);
        if matches!(end, End::Panicked) && !self.is_closed {
            self.panics += 1;
            self.error_at = time;
        }
        let generations = self.messages.get(id).map(|it| &it.generations);
        let generation = generations.and_then(|it| it.get(start.generation));
        let length = generation.map_or(Ok(()), |it| self.check_length(id, it, &end, time));
        let generations = self.messages.get_mut(id).map(|it| &mut it.generations);
        if let Some(generation) = generations.and_then(|it| it.get_mut(start.generation)) {
            generation.end = Some((end, time));
        }
        length
    }

    pub(super) fn hold(&mut self, id: &MessageId) -> usize {
        let Some(message) = self.messages.get_mut(id) else {
            return 0;
        };
        let is_running = |it: &Generation| it.is_started && it.end.is_none();
        let running = message.generations.iter().rposition(is_running);
        let running = running.unwrap_or(0);
        if let Some(generation) = message.generations.get_mut(running) {
            generation.holds += 1;
        }
        running
    }

    pub(super) fn release(
        &mut self,
        id: &MessageId,
        generation: usize,
        is_panic: bool,
        time: Time,
    ) -> Result<(), Broken> {
        let is_told = is_panic && !self.is_closed;
        self.shield_panics += u64::from(is_told);
        let generations = self.messages.get_mut(id).map(|it| &mut it.generations);
        if let Some(generation) = generations.and_then(|it| it.get_mut(generation)) {
            generation.holds = generation.holds.saturating_sub(1);
            generation.has_panicked_shield |= is_panic;
            if let Some((_, mark)) = &mut generation.end {
                *mark = time;
            }
        }
        let message = self.messages.get(id);
        match message.and_then(|it| it.generations.get(generation)) {
            Some(it) if !self.is_closed => self.check_stuck(id, it, time),
            _ => Ok(()),
        }
    }

    pub(super) fn stopped(&mut self, plan: &Plan, time: Time) {
        self.stops.push((time, *plan));
    }

    pub(super) fn crashed(&mut self) {
        self.is_closed = true;
        self.hooks.clear();
        self.unfinished.push(self.life);
    }

    pub(super) fn end(&mut self, report: &Report, time: Time) -> Result<(), Broken> {
        self.is_closed = true;
        if self.is_deaf() {
            return self.end_unheard(report, time);
        }
        let totals = &report.totals;
        match &report.error {
            None => {}
            Some(Failure::Broker(_)) if self.promises.may_break => {}
            Some(failure) => return Err(Broken("no failure", failure.to_string())),
        }
        let ends = [
            totals.acked,
            totals.nacked,
            totals.released,
            totals.dead_lettered,
            totals.expired,
            totals.abandoned,
            totals.merged,
        ];
        if !report.is_balanced() || self.counts.received != totals.received {
            return Err(Broken("conservation", format!("{totals:?}")));
        }
        if ends != self.counts.ends || self.open_count != 0 {
            let detail = format!("{ends:?}, but the events say {:?}", self.counts.ends);
            return Err(Broken("one end", detail));
        }
        let Counts {
            panics,
            shield_panics,
            branch_failures,
            ..
        } = self.counts;
        let told = (panics, shield_panics, branch_failures);
        let meant = (self.panics, self.shield_panics, self.branch_failures);
        // What was given up may not have been heard any more.
        if totals.abandoned == 0 && told != meant {
            let detail = format!("panics, shielded too, and branches: {meant:?}, told {told:?}");
            return Err(Broken("told once", detail));
        }
        if totals.abandoned == 0 {
            self.check_slow_end()?;
        }
        self.check_totals(totals)?;
        self.check_calls_told()?;
        self.check_stop(report)?;
        self.check_hooks(report, time)
    }

    /// A consumer that stops by itself takes no longer than its plan for that.
    fn check_failure(&self, closed: Mark) -> Result<(), Broken> {
        let Some(broken_at) = self.broken_at.filter(|_| self.stops.is_empty()) else {
            return Ok(());
        };
        let Plan {
            drain,
            grace,
            flush,
        } = self.promises.failure_plan;
        let allowed = drain + grace + flush + (closed.stolen - broken_at.stolen);
        let took = closed.now - broken_at.now;
        if took > allowed {
            let detail = format!("after a failure: {took:?} of {allowed:?}");
            return Err(Broken("stop in time", detail));
        }
        Ok(())
    }

    fn check_stop(&self, report: &Report) -> Result<(), Broken> {
        let Some(closed) = self.closed else {
            return Err(Broken(
                "one end",
                "the consumer was never closed".to_owned(),
            ));
        };
        if report.error.is_some() {
            return self.check_failure(closed);
        }
        // A later stop counts by its own plan, even where the earlier one was shorter.
        // One that comes later than that is about the hooks.
        let is_before = |stop: &&(Mark, Plan)| stop.0.now <= closed.now;
        let before = self.stops.iter().take(3).take_while(is_before);
        let last = before.enumerate().last();
        if let Some((index, (mark, plan))) = last {
            let allowed = match index {
                0 => plan.drain + plan.grace + plan.flush,
                1 => plan.flush,
                _ => Duration::ZERO,
            };
            let took = closed.now - mark.now;
            let stolen = closed.stolen - mark.stolen;
            if took > allowed + stolen {
                let detail = format!("stop {}: {took:?} of {allowed:?}", index + 1);
                return Err(Broken("stop in time", detail));
            }
        }
        let is_orderly = self.promises.is_honest && report.totals.abandoned == 0;
        if is_orderly && self.leased > 0 {
            return self.check_held();
        }
        Ok(())
    }
}

/// Which of the ends in the order of the report an event is, if it is one.
fn end_of(event: &Event) -> Option<usize> {
    let end = match event {
        Event::Acked(_) => 0,
        Event::Nacked { .. } => 1,
        Event::Released(_) => 2,
        Event::DeadLettered { .. } => 3,
        Event::Expired(_) => 4,
        Event::Abandoned(_) => 5,
        Event::Merged(_) => 6,
        _ => return None,
    };
    debug_assert!(end < ENDS);
    Some(end)
}
