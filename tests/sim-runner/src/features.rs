//! What a consumer of a life uses beyond the plain: each of it in few lives, and off by default.

use std::time::Duration;

use crate::batches::Batches;
use crate::fan_out::Policy;
use crate::handler::panic_as_planned;
use crate::hooks::NAMES;
use mayhem_core::{Builder, Control, Message, MessageId, NackedHead, OrderKey, Rate, Timeout};
use mayhem_sim::{Checker, Dice, Promises, SimClock};

/// The swarm's choice for one life.
#[derive(Clone, Debug)]
pub(crate) struct Features {
    timeout: Option<Timeout>,
    rate: Option<Rate>,
    /// From when on a poll of a handler is told of.
    slow_poll: Duration,
    /// The longest that leases are extended, where that is for as long as is needed.
    adaptive_max: Option<Duration>,
    has_keys: bool,
    /// Whether the keys of some messages cannot be told, now and then.
    has_bad_keys: bool,
    nacked_head: NackedHead,
    /// Whether the broker can delay a nack.
    pub(crate) can_delay: bool,
    pub(crate) policy: Policy,
    /// How often handlers bring the process down.
    pub(crate) kills: u64,
    /// How many hooks there are after a stop.
    pub(crate) hooks: usize,
    /// How many bytes may be in hand, where messages differ in size.
    bytes_max: Option<usize>,
    /// How often a consumer is paused, resumed or changed while it runs.
    changes: u64,
    /// How messages are handled together, if they are.
    pub(crate) batches: Option<Batches>,
}

impl Features {
    pub(crate) fn draw(dice: &Dice, lease: Duration) -> Self {
        let has = |label, rarity: u64| dice.choose(label, rarity) == rarity - 1;
        let rate = Rate {
            count: 1 + u32::try_from(dice.choose("swarm: rate", 4)).unwrap_or(0),
            period: SECOND,
            burst: 1 + u32::try_from(dice.choose("swarm: burst", 3)).unwrap_or(0),
        };
        let timeout = Timeout {
            soft: lease / 4,
            cancel: lease / 8 * u32::try_from(dice.choose("swarm: cancel", 8)).unwrap_or(0),
            stuck: lease / 8,
        };
        Self {
            timeout: has("swarm: timeout", 6).then_some(timeout),
            rate: has("swarm: has rate", 8).then_some(rate),
            slow_poll: dice.pick("swarm: slow poll", &[100, 100, 5_000, 0]) * MILLISECOND,
            adaptive_max: has("swarm: adaptive", 6)
                .then(|| lease * dice.pick("swarm: longest extension", &[2, 8])),
            has_keys: has("swarm: keys", 6),
            has_bad_keys: has("swarm: bad keys", 4),
            nacked_head: dice.pick(
                "swarm: nacked head",
                &[NackedHead::Stall, NackedHead::ReleaseTail],
            ),
            can_delay: !has("swarm: no delay", 8),
            policy: Policy::draw(dice),
            changes: if has("swarm: changes", 6) { 6 } else { 0 },
            kills: match has("swarm: kills", 8) {
                true => dice.pick("swarm: how many kills", &[1, 4, 12, 30]),
                false => 0,
            },
            hooks: match has("swarm: has hooks", 4) {
                true => dice.pick("swarm: hooks", &[1, 2, NAMES.len()]),
                false => 0,
            },
            bytes_max: has("swarm: bytes", 5).then(|| dice.pick("swarm: bytes in hand", &BYTES)),
            batches: has("swarm: batches", 6).then(|| Batches::draw(dice, lease)),
        }
    }

    /// How large the next message is.
    pub(crate) fn payload_bytes(&self, dice: &Dice) -> usize {
        match self.bytes_max {
            None => PAYLOADS[0],
            Some(_) => dice.pick("payload", &PAYLOADS),
        }
    }

    /// As what a consumer can be held to.
    pub(crate) fn promise(&self, promises: &mut Promises) {
        promises.timeout = self.timeout;
        promises.rate = self.rate;
        promises.slow_poll = self.slow_poll;
        promises.can_delay = self.can_delay;
        promises.key_of = self.has_keys.then_some(key_of);
        promises.nacked_head = self.nacked_head;
        promises.adaptive_max = self.adaptive_max;
        promises.prefetch_bytes = self.bytes_max.unwrap_or(promises.prefetch_bytes);
        // A shorter extension that comes late makes a lease shorter, and nobody can know.
        promises.keeps_leases &= promises.is_honest || self.adaptive_max.is_none();
    }

    pub(crate) fn build<B, C, H>(
        &self,
        mut builder: Builder<B, C, H>,
        lease: Duration,
        (dice, checker): (&Dice, &Checker),
    ) -> Builder<B, C, H> {
        builder = builder.slow_poll(self.slow_poll);
        if let Some(timeout) = self.timeout {
            builder = builder.handler_timeout(timeout);
        }
        if let Some(bytes_max) = self.bytes_max {
            builder = builder.prefetch_bytes(bytes_max);
        }
        if let Some(rate) = self.rate {
            builder = builder.rate(rate);
        }
        if let Some(longest) = self.adaptive_max {
            builder = builder.lease_adaptive(lease..=longest);
        }
        if self.has_keys {
            let (dice, checker) = (dice.clone(), checker.clone());
            let has_bad_keys = self.has_bad_keys;
            builder = builder
                .ordered_by(move |message: &Message| {
                    if has_bad_keys && dice.chance("bad key", BAD_KEYS) {
                        checker.key_panics(message);
                        panic_as_planned();
                    }
                    Some(OrderKey::of(&key_of(&message.id)))
                })
                .nacked_head(self.nacked_head);
        }
        builder
    }

    /// Changes a consumer while it runs; leaves it so that it gets on.
    pub(crate) async fn change(
        &self,
        (dice, clock, checker): (&Dice, &SimClock, &Checker),
        control: &Control,
    ) {
        for _ in 0..self.changes {
            clock
                .sleep(dice.duration("time to the change", 10 * SECOND))
                .await;
            match dice.choose("change", 4) {
                0 => {
                    let count = 1 << dice.choose("new concurrency", 5);
                    checker.concurrency_wanted(count);
                    control.set_concurrency(count);
                }
                1 => {
                    control.pause();
                    let pause = dice.duration("paused for", 20 * SECOND);
                    clock.sleep(pause).await;
                    control.resume();
                }
                2 => control.set_rate(Some(Rate::per_second(1 + as_count(dice)))),
                _ => control.set_rate(None),
            }
        }
    }
}

/// Messages `m-1`, `m-6`, `m-11` and so on have one key.
fn key_of(id: &MessageId) -> u64 {
    // The last digit says it: five divides ten.
    let last = id.as_str().bytes().last().unwrap_or(b'0');
    u64::from(last.saturating_sub(b'0')) % KEYS
}

fn as_count(dice: &Dice) -> u32 {
    u32::try_from(dice.choose("new rate", 20)).unwrap_or(0)
}

/// How many keys cannot be told, where some cannot.
const BAD_KEYS: f64 = 0.05;

/// Few, so that messages have to wait for one another.
const KEYS: u64 = 5;

/// From what few messages fill to what most lives never reach.
const BYTES: [usize; 4] = [16 << 10, 4 << 10, 1 << 10, 300];

/// Most messages are small, and a few larger than all the room there is.
const PAYLOADS: [usize; 6] = [8, 8, 100, 100, 300, 2_000];

const SECOND: Duration = Duration::from_secs(1);

const MILLISECOND: Duration = Duration::from_millis(1);
