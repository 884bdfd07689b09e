//! What the broker's facts must be like.

use mayhem_core::{Instant, LeaseToken, Verdict};

use super::checks::{Checks, End, delivery_of};
use super::{Broken, Time};
use crate::{Fact, FactKind, SettleKind};

impl Checks {
    pub(super) fn fact(&mut self, fact: &Fact, time: Time) -> Result<(), Broken> {
        match (&fact.kind, &fact.lease) {
            (FactKind::Delivered { deadline, attempt }, Some(token)) => {
                self.leased += 1;
                let lease = self.leases.entry(token.clone()).or_default();
                (lease.delivered_at, lease.attempt) = (fact.at, *attempt);
                self.messages.entry(fact.id.clone()).or_default().until = Some(*deadline);
            }
            (FactKind::Arrived, Some(token)) => self.arrived.push_back(delivery_of(token)),
            (FactKind::Duplicated, Some(token)) => {
                self.leases.entry(token.clone()).or_default().is_duplicated = true;
            }
            (FactKind::SettleCalled(kind), Some(token)) => {
                return self.settle_called(fact, *kind, token);
            }
            (FactKind::ExtendCalled, Some(token)) => return self.extend_called(fact, token, time),
            (FactKind::Extended { until }, Some(token)) => {
                self.set_until(fact, Some(*until));
                return self.extended(fact, token, *until);
            }
            (FactKind::Settled(kind), _) => {
                self.leased -= 1;
                self.set_until(fact, None);
                if *kind == SettleKind::Ack
                    && let Some(is_safe) = self.is_safe.as_mut()
                    && !is_safe(&fact.id)
                {
                    return broken("safe before ack", fact, "its effect is not safe");
                }
            }
            (FactKind::Expired, _) => {
                self.leased -= 1;
                self.set_until(fact, None);
                if self.promises.is_honest && !self.is_closed {
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

    fn set_until(&mut self, fact: &Fact, until: Option<Instant>) {
        if let Some(message) = self.messages.get_mut(&fact.id) {
            message.until = until;
        }
    }

    fn settle_called(
        &mut self,
        fact: &Fact,
        kind: SettleKind,
        token: &LeaseToken,
    ) -> Result<(), Broken> {
        let life = self.life;
        let lease = self.leases.entry(token.clone()).or_default();
        // A lease that was delivered twice may be another delivery by then.
        let is_duplicated = lease.is_duplicated;
        let is_poison = lease.attempt > self.promises.max_deliveries;
        match lease.settled {
            Some((when, before)) if when == life && !is_same_way(before, kind) => {
                if !is_duplicated {
                    return broken("one settlement", fact, format!("and before as {before:?}"));
                }
            }
            _ => lease.settled = Some((life, kind)),
        }
        let message = self.messages.entry(fact.id.clone()).or_default();
        let generation = message.generation(token).filter(|it| it.is_started);
        let Some(generation) = generation else {
            return if is_duplicated {
                Ok(())
            } else {
                unstarted(fact, kind, is_poison)
            };
        };
        let Some((end, _)) = &generation.end else {
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
        };
        if is_duplicated {
            return Ok(());
        }
        let (attempt, is_held) = (generation.attempt, generation.holds > 0);
        let end = end.clone();
        if is_held && kind == SettleKind::Ack {
            return broken("no early ack", fact, "while its shielded work runs");
        }
        self.compare(fact, kind, attempt, &end)
    }

    fn compare(
        &self,
        fact: &Fact,
        kind: SettleKind,
        attempt: u32,
        end: &End,
    ) -> Result<(), Broken> {
        let promises = &self.promises;
        let is_last = attempt >= promises.max_deliveries;
        let is_right = match (end, kind) {
            (End::Verdict(Verdict::Ack), SettleKind::Ack)
            | (End::Verdict(Verdict::Dead(_)), SettleKind::Dead) => true,
            (_, SettleKind::Ack) => return broken("no early ack", fact, format!("after {end:?}")),
            // An ack whose shielded work panicked is a retry.
            (
                End::Panicked | End::Verdict(Verdict::Ack | Verdict::Retry { after: None }),
                SettleKind::Nack { after, counted },
            ) => counted && !is_last && promises.may_back_off(attempt, after),
            (
                End::Verdict(Verdict::Retry {
                    after: Some(wanted),
                }),
                SettleKind::Nack { after, counted },
            ) => counted && !is_last && after == *wanted,
            (
                End::Panicked | End::Verdict(Verdict::Ack | Verdict::Retry { .. }),
                SettleKind::Dead,
            ) if !is_last => {
                return broken("no early dead letter", fact, format!("attempt {attempt}"));
            }
            (End::Panicked | End::Verdict(_), SettleKind::Dead) => is_last,
            (
                End::Verdict(Verdict::Postpone { after: wanted }),
                SettleKind::Nack { after, counted },
            ) => !counted && after == *wanted,
            (End::Cancelled, SettleKind::Nack { counted, .. }) => !counted,
            _ => false,
        };
        if is_right {
            Ok(())
        } else {
            broken(
                "verdict kept",
                fact,
                format!("attempt {attempt} came to {end:?}"),
            )
        }
    }

    fn extend_called(&mut self, fact: &Fact, token: &LeaseToken, time: Time) -> Result<(), Broken> {
        let (life, promises) = (self.life, &self.promises);
        let lease = self.leases.entry(token.clone()).or_default();
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
        let allowed = 2 + age.as_nanos() / length.as_nanos().max(1);
        if promises.is_honest && u128::from(lease.extensions) > allowed {
            let count = lease.extensions;
            return broken("extension rate", fact, format!("{count} times in {age:?}"));
        }
        let message = self.messages.get(&fact.id);
        let generation = message.and_then(|it| it.generation(token));
        if let Some(generation) = generation
            && let Some((end, mark)) = &generation.end
            && generation.holds == 0
            && time.is_well_after(*mark)
        {
            return broken("no late extension", fact, format!("it came to {end:?}"));
        }
        Ok(())
    }

    fn extended(&self, fact: &Fact, token: &LeaseToken, until: Instant) -> Result<(), Broken> {
        let Some(lease) = self.leases.get(token) else {
            return Ok(());
        };
        // A message may be handled under a later lease than that which it was received under, and
        // an extension may take effect long after it was asked for: that is not the consumer's.
        let longest = self.promises.lease_max + self.promises.lease;
        if self.promises.is_honest && until - lease.delivered_at > longest {
            return broken("longest lease", fact, format!("longest: {longest:?}"));
        }
        Ok(())
    }
}

/// What was never given to a handler is only ever handed back, unless it was started too often.
fn unstarted(fact: &Fact, kind: SettleKind, is_poison: bool) -> Result<(), Broken> {
    match kind {
        SettleKind::Nack { after, counted } if after.is_zero() && !counted => Ok(()),
        SettleKind::Ack => broken("no early ack", fact, "no handler had it"),
        SettleKind::Dead if is_poison => Ok(()),
        SettleKind::Dead => broken("no early dead letter", fact, "no handler had it"),
        SettleKind::Nack { .. } => broken("verdict kept", fact, "no handler had it"),
    }
}

/// A settlement that is asked for again may ask for another delay: time has passed.
fn is_same_way(one: SettleKind, other: SettleKind) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

fn broken(invariant: &'static str, fact: &Fact, detail: impl Into<String>) -> Result<(), Broken> {
    Err(Broken(invariant, format!("{fact}: {}", detail.into())))
}
