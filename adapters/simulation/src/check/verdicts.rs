//! What a settlement must be like, after the end of its handler.

use std::time::Duration;

use mayhem_core::{Phase, Verdict};

use super::Broken;
use super::checks::{Checks, End, Generation};
use super::facts::broken;
use crate::{Fact, SettleKind};

/// The delay of a nack.
enum Delay {
    Wanted(Duration),
    Backoff,
    None,
}

impl Checks {
    pub(super) fn compare(
        &self,
        fact: &Fact,
        kind: SettleKind,
        generation: &Generation,
    ) -> Result<(), Broken> {
        let (attempt, Some((end, _))) = (generation.attempt, &generation.end) else {
            return Ok(());
        };
        let is_last = attempt >= self.promises.max_deliveries;
        let is_failed = matches!(end, End::Panicked)
            || (matches!(end, End::Cancelled) && generation.ladder.is_timed_out);
        let is_right = match (end, kind) {
            (End::Verdict(Verdict::Ack), SettleKind::Ack)
            | (End::Verdict(Verdict::Dead(_)), SettleKind::Dead) => true,
            (_, SettleKind::Ack) => return broken("no early ack", fact, format!("after {end:?}")),
            (_, SettleKind::Nack { after, counted }) => {
                // What a handler comes to after a stop has cancelled it is not held against it.
                let is_stopped = self.phase >= Phase::Grace && !generation.ladder.is_timed_out;
                let wanted = match end {
                    End::Panicked if is_stopped && !counted => Some((false, Delay::None)),
                    _ if is_failed => Some((true, Delay::Backoff)),
                    // An ack whose shielded work panicked is a retry.
                    End::Verdict(Verdict::Ack | Verdict::Retry { after: None }) => {
                        Some((true, Delay::Backoff))
                    }
                    End::Verdict(Verdict::Retry { after: Some(it) }) => {
                        Some((true, Delay::Wanted(*it)))
                    }
                    End::Verdict(Verdict::Postpone { after }) => {
                        Some((false, Delay::Wanted(*after)))
                    }
                    End::Cancelled => Some((false, Delay::None)),
                    _ => None,
                };
                wanted.is_some_and(|(is_counted, delay)| {
                    counted == is_counted
                        && !(counted && is_last)
                        && self.is_delayed(fact, generation, &delay, after)
                })
            }
            (End::Verdict(Verdict::Ack | Verdict::Retry { .. }), SettleKind::Dead) if !is_last => {
                return broken("no early dead letter", fact, format!("attempt {attempt}"));
            }
            (_, SettleKind::Dead) if is_failed && !is_last => {
                return broken("no early dead letter", fact, format!("attempt {attempt}"));
            }
            (End::Verdict(_), SettleKind::Dead) => is_last,
            (_, SettleKind::Dead) => is_failed && is_last,
        };
        if is_right {
            Ok(())
        } else {
            let detail = format!("attempt {attempt} came to {end:?}");
            broken("verdict kept", fact, detail)
        }
    }

    /// Whether a nack is delayed as its verdict wanted: by the broker, or by the consumer.
    fn is_delayed(
        &self,
        fact: &Fact,
        generation: &Generation,
        delay: &Delay,
        after: Duration,
    ) -> bool {
        let promises = &self.promises;
        let is_as_wanted = match delay {
            Delay::Wanted(wanted) => after == (*wanted).max(promises.nack_delay_min),
            Delay::Backoff => promises.may_back_off(generation.attempt, after),
            Delay::None => true,
        };
        if promises.can_delay {
            return is_as_wanted;
        }
        let wanted = match delay {
            Delay::Wanted(wanted) => (*wanted).max(promises.nack_delay_min),
            Delay::Backoff => promises.least_backoff(generation.attempt),
            Delay::None => Duration::ZERO,
        };
        let ended = generation.end.as_ref().map(|(_, mark)| mark.now);
        let parked = ended.map_or(Duration::ZERO, |ended| fact.at - ended);
        let least = self.least_parked(generation, wanted);
        if least.is_zero() {
            // Where it cannot keep it the consumer asks the broker, which may do nothing.
            return is_as_wanted || after.is_zero();
        }
        after.is_zero() && parked >= least
    }

    /// What was never given to a handler is only ever handed back, unless it was started too
    /// often.
    pub(super) fn unstarted(
        &self,
        fact: &Fact,
        kind: SettleKind,
        is_poison: bool,
    ) -> Result<(), Broken> {
        // What waits behind another of its key comes back no sooner than that.
        let may_wait = self.promises.key_of.is_some();
        match kind {
            SettleKind::Nack { after, counted } if (after.is_zero() || may_wait) && !counted => {
                Ok(())
            }
            SettleKind::Ack => broken("no early ack", fact, "no handler had it"),
            SettleKind::Dead if is_poison => Ok(()),
            SettleKind::Dead => broken("no early dead letter", fact, "no handler had it"),
            SettleKind::Nack { .. } => broken("verdict kept", fact, "no handler had it"),
        }
    }
}
