//! What the broker's facts must be like.

use std::time::Duration;

use mayhem_core::{Instant, LeaseToken};

use super::checks::{Checks, Generation, delivery_of};
use super::{Broken, Time};
use crate::{Fact, FactKind, SettleKind};

impl Checks {
    pub(super) fn fact(&mut self, fact: &Fact, time: Time) -> Result<(), Broken> {
        match (&fact.kind, &fact.lease) {
            (FactKind::Delivered { deadline, attempt }, Some(token)) => {
                self.leased += 1;
                let lease = self.leases.get_or_default(token);
                (lease.delivered_at, lease.attempt) = (fact.at, *attempt);
                lease.life = self.life;
                lease.deadline = *deadline;
                self.messages.get_or_default(&fact.id).until = Some(*deadline);
            }
            (FactKind::Arrived { bytes }, Some(token)) => {
                let lease = self.leases.get_or_default(token);
                lease.is_fresh |= fact.at - lease.delivered_at <= self.promises.lease / 2;
                self.batching.arrive(lease.is_fresh);
                self.arrived.push_back((token.clone(), *bytes));
            }
            (FactKind::Duplicated, Some(token)) => {
                self.leases.get_or_default(token).is_duplicated = true;
            }
            (FactKind::SettleCalled(kind), Some(_)) if self.is_deaf() => {
                return self.settled_unheard(fact, *kind);
            }
            (FactKind::ExtendCalled { .. }, Some(_)) if self.is_deaf() => {}
            (FactKind::SettleCalled(kind), Some(token)) => {
                return self.settle_called(fact, *kind, token);
            }
            (FactKind::ExtendCalled { duration }, Some(token)) => {
                return self.extend_called(fact, token, *duration, time);
            }
            (FactKind::SettleAnswered(answer), Some(token)) => {
                self.settle_answered(fact, token, *answer);
            }
            (FactKind::ExtendAnswered(answer), Some(token)) => {
                self.extend_answered(token, *answer, time);
            }
            (FactKind::Extended { until }, _) => {
                self.set_until(fact, Some(*until));
            }
            (FactKind::Settled(kind), Some(token)) => {
                self.lease_ended(token);
                self.set_until(fact, None);
                if *kind == SettleKind::Ack
                    && let Some(is_safe) = self.is_safe.as_mut()
                    && !is_safe(&fact.id)
                {
                    return broken("safe before ack", fact, "its effect is not safe");
                }
            }
            (FactKind::Expired, Some(token)) => {
                let is_counted = self.is_counted(token);
                self.lease_ended(token);
                let until = self.set_until(fact, None);
                if self.is_deaf() {
                    return Ok(());
                }
                if until == Some(fact.at) {
                    self.ran_out(fact, token, time)?;
                }
                let could_be_kept = self.could_be_kept(fact, token);
                let is_honest = self.promises.is_honest && !self.is_closed;
                if is_honest && is_counted && could_be_kept {
                    return broken("leases kept", fact, "though nothing went wrong");
                }
            }
            (FactKind::ExtensionOvertaken, Some(token)) => {
                let is_duplicated = self.leases.get(token).is_some_and(|it| it.is_duplicated);
                if !is_duplicated {
                    return broken("no overtaking", fact, "its answer was not waited for");
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What the broker has leased is not asked for while what came before it takes all the room in
    /// bytes, and some was leased for a consumer before this one. Where it is then too late to
    /// extend it, what comes of its message may be merged with what is lost by then.
    fn could_be_kept(&mut self, fact: &Fact, token: &LeaseToken) -> bool {
        let is_fresh = self.leases.get(token).is_some_and(|it| it.is_fresh);
        let may_be_late = self.promises.is_limited_by_bytes() || !self.is_counted(token);
        let message = self.messages.get_or_default(&fact.id);
        message.was_let_go |= may_be_late && !is_fresh;
        !message.was_let_go
    }

    fn lease_ended(&mut self, token: &LeaseToken) {
        let lease = self.leases.get_or_default(token);
        lease.has_ended = true;
        self.leased -= u64::from(lease.life == self.life);
    }

    /// Whether a lease was given to a consumer that answers for it.
    fn is_counted(&self, token: &LeaseToken) -> bool {
        let lease = self.leases.get(token);
        lease.is_some_and(|it| !self.unfinished.contains(&it.life))
    }

    /// Notes when a lease ends; returns when it would have ended.
    fn set_until(&mut self, fact: &Fact, until: Option<Instant>) -> Option<Instant> {
        let message = self.messages.get_mut(&fact.id)?;
        std::mem::replace(&mut message.until, until)
    }

    /// A lease has lasted as long as it should, and was not extended.
    fn ran_out(&self, fact: &Fact, token: &LeaseToken, time: Time) -> Result<(), Broken> {
        let message = self.messages.get(&fact.id);
        let generation = message.and_then(|it| it.generation(token));
        let at = Time {
            now: fact.at,
            ..time
        };
        match generation {
            Some(it) if it.known.token == *token && !it.known.is_lost && !it.known.is_over => {
                self.check_kept(it, at)
            }
            _ => Ok(()),
        }
    }

    fn settle_called(
        &mut self,
        fact: &Fact,
        kind: SettleKind,
        token: &LeaseToken,
    ) -> Result<(), Broken> {
        let life = self.life;
        self.step.asked += 1;
        self.check_newest(fact, token)?;
        let lease = self.leases.get_or_default(token);
        lease.settles_in_flight += 1;
        // A lease that was delivered twice may be another delivery by then.
        let is_duplicated = lease.is_duplicated;
        let is_poison = lease.attempt > self.promises.attempt_max();
        match lease.settled {
            Some((when, before)) if when == life && !is_same_way(before, kind) => {
                if !is_duplicated {
                    return broken("one settlement", fact, format!("and before as {before:?}"));
                }
            }
            _ => lease.settled = Some((life, kind)),
        }
        let message = self.messages.get_or_default(&fact.id);
        let generation = message.generation(token).filter(|it| it.is_started);
        let Some(generation) = generation else {
            return if is_duplicated {
                Ok(())
            } else {
                self.unstarted(fact, kind, is_poison)
            };
        };
        if generation.end.is_none() {
            let invariant = match kind {
                SettleKind::Ack => "no early ack",
                _ => "verdict kept",
            };
            // The duplicate of a lease that was settled may be settled again, unstarted.
            return if is_duplicated {
                Ok(())
            } else {
                broken(invariant, fact, "while its handler runs")
            };
        }
        if is_duplicated {
            return Ok(());
        }
        if generation.holds > 0 && kind == SettleKind::Ack {
            return broken("no early ack", fact, "while its shielded work runs");
        }
        if generation.has_panicked_shield && kind == SettleKind::Ack {
            return broken("no early ack", fact, "though its shielded work panicked");
        }
        let message = self.messages.get(&fact.id);
        match message.and_then(|it| it.generation(token)) {
            Some(generation) => self.compare(fact, kind, generation),
            None => Ok(()),
        }
    }

    /// What is asked for is asked for under the newest lease of a delivery.
    fn check_newest(&self, fact: &Fact, token: &LeaseToken) -> Result<(), Broken> {
        let message = self.messages.get(&fact.id);
        match message.and_then(|it| it.generation(token)) {
            Some(Generation { known, .. })
                if delivery_of(token) < delivery_of(&known.token) && !known.is_unsure =>
            {
                broken("newest lease", fact, known.token.as_str())
            }
            _ => Ok(()),
        }
    }

    fn extend_called(
        &mut self,
        fact: &Fact,
        token: &LeaseToken,
        duration: Duration,
        time: Time,
    ) -> Result<(), Broken> {
        self.step.asked += 1;
        self.check_newest(fact, token)?;
        let (life, promises) = (self.life, &self.promises);
        let lease = self.leases.get_or_default(token);
        self.batching.ask(lease.is_fresh);
        lease.extends_in_flight += 1;
        lease.asked_until = fact.at + duration;
        if lease.is_duplicated {
            return Ok(());
        }
        if let Some((when, kind)) = lease.settled
            && when == life
        {
            return broken(
                "no late extension",
                fact,
                format!("though settled as {kind:?}"),
            );
        }
        lease.extensions += 1;
        let (age, length) = (fact.at - lease.delivered_at, promises.lease / 3);
        let length = length
            / if promises.adaptive_max.is_some() {
                2
            } else {
                1
            };
        let allowed = 2 + u128::from(lease.failures) + age.as_nanos() / length.as_nanos().max(1);
        if u128::from(lease.extensions) > allowed {
            let count = lease.extensions;
            return broken("extension rate", fact, format!("{count} times in {age:?}"));
        }
        let message = self.messages.get(&fact.id);
        let generation = message.and_then(|it| it.generation(token));
        if let Some(generation) = generation
            && fact.at + duration > generation.known.received.now + promises.lease_max
        {
            let longest = promises.lease_max;
            return broken("longest lease", fact, format!("longest: {longest:?}"));
        }
        if let Some(Generation { known, .. }) = generation
            && !known.is_unsure
        {
            self.check_duration(fact, duration, (known.received.now, known.until))?;
        }
        if let Some(generation) = generation
            && let Some((end, mark)) = &generation.end
            && generation.holds == 0
            && promises.can_delay
            && time.is_well_after(*mark)
        {
            return broken("no late extension", fact, format!("it came to {end:?}"));
        }
        Ok(())
    }
}

/// A settlement that is asked for again may ask for another delay: time has passed.
fn is_same_way(one: SettleKind, other: SettleKind) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

pub(super) fn broken(
    invariant: &'static str,
    fact: &Fact,
    detail: impl Into<String>,
) -> Result<(), Broken> {
    Err(Broken(invariant, format!("{fact}: {}", detail.into())))
}
