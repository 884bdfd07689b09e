//! May this request pass now? A pure function of the policy, the known facts and the time.
//!
//! The rules are asked in a fixed order and the first that objects decides. Two of them end a
//! request (a lost target, a cooldown), the others make it wait. Nothing is read or written here:
//! the [`journal`](crate::journal) collects the facts and keeps the decision in one transaction.
//!
//! Cooldown and spacing are counted in wall time, because they must survive a reboot. The rule for
//! a clock that was set back: a moment in the future is taken for now, so that what remains is
//! never more than one full period; whoever stores the moment stores it anew.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::config::{Policy, duration};
use crate::target::Target;

/// The shortest and the longest time that a request waits for another to end.
///
/// Nobody knows when that will be. The settle time is the shortest that a restart takes, so asking
/// again after it is neither late nor a busy loop.
const BUSY_DELAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What is known at the moment of the decision.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The target of the request.
    pub target: &'a Target,
    /// When the target was last verified after a restart.
    pub last_restart: Option<Timestamp>,
    /// Since when the target is lost.
    pub lost_since: Option<Timestamp>,
    /// The request that is at work on the same target.
    pub at_work: Option<String>,
    /// How many targets of the group are at work, this one included.
    pub group_at_work: usize,
    /// When a target of the group was last verified after a restart.
    pub group_last_restart: Option<Timestamp>,
}

/// What becomes of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may start.
    Go,
    /// It ends here.
    Blocked {
        /// For the requester, one line.
        reason: String,
        /// When the same request could pass; `None` when no time alone will let it.
        until: Option<Timestamp>,
    },
    /// It is asked again later.
    Wait {
        /// How much later.
        after: Duration,
        /// For the requester, one line.
        reason: String,
    },
}

/// Decides about one request.
pub fn admit(policy: &Policy, facts: &Facts<'_>, now: Timestamp) -> Decision {
    let target = facts.target;
    if let Some(since) = facts.lost_since {
        let reason =
            format!("{target} is lost since {since:.0}; once it is back: mandrill resume {target}");
        return Decision::Blocked {
            reason,
            until: None,
        };
    }
    if let Some(until) = cooldown_until(policy, facts.last_restart, now) {
        let reason = format!(
            "{target} was restarted less than {} ago (cooldown)",
            duration::show(policy.cooldown)
        );
        return Decision::Blocked {
            reason,
            until: Some(until),
        };
    }
    let busy_delay = policy.settle.clamp(BUSY_DELAY.0, BUSY_DELAY.1);
    if let Some(other) = &facts.at_work {
        return Decision::Wait {
            after: busy_delay,
            reason: format!("request {other} is at work on {target}"),
        };
    }
    if facts.group_at_work >= policy.max_concurrent {
        let reason = format!(
            "{} at work in the group (max_concurrent {})",
            facts.group_at_work, policy.max_concurrent
        );
        return Decision::Wait {
            after: busy_delay,
            reason,
        };
    }
    let spaced = facts
        .group_last_restart
        .and_then(|last| remaining(policy.spacing, last, now));
    if let Some(after) = spaced {
        return Decision::Wait {
            after,
            reason: format!(
                "less than {} since the last one of the group (spacing)",
                duration::show(policy.spacing)
            ),
        };
    }
    Decision::Go
}

/// When the cooldown of a target ends; `None` when it is over or never began.
pub fn cooldown_until(
    policy: &Policy,
    last_restart: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let left = remaining(policy.cooldown, last_restart?, now)?;
    // A period beyond the end of the calendar never ends.
    Some(now.checked_add(left).unwrap_or(Timestamp::MAX))
}

/// What is left at `now` of a `period` that began at `since`; `None` when nothing is.
///
/// When `since` is in the future the clock was set back, and the whole period is left.
pub fn remaining(period: Duration, since: Timestamp, now: Timestamp) -> Option<Duration> {
    let elapsed = now.duration_since(since).max(SignedDuration::ZERO);
    period
        .checked_sub(elapsed.unsigned_abs())
        .filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests;
