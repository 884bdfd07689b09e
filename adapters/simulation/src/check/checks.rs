//! What the checker remembers.

use std::collections::VecDeque;
use std::time::Duration;

use mayhem_core::{
    Backoff, Instant, LeaseToken, MessageId, NackedHead, Phase, Plan, Rate, Timeout, Verdict,
};

use super::Time;
use super::batching::Batching;
use super::calls::{Calls, Known};
use super::few::Few;
use super::hooks::Hook;
use super::idle::Idle;
use super::limits::Limits;
use super::named::Named;
use super::order::Keys;
use super::poison::Spared;
use super::room::{Room, Weight};
use super::slow::SlowPoll;
use super::timeouts::Ladder;
use super::told::Told;
use crate::{Answer, SettleKind};

/// What a consumer was told, and what its world is like: which promises it can be held to.
#[derive(Clone, Debug)]
pub struct Promises {
    /// As the builder was told.
    pub concurrency: usize,
    /// As the builder was told.
    pub prefetch: usize,
    /// As the builder was told.
    pub prefetch_bytes: usize,
    /// As the builder was told.
    pub lease: Duration,
    /// As the builder was told.
    pub lease_max: Duration,
    /// As the builder was told.
    pub max_deliveries: u32,
    /// As the builder was told; no less than `max_deliveries` counts.
    pub poison_after: u32,
    /// As the builder was told.
    pub backoff: Backoff,
    /// As the builder was told.
    pub nack_delay_min: Duration,
    /// As the builder was told.
    pub timeout: Option<Timeout>,
    /// As the builder was told.
    pub slow_poll: Duration,
    /// As the builder was told.
    pub rate: Option<Rate>,
    /// The keys of messages by their ids, where the builder was told of keys.
    pub key_of: Option<fn(&MessageId) -> u64>,
    /// As the builder was told.
    pub nacked_head: NackedHead,
    /// The longest that leases are extended at a time, where that is for as long as is needed.
    pub adaptive_max: Option<Duration>,
    /// As the builder was told.
    pub failure_plan: Plan,
    /// Whether the broker can delay a nack; if not the consumer does.
    pub can_delay: bool,
    /// Whether nothing goes wrong at all: then no lease may run out.
    pub is_honest: bool,
    /// Whether a lease lasts as long as the consumer was told, and is delivered once.
    pub keeps_leases: bool,
    /// Whether the broker may deliver more than it was asked for.
    pub may_overshoot: bool,
    /// Whether the broker may fail for good.
    pub may_break: bool,
}

/// Says whether the effect of a message is safe.
pub(super) type IsSafe = Box<dyn FnMut(&MessageId) -> bool + Send>;

#[derive(Default)]
pub(super) struct Checks {
    pub(super) promises: Promises,
    /// Which consumer: the handlers of an earlier one may still be dropped.
    pub(super) life: u32,
    pub(super) is_closed: bool,
    pub(super) open_count: i64,
    pub(super) counts: Counts,
    pub(super) messages: Named<MessageId, Message>,
    pub(super) leases: Named<LeaseToken, Lease>,
    pub(super) running: usize,
    pub(super) phase: Phase,
    pub(super) draining: Option<Mark>,
    pub(super) stops: Vec<(Mark, Plan)>,
    pub(super) closed: Option<Mark>,
    /// When the observer has panicked: nothing is told since.
    pub(super) deaf_at: Option<Mark>,
    pub(super) panics: u64,
    pub(super) shield_panics: u64,
    pub(super) branch_failures: u64,
    pub(super) is_safe: Option<IsSafe>,
    /// Which consumers have crashed, or ended with messages that nobody can hear of.
    pub(super) unfinished: Vec<u32>,
    /// How many leases were given to this consumer and have not ended.
    pub(super) leased: u64,
    /// The leases of deliveries that were handed over and not told of yet, and their bytes.
    pub(super) arrived: VecDeque<(LeaseToken, usize)>,
    pub(super) calls: [Calls; 3],
    pub(super) limits: Limits,
    /// How many deliveries were received.
    pub(super) serial: u64,
    /// The one that was received just now, with nothing told since.
    pub(super) newest: u64,
    /// Whether the broker has failed for good.
    pub(super) is_broken: bool,
    /// When it was told that it has.
    pub(super) broken_at: Option<Mark>,
    /// When a panic or a failed branch is to be told.
    pub(super) error_at: Mark,
    /// When time was stolen last.
    pub(super) stolen_at: Mark,
    pub(super) step: Step,
    pub(super) room: Room,
    /// What is to follow the stop of this consumer.
    pub(super) hooks: Vec<Hook>,
    pub(super) told: Told,
    pub(super) idle: Idle,
    pub(super) batching: Batching,
    pub(super) keys: Keys,
    pub(super) slow_polls: Vec<SlowPoll>,
    /// How many extensions the broker takes in a call.
    pub(super) extend_count_max: usize,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) ends: [u64; ENDS],
    pub(super) received: u64,
    pub(super) panics: u64,
    pub(super) shield_panics: u64,
    pub(super) branch_failures: u64,
}

impl Counts {
    /// How many deliveries were given up.
    pub(super) fn abandoned(&self) -> u64 {
        self.ends[5]
    }
}

/// What a consumer did since it was looked at last.
#[derive(Default)]
pub(super) struct Step {
    pub(super) asked: u64,
    /// How many deliveries it could do something about.
    pub(super) deliveries: u64,
    /// How much time had been stolen before.
    pub(super) stolen: Duration,
}

/// One message, over all consumers.
#[derive(Default)]
pub(super) struct Message {
    /// When the lease that counts really ends.
    pub(super) until: Option<Instant>,
    /// The deliveries in this consumer's life that were not merged.
    pub(super) generations: Vec<Generation>,
    /// Which of them goes on under the lease of which delivery: those that were merged, too.
    pub(super) owners: Few<u64, usize>,
    /// How many settlements the broker has confirmed that were not told of yet.
    pub(super) done_count: u64,
    /// By attempt, how many deliveries were received and have not ended.
    pub(super) open: Few<u32, i64>,
    /// Whether it came so late that its lease could not be kept.
    pub(super) was_let_go: bool,
    pub(super) weight: Weight,
    pub(super) spared: Spared,
}

/// One delivery of one message, and its handler.
pub(super) struct Generation {
    pub(super) is_started: bool,
    /// Whether its key could not be told: then it has its end without a handler.
    pub(super) is_keyless: bool,
    pub(super) attempt: u32,
    /// Which of all that were received it is.
    pub(super) serial: u64,
    pub(super) started: Mark,
    pub(super) ladder: Ladder,
    /// Whether work that it shielded has panicked.
    pub(super) has_panicked_shield: bool,
    pub(super) holds: u32,
    pub(super) end: Option<(End, Mark)>,
    pub(super) known: Known,
}

#[derive(Clone, Debug)]
pub(super) enum End {
    Verdict(Verdict),
    Panicked,
    Cancelled,
}

#[derive(Default)]
pub(super) struct Lease {
    /// In which consumer's life it was settled, and how.
    pub(super) settled: Option<(u32, SettleKind)>,
    pub(super) is_duplicated: bool,
    /// In which consumer's life it was delivered.
    pub(super) life: u32,
    /// Whether it was handed over with half of its time left.
    pub(super) is_fresh: bool,
    /// Whether the broker has seen its end.
    pub(super) has_ended: bool,
    /// As the consumer was told.
    pub(super) attempt: u32,
    pub(super) delivered_at: Instant,
    /// As the consumer was told.
    pub(super) deadline: Instant,
    pub(super) extensions: u32,
    /// How many of them failed.
    pub(super) failures: u32,
    pub(super) extends_in_flight: u32,
    pub(super) settles_in_flight: u32,
    /// When it was asked to end, by the latest extension.
    pub(super) asked_until: Instant,
    pub(super) extend_answer: Option<Answer>,
    pub(super) extend_answered_at: Mark,
    /// How many extensions the broker has confirmed that were not told of yet.
    pub(super) extended_count: u32,
    /// Whether a settlement was answered so.
    pub(super) is_gone: bool,
    /// Whether one took effect.
    pub(super) is_done: bool,
}

/// A handler that was started.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) life: u32,
    pub(super) generation: usize,
}

/// An instant, and the time that was stolen until then.
pub(super) type Mark = Time;

impl Message {
    /// The delivery that goes on, or went on, under a lease.
    pub(super) fn generation(&self, token: &LeaseToken) -> Option<&Generation> {
        let owner = self.owners.get(delivery_of(token))?;
        self.generations.get(*owner)
    }

    /// The delivery in hand that events call by its first attempt. Of several of them: that which
    /// is handled, for one before it only waits for its nack to be confirmed, and one after it is
    /// about to be merged; or else the oldest that has not ended.
    pub(super) fn in_hand(&mut self, attempt: u32, newest: u64) -> Option<&mut Generation> {
        let rank = |(_, it): &(usize, &Generation)| match (it.is_started, it.end.is_some()) {
            (true, false) => 0,
            (false, _) if it.known.set_aside.is_none() && !it.known.is_behind => 1,
            _ => 2,
        };
        let candidates = self.generations.iter().enumerate();
        let candidates = candidates.filter(|(_, it)| it.attempt == attempt && !it.known.is_over);
        // What was received just now may be about to be merged.
        let (index, _) = candidates.min_by_key(|it| (it.1.serial == newest, rank(it)))?;
        self.generations.get_mut(index)
    }
}

impl Generation {
    /// Notes that its lease is lost; returns which it is.
    pub(super) fn lose(&mut self) -> u64 {
        self.known.is_lost = true;
        self.serial
    }
}

impl Lease {
    /// Whether the broker has said so.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone || self.extend_answer == Some(Answer::Gone)
    }
}

impl Time {
    /// Whether the program has had time of its own since `mark`.
    pub(super) fn is_well_after(self, mark: Self) -> bool {
        self.now - mark.now > self.stolen - mark.stolen
    }
}

impl Promises {
    /// Whether messages may be too large for all that were asked for to be taken in.
    pub(super) fn is_limited_by_bytes(&self) -> bool {
        self.prefetch_bytes < Self::default().prefetch_bytes
    }

    /// Whether a delay is what the backoff may give after an attempt.
    pub(super) fn may_back_off(&self, attempt: u32, delay: Duration) -> bool {
        (self.least_backoff(attempt)..=self.backoff_whole(attempt)).contains(&delay)
    }

    /// The least that the backoff may give after an attempt.
    pub(super) fn least_backoff(&self, attempt: u32) -> Duration {
        let whole = self.backoff_whole(attempt);
        let least = match self.backoff.jitter {
            mayhem_core::Jitter::None => whole,
            mayhem_core::Jitter::Equal => whole / 2,
            mayhem_core::Jitter::Full => Duration::ZERO,
        };
        least.saturating_sub(NANOSECOND)
    }

    fn backoff_whole(&self, attempt: u32) -> Duration {
        let Backoff {
            base, max, factor, ..
        } = self.backoff;
        let factor = factor
            .checked_pow(attempt.saturating_sub(1))
            .unwrap_or(u32::MAX);
        base.saturating_mul(factor).min(max)
    }
}

impl Default for Promises {
    /// What a consumer with the default settings promises, whatever its broker does.
    fn default() -> Self {
        Self {
            concurrency: 64,
            prefetch: 1000,
            prefetch_bytes: 100 << 20,
            lease: Duration::from_secs(60),
            lease_max: Duration::from_secs(30 * 60),
            max_deliveries: 5,
            poison_after: 0,
            backoff: Backoff::default(),
            nack_delay_min: Duration::from_millis(100),
            timeout: None,
            slow_poll: Duration::from_millis(100),
            rate: None,
            key_of: None,
            nacked_head: NackedHead::default(),
            adaptive_max: None,
            failure_plan: Plan {
                drain: Duration::ZERO,
                grace: Duration::from_secs(5),
                flush: Duration::from_secs(5),
            },
            can_delay: true,
            is_honest: false,
            keeps_leases: false,
            may_overshoot: true,
            may_break: true,
        }
    }
}

/// Which of the deliveries of its message a token is of: `m-1/3` is of the third.
pub(super) fn delivery_of(token: &LeaseToken) -> u64 {
    // By hand: it is asked for with every fact.
    let digits = token.as_str().bytes().rev().take_while(u8::is_ascii_digit);
    let add = |(number, place): (u64, u64), digit| {
        let value = u64::from(digit - b'0').wrapping_mul(place);
        (number.wrapping_add(value), place.wrapping_mul(10))
    };
    digits.fold((0, 1), add).0
}

/// How many ends a delivery can have.
pub(super) const ENDS: usize = 7;

const NANOSECOND: Duration = Duration::from_nanos(1);
