//! What a consumer's calls must be like: in time, again after a failure, and told when done.
//!
//! A consumer decides when to call, and the broker when to answer. So it is held to what it could
//! do: from the last moment at which a call was on its way, had failed, or time was stolen.

use std::time::Duration;

use mayhem_core::{BrokerCall, Instant, LeaseToken, Verdict};

use super::checks::{Checks, End, Generation, Mark};
use super::{Broken, Time};
use crate::{Answer, CallStage, Fact};

/// The calls of one kind.
#[derive(Default)]
pub(super) struct Calls {
    in_flight: u64,
    /// When one was last on its way.
    busy_until: Mark,
    /// When as many were last on their way as may be.
    full_until: Mark,
    failed_at: Mark,
    failed: u64,
    given_up: u64,
    told: u64,
}

/// What a consumer knows of a delivery in hand.
pub(super) struct Known {
    /// Under which lease it goes on, and the attempt that came with it.
    pub(super) token: LeaseToken,
    pub(super) attempt: u32,
    /// Whether it may go on under another lease of the same attempt, or have lost its own: there
    /// are several of one name, and only the consumer knows which is meant.
    pub(super) is_unsure: bool,
    /// Which delivery went on under it before.
    pub(super) owner_before: Option<usize>,
    /// When the lease ends, or a little later.
    pub(super) until: Instant,
    /// When it was received.
    pub(super) received: Mark,
    /// When it was received under this lease.
    pub(super) since: Mark,
    /// When it was decided that it is not started at all.
    pub(super) set_aside: Option<Mark>,
    /// Whether it may have been handed back because of one before it.
    pub(super) is_behind: bool,
    /// Whether it was told that its lease is lost.
    pub(super) is_lost: bool,
    /// Whether it has had its end.
    pub(super) is_over: bool,
}

impl Known {
    /// Nothing is known of its lease any more.
    pub(super) fn doubt(&mut self) {
        self.is_unsure = true;
        self.until = Instant::from_nanos(u64::MAX);
    }
}

impl Checks {
    pub(super) fn call(
        &mut self,
        call: BrokerCall,
        stage: CallStage,
        time: Time,
    ) -> Result<(), Broken> {
        let calls = &mut self.calls[index(call)];
        if calls.in_flight >= CALLS_MAX {
            calls.full_until = time;
        }
        match stage {
            CallStage::Began => calls.in_flight += 1,
            CallStage::Answered => {}
            CallStage::Failed => {
                calls.failed_at = time;
                calls.failed += 1;
            }
            CallStage::GivenUp => {
                calls.failed_at = time;
                calls.given_up += 1;
            }
        }
        if stage != CallStage::Began {
            calls.busy_until = time;
            calls.in_flight = calls.in_flight.saturating_sub(1);
        }
        match (call, stage) {
            _ if self.is_deaf() => Ok(()),
            (BrokerCall::Extend, CallStage::Began) => self.check_batch(time),
            (BrokerCall::Receive, CallStage::Began) => self.check_pull(time),
            (BrokerCall::Receive, CallStage::Answered) => {
                self.room.begin_batch();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a call of `receive` is on its way.
    pub(super) fn is_receiving(&self) -> bool {
        self.calls[index(BrokerCall::Receive)].in_flight > 0
    }

    /// A failed call is told once.
    pub(super) fn call_told(&mut self, call: BrokerCall, permanent: bool) -> Result<(), Broken> {
        self.is_broken |= permanent;
        let calls = &mut self.calls[index(call)];
        calls.told += 1;
        if calls.told > calls.failed + calls.given_up {
            let detail = format!(
                "{call:?} has failed {} times, told {}",
                calls.failed, calls.told
            );
            return Err(Broken("told once", detail));
        }
        Ok(())
    }

    /// At the end every failed call was told.
    pub(super) fn check_calls_told(&self) -> Result<(), Broken> {
        for call in CALLS {
            let calls = &self.calls[index(call)];
            if calls.told < calls.failed {
                let detail = format!(
                    "{call:?} has failed {} times, told {}",
                    calls.failed, calls.told
                );
                return Err(Broken("told once", detail));
            }
        }
        Ok(())
    }

    pub(super) fn extend_answered(&mut self, token: &LeaseToken, answer: Answer, time: Time) {
        let lease = self.leases.get_or_default(token);
        lease.extends_in_flight = lease.extends_in_flight.saturating_sub(1);
        lease.extend_answer = Some(answer);
        lease.extend_answered_at = time;
        lease.failures += u32::from(answer == Answer::Failed);
        lease.extended_count += u32::from(answer == Answer::Done);
    }

    pub(super) fn settle_answered(&mut self, fact: &Fact, token: &LeaseToken, answer: Answer) {
        let lease = self.leases.get_or_default(token);
        lease.settles_in_flight = lease.settles_in_flight.saturating_sub(1);
        lease.is_gone |= answer == Answer::Gone;
        lease.is_done |= answer == Answer::Done;
        if answer == Answer::Done
            && let Some(message) = self.messages.get_mut(&fact.id)
        {
            message.done_count += 1;
        }
    }

    /// A lease of a consumer is over, by itself; could it have been kept, or settled?
    pub(super) fn check_kept(&self, generation: &Generation, at: Mark) -> Result<(), Broken> {
        let known = &generation.known;
        let Some(lease) = self.leases.get(&known.token) else {
            return Ok(());
        };
        if known.is_unsure || (known.is_behind && !generation.is_started) {
            return Ok(());
        }
        if self.is_broken || self.is_closed || lease.is_gone() || lease.is_duplicated {
            return Ok(());
        }
        let [_, settles, extends] = &self.calls;
        let eighth = self.promises.lease / 8;
        let released = self.draining.filter(|_| !generation.is_started);
        // Handed back at once: there was no room for it.
        let is_shed = lease.settled.is_some() && !generation.is_started;
        let released = released.or(is_shed.then_some(known.received));
        let ended = generation.end.as_ref().map(|(_, mark)| *mark);
        // What was asked to be settled, started or not, is extended no more.
        let is_settled = lease.settled.is_some_and(|(life, _)| life == self.life);
        let settled = Some(known.since).filter(|_| is_settled);
        let ended = ended.or(known.set_aside).or(released).or(settled);
        let (invariant, limit, since) = match ended {
            Some(_) if generation.holds > 0 => return Ok(()),
            // It may be parked.
            Some(_) if !self.promises.can_delay && !is_settled_at_once(generation) => return Ok(()),
            Some(ended) => {
                if settles.in_flight > 0 || lease.extends_in_flight > 0 {
                    return Ok(());
                }
                let held = lease.extend_answered_at;
                let since = [ended, settles.busy_until, held, known.since];
                ("settled in time", eighth, latest(&since))
            }
            None => {
                let ends = known.received.now + self.promises.lease_max;
                if extends.in_flight >= CALLS_MAX || lease.extends_in_flight > 0 || at.now >= ends {
                    return Ok(());
                }
                let is_failed = lease.extend_answer == Some(Answer::Failed);
                // It is due when half of the lease is left.
                let limit = match self.promises.adaptive_max {
                    // A lease that is longer than is wanted by now is left as it is for a while.
                    Some(longest) => longest,
                    None if is_failed => eighth,
                    None => 5 * eighth,
                };
                let answered = lease.extend_answered_at;
                let since = [answered, extends.full_until, extends.failed_at, known.since];
                ("extended in time", limit, latest(&since))
            }
        };
        let stolen = at.stolen.saturating_sub(since.stolen);
        let idle = at.now - since.now;
        if idle > limit + stolen + SLACK {
            let (token, allowed) = (known.token.as_str(), limit + stolen);
            let detail = format!("{token} was let go after {idle:?} without a call of {allowed:?}");
            return Err(Broken(invariant, detail));
        }
        Ok(())
    }
}

fn is_settled_at_once(generation: &Generation) -> bool {
    let end = generation.end.as_ref().map(|(end, _)| end);
    let is_done = matches!(end, Some(End::Verdict(Verdict::Ack | Verdict::Dead(_))));
    is_done && !generation.has_panicked_shield
}

fn index(call: BrokerCall) -> usize {
    match call {
        BrokerCall::Receive => 0,
        BrokerCall::Settle => 1,
        BrokerCall::Extend => 2,
    }
}

fn latest(marks: &[Mark]) -> Mark {
    let latest = marks.iter().max_by_key(|mark| mark.now);
    latest.copied().unwrap_or_default()
}

const CALLS: [BrokerCall; 3] = [BrokerCall::Receive, BrokerCall::Settle, BrokerCall::Extend];

/// How many calls of a kind a consumer has on their way at most.
const CALLS_MAX: u64 = 4;

/// To what a consumer may round its timers.
const SLACK: Duration = Duration::from_millis(200);
