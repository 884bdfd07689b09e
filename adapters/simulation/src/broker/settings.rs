//! The broker's knobs. Every default is the honest one.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use mayhem_core::{Caps, Instant};

use crate::Dice;
use crate::hazards::swarm_rate;

/// How a [`SimBroker`](crate::SimBroker) behaves. The default is an honest broker that answers at
/// once.
#[derive(Clone, Debug)]
pub struct SimSettings {
    /// How long a lease lasts that is not extended; 60 s by default.
    pub lease: Duration,
    /// How long a message is under way once it is leased; zero by default.
    pub receive_latency: RangeInclusive<Duration>,
    /// How long a settlement or extension takes to its effect, and its reply again; zero by
    /// default.
    pub call_latency: RangeInclusive<Duration>,
    /// Whether the seed picks among the messages that are ready, or the eldest is first (default).
    pub is_shuffled: bool,
    /// What the consumer is told the broker can do; batches of 1,000, delays and confirmed acks by
    /// default. A call beyond these limits panics.
    pub caps: Caps,
    /// What goes wrong; nothing by default.
    pub faults: Faults,
}

/// What goes wrong at a [`SimBroker`](crate::SimBroker). Probabilities are from 0 to 1 and drawn by
/// the simulation's seed.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Per call: it fails at once as retryable, without effect.
    pub refused: f64,
    /// Per settle and extend call: it never arrives; the caller learns of an error after `timeout`.
    pub request_lost: f64,
    /// Per settle and extend call: it takes effect, but the caller learns of an error after
    /// `timeout`.
    pub reply_lost: f64,
    /// How long a caller waits for a reply that was lost; 5 s by default. A timeout longer than the
    /// test makes a black hole.
    pub timeout: Duration,
    /// Every call fails for good from this instant on.
    pub permanent_from: Option<Instant>,
    /// Per delivery: the same lease is delivered once more, at a random moment within its duration,
    /// even if it is settled by then.
    pub duplicate: f64,
    /// Per delivery: the broker ends the lease earlier than it said, at a random moment.
    pub early_expiry: f64,
    /// Per settlement or extension of a live lease: the broker has forgotten the lease and answers
    /// [`Outcome::Gone`](mayhem_core::Outcome::Gone).
    pub gone: f64,
    /// Per settlement or extension: it is answered [`Outcome::Gone`](mayhem_core::Outcome::Gone)
    /// although the lease is alive, and has no effect.
    pub item_refused: f64,
    /// Per settle and extend call: it takes effect once more later, unasked.
    pub request_duplicated: f64,
    /// Per settle and extend call: it takes up to `delay_max` longer to its effect, and may be
    /// overtaken by later ones.
    pub request_delayed: f64,
    /// Per settle and extend call: its reply takes up to `delay_max` longer.
    pub reply_delayed: f64,
    /// The longest of these delays; 10 s by default.
    pub delay_max: Duration,
    /// Per extension that comes after its lease was nacked: it puts the next delivery off.
    pub late_extend: f64,
    /// Per ack: it is confirmed and forgotten; the message is delivered again.
    pub ack_forgotten: f64,
    /// Per receive call: the connection is lost, and all that is leased is delivered once more
    /// under new leases.
    pub stream_reset: f64,
    /// Per batch: up to three times as many messages are delivered as were asked for.
    pub overshoot: f64,
    /// Calls within these times are never answered, and have no effect.
    pub black_holes: Vec<Range<Instant>>,
    /// Within this time calls take longer and longer, at its middle this much, and then less again.
    pub slow: Option<(Range<Instant>, Duration)>,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            receive_latency: Duration::ZERO..=Duration::ZERO,
            call_latency: Duration::ZERO..=Duration::ZERO,
            is_shuffled: false,
            caps: Caps {
                settle_count_max: 1_000,
                extend_count_max: 1_000,
                nack_delay: true,
                confirmed_ack: true,
            },
            faults: Faults::default(),
        }
    }
}

impl Faults {
    /// Draws a mixture of its own for one run: the many together would hide what a few do.
    pub fn swarm(dice: &Dice) -> Self {
        let rate = |label, base| swarm_rate(dice, label, base);
        let window = |label, longest: u64| {
            let from = Instant::ZERO + Duration::from_secs(dice.choose(label, 60));
            from..from + Duration::from_secs(dice.choose("swarm: how long", longest))
        };
        Self {
            refused: rate("swarm: refused", 0.03),
            request_lost: rate("swarm: request lost", 0.03),
            reply_lost: rate("swarm: reply lost", 0.03),
            duplicate: rate("swarm: duplicate delivery", 0.03),
            early_expiry: rate("swarm: early expiry", 0.02),
            gone: rate("swarm: lease forgotten", 0.01),
            item_refused: rate("swarm: item refused", 0.005),
            request_duplicated: rate("swarm: request duplicated", 0.02),
            request_delayed: rate("swarm: request delayed", 0.02),
            reply_delayed: rate("swarm: reply delayed", 0.02),
            late_extend: rate("swarm: extension after nack", 0.1),
            ack_forgotten: rate("swarm: ack forgotten", 0.005),
            stream_reset: rate("swarm: stream reset", 0.005),
            overshoot: rate("swarm: overshoot", 0.03),
            timeout: Duration::from_secs(3),
            delay_max: dice.pick("swarm: longest delay", &[1, 10, 60]) * Duration::from_secs(1),
            permanent_from: None,
            black_holes: match dice.choose("swarm: black hole", 4) {
                3 => vec![window("swarm: black hole from", 90)],
                _ => Vec::new(),
            },
            slow: (dice.choose("swarm: slow calls", 4) == 3).then(|| {
                let peak = dice.pick("swarm: slowest call", &[1, 5, 90]);
                (window("swarm: slow from", 120), Duration::from_secs(peak))
            }),
        }
    }

    /// Whether nothing goes wrong.
    pub fn is_honest(&self) -> bool {
        let calls = [self.refused, self.request_lost, self.reply_lost];
        let delays = [
            self.request_duplicated,
            self.request_delayed,
            self.reply_delayed,
            self.late_extend,
            self.ack_forgotten,
            self.stream_reset,
            self.overshoot,
            self.duplicate,
        ];
        let is_never = |rate: &f64| *rate <= 0.0;
        self.permanent_from.is_none()
            && self.black_holes.is_empty()
            && self.slow.is_none()
            && calls.iter().chain(&delays).all(is_never)
            && self.keeps_leases()
    }

    /// Whether a lease lasts as long as the consumer was told.
    pub fn keeps_leases(&self) -> bool {
        let rates = [
            self.early_expiry,
            self.gone,
            self.item_refused,
            self.stream_reset,
        ];
        rates.iter().all(|rate| *rate <= 0.0)
    }

    pub(super) fn is_black_hole(&self, now: Instant) -> bool {
        self.black_holes.iter().any(|hole| hole.contains(&now))
    }

    /// When the black hole ends that `now` is in.
    pub(super) fn black_hole_end(&self, now: Instant) -> Option<Instant> {
        let holes = self.black_holes.iter().filter(|hole| hole.contains(&now));
        holes.map(|hole| hole.end).max()
    }

    /// What a call at `now` takes longer than usual.
    pub(super) fn slowness(&self, now: Instant) -> Duration {
        let Some((window, peak)) = self.slow.as_ref().filter(|slow| slow.0.contains(&now)) else {
            return Duration::ZERO;
        };
        let (passed, left) = (now - window.start, window.end - now);
        let half_nanos = ((window.end - window.start) / 2).as_nanos().max(1);
        let nanos = peak.as_nanos() * passed.min(left).as_nanos() / half_nanos;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            refused: 0.0,
            request_lost: 0.0,
            reply_lost: 0.0,
            timeout: Duration::from_secs(5),
            permanent_from: None,
            duplicate: 0.0,
            early_expiry: 0.0,
            gone: 0.0,
            item_refused: 0.0,
            request_duplicated: 0.0,
            request_delayed: 0.0,
            reply_delayed: 0.0,
            delay_max: Duration::from_secs(10),
            late_extend: 0.0,
            ack_forgotten: 0.0,
            stream_reset: 0.0,
            overshoot: 0.0,
            black_holes: Vec::new(),
            slow: None,
        }
    }
}
