//! The broker's knobs. Every default is the honest one.

use std::ops::RangeInclusive;
use std::time::Duration;

use mayhem_core::{Caps, Instant};

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
    /// Whether nothing goes wrong.
    pub fn is_honest(&self) -> bool {
        let rates = [
            self.refused,
            self.request_lost,
            self.reply_lost,
            self.duplicate,
            self.early_expiry,
            self.gone,
        ];
        self.permanent_from.is_none() && rates.iter().all(|rate| *rate <= 0.0)
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
        }
    }
}
