//! What the dice decide about one life before it begins.

use std::time::Duration;

use crate::features::Features;
use mayhem_core::{Backoff, Instant, Jitter, Plan};
use mayhem_sim::{Dice, Faults, Hazards, Promises, SimSettings, Simulation, StoreSettings};

/// The swarm's settings of one life.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) messages: u64,
    pub(crate) lease: Duration,
    pub(crate) broker: SimSettings,
    pub(crate) store: StoreSettings,
    pub(crate) hazards: Hazards,
    /// Whether nothing goes wrong in the broker, the store or the process.
    pub(crate) is_honest: bool,
    /// How slow handlers may be, in fortieths of a lease.
    pub(crate) slowness: u32,
    /// In how many ways a branch may end, of which five are bad.
    pub(crate) branch_ends: u64,
    /// Consumers that end before their work is done.
    pub(crate) unrest: u64,
    /// At which attempt a retry becomes a dead letter.
    max_deliveries: u32,
    /// At which attempt a message is not started any more.
    poison_after: u32,
    nack_delay_min: Duration,
    failure_plan: Plan,
    pub(crate) features: Features,
}

/// How one consumer of a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With its source; or with a stop, if that has taken so many events.
    Drained { events_max: Option<u64> },
    /// With so many stops, at random times.
    Stops(u32),
    /// With a stop at an event.
    StopAtEvent(u64),
    /// With a panic of the observer, at an event.
    ObserverPanics(u64),
    /// Dropped before this poll.
    Crash(u64),
}

impl Settings {
    pub(crate) fn draw(sim: &Simulation, messages: Option<u64>) -> Self {
        let dice = &sim.dice();
        let is_honest = dice.choose("swarm: faults", 4) == 0;
        let lease = Duration::from_secs(5 + dice.choose("swarm: lease", 26));
        let (mut faults, mut hazards, mut store) = (
            Faults::default(),
            Hazards::default(),
            StoreSettings::default(),
        );
        if !is_honest {
            faults = Faults::swarm(dice);
            hazards = Hazards::swarm(dice);
            store = StoreSettings::swarm(dice);
        }
        if !is_honest && dice.choose("swarm: broker breaks", 16) == 15 {
            let at = dice.duration("swarm: breaks at", Duration::from_secs(60));
            faults.permanent_from = Some(Instant::ZERO + at);
        }
        let is_sluggish = !is_honest && dice.choose("swarm: sluggish", 8) == 7;
        let milliseconds = |label| Duration::from_millis(dice.pick(label, &[0, 5, 50, 500]));
        let features = Features::draw(dice, lease);
        let mut caps = SimSettings::default().caps;
        caps.nack_delay = features.can_delay;
        // Where all is well there is room for all extensions in time.
        let counts = if is_honest { &COUNTS[..4] } else { &COUNTS };
        caps.settle_count_max = dice.pick("swarm: settlements in a call", counts);
        caps.extend_count_max = dice.pick("swarm: extensions in a call", counts);
        if is_sluggish {
            faults.request_delayed = 0.3;
            faults.reply_delayed = 0.3;
            faults.delay_max = lease;
        }
        Self {
            messages: messages.unwrap_or_else(|| dice.pick("swarm: messages", &MESSAGES)),
            lease,
            broker: SimSettings {
                lease,
                receive_latency: Duration::ZERO..=milliseconds("swarm: receive latency"),
                call_latency: Duration::ZERO..=if is_sluggish {
                    lease / 3
                } else {
                    milliseconds("swarm: call latency")
                },
                is_shuffled: dice.choose("swarm: shuffled", 2) == 1,
                faults,
                caps,
            },
            store,
            hazards,
            is_honest,
            slowness: dice.pick("swarm: slowness", &[1, 1, 20, SLOW]),
            branch_ends: dice.pick("swarm: branch ends", &BRANCH_ENDS),
            unrest: dice.choose("swarm: lives", 6),
            max_deliveries: dice.pick("swarm: attempts", &ATTEMPTS_MAX),
            poison_after: dice.pick("swarm: poison", &[0, 0, 15, u32::MAX]),
            failure_plan: Plan {
                drain: dice.pick("swarm: failure drain", &[0, 0, 5, 20]) * SECOND,
                grace: dice.pick("swarm: failure grace", &[5, 0, 20]) * SECOND,
                flush: dice.pick("swarm: failure flush", &[5, 0, 20]) * SECOND,
            },
            nack_delay_min: dice.pick("swarm: least delay", &[100, 100, 0, 2_000]) * MILLISECOND,
            features,
        }
    }

    /// The settings of one consumer, as what it can be held to.
    pub(crate) fn promises(&self, dice: &Dice, round: u64) -> Promises {
        let faults = &self.broker.faults;
        // What has nothing to fear, any more, is not to give up a lease either.
        let is_patient = self.is_patient(round);
        let patience = if is_patient { PATIENCE } else { 1 };
        let longest = 4 + u32::try_from(dice.choose("longest lease", 7)).unwrap_or(0);
        let concurrency: &[usize] = if self.slowness < SLOW {
            &[1, 2, 8, 64]
        } else {
            // One after the other they would take hours, and nothing new would happen.
            &[64, 8, 8, 2]
        };
        let mut promises = Promises {
            concurrency: dice.pick("concurrency", concurrency),
            prefetch: dice.pick("prefetch", &[64, 8, 2, 1]),
            lease: self.lease,
            lease_max: longest * patience * self.lease,
            max_deliveries: self.max_deliveries,
            poison_after: self.poison_after,
            nack_delay_min: self.nack_delay_min,
            backoff: Backoff {
                base: SECOND,
                max: 10 * SECOND,
                factor: 2,
                jitter: dice.pick("jitter", &[Jitter::None, Jitter::Equal, Jitter::Full]),
            },
            failure_plan: self.failure_plan,
            is_honest: self.is_honest,
            keeps_leases: faults.keeps_leases() && faults.duplicate <= 0.0,
            may_overshoot: faults.overshoot > 0.0,
            may_break: faults.permanent_from.is_some(),
            ..Promises::default()
        };
        self.features.promise(&mut promises);
        promises
    }

    /// Whether nothing goes wrong, or nothing more.
    pub(crate) fn is_patient(&self, round: u64) -> bool {
        self.is_honest || round > self.unrest
    }

    pub(crate) fn ending(&self, dice: &Dice, round: u64) -> Ending {
        if round >= self.unrest {
            let events_max = self.messages * EVENTS_PER_MESSAGE;
            let is_last = round > self.unrest;
            return Ending::Drained {
                events_max: (!is_last).then_some(events_max),
            };
        }
        let kinds = if self.is_honest { 5 } else { 7 };
        match dice.choose("end of life", kinds) {
            0 => Ending::Stops(1),
            1 => Ending::StopAtEvent(dice.choose("stop at event", 400)),
            2 => Ending::ObserverPanics(dice.choose("observer panics at", 400)),
            3 if self.is_honest => Ending::Stops(1),
            4 if self.is_honest => Ending::StopAtEvent(dice.choose("stop at event", 400)),
            3 => Ending::Stops(2 + u32::from(dice.choose("third stop", 2) == 1)),
            _ => Ending::Crash(1 + dice.choose("crash at poll", 200)),
        }
    }

    pub(crate) fn plan(&self, dice: &Dice) -> Plan {
        // A grace or a flush that is too short gives deliveries up, whose leases then run out.
        let least = if self.is_honest {
            20 * SECOND
        } else {
            Duration::ZERO
        };
        Plan {
            drain: dice.duration("drain", 20 * SECOND),
            grace: least + dice.duration("grace", 20 * SECOND),
            flush: least + dice.duration("flush", 20 * SECOND),
        }
    }
}

/// Most lives have fifty messages; the small ones are where shrinking goes.
const MESSAGES: [u64; 16] = [1, 4, 12, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50];

/// How many items a call of the broker may have.
const COUNTS: [usize; 5] = [1_000, 1_000, 1_000, 16, 3];

/// In how many ways a branch may end: in most lives most of them are good.
pub(crate) const BRANCH_ENDS: [u64; 6] = [40, 40, 40, 40, 40, 12];

/// How much longer what is patient may keep a lease.
const PATIENCE: u32 = 1_000;

/// From here on a handler takes longer than a lease, in fortieths of it.
const SLOW: u32 = 100;

/// A consumer that has told of more than this gives its messages back again and again, and makes
/// room for one that is more patient.
const EVENTS_PER_MESSAGE: u64 = 40;

/// At which attempt a retry becomes a dead letter: most lives leave room for what goes wrong.
const ATTEMPTS_MAX: [u32; 6] = [10, 10, 10, 10, 3, 1];

const SECOND: Duration = Duration::from_secs(1);

const MILLISECOND: Duration = Duration::from_millis(1);
