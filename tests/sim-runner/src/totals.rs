//! What lives met.

use std::collections::BTreeMap;
use std::time::Duration;

use mayhem_core::{Event, HookEnd, HookOutcome};
use mayhem_sim::{Fact, FactKind};

/// What one life met.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Consumers.
    pub lives: u64,
    /// Consumers that were dropped while they ran.
    pub crashes: u64,
    /// Those of them that a handler brought down.
    pub kills: u64,
    /// Consumers that were stopped.
    pub stops: u64,
    /// Messages published.
    pub messages: u64,
    /// Deliveries under a lease of their own.
    pub deliveries: u64,
    /// Leases extended.
    pub extensions: u64,
    /// Leases that ran out or were forgotten.
    pub expiries: u64,
    /// Handlers that panicked.
    pub panics: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// 1 when nothing went wrong in it.
    pub honest: u64,
    /// Virtual time.
    pub elapsed: Duration,
    /// Faults by name.
    pub hits: BTreeMap<&'static str, u64>,
    /// What consumers told of, beside what all of them do, by name.
    pub told: BTreeMap<&'static str, u64>,
    /// The hash of everything that happened.
    pub fingerprint: u64,
}

/// What many lives met.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Lives, each of its own seed.
    pub seeds: u64,
    /// The sums; the fingerprints are added up, so that the order of the seeds is of no matter.
    pub sum: Tally,
}

impl Tally {
    pub(crate) fn add_report(&mut self, totals: &mayhem_core::Totals) {
        self.panics += totals.panicked;
    }

    pub(crate) fn add_hooks(&mut self, hooks: &[HookEnd]) {
        for hook in hooks {
            let name = match hook.outcome {
                HookOutcome::Done => "hook done",
                HookOutcome::Failed(_) => "hook failed",
                HookOutcome::Panicked(_) => "hook panicked",
                HookOutcome::TimedOut => "hook timed out",
                HookOutcome::Abandoned => "hook abandoned",
                HookOutcome::Skipped => "hook skipped",
                _ => continue,
            };
            *self.told.entry(name).or_default() += 1;
        }
    }

    pub(crate) fn add_fact(&mut self, fact: &Fact) {
        match fact.kind {
            FactKind::Delivered { .. } => self.deliveries += 1,
            FactKind::Extended { .. } => self.extensions += 1,
            FactKind::Expired => self.expiries += 1,
            _ => {}
        }
    }

    fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.crashes += other.crashes;
        self.kills += other.kills;
        self.stops += other.stops;
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.extensions += other.extensions;
        self.expiries += other.expiries;
        self.panics += other.panics;
        self.polls += other.polls;
        self.honest += other.honest;
        self.elapsed += other.elapsed;
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
        for (label, count) in &other.hits {
            *self.hits.entry(label).or_default() += count;
        }
        for (name, count) in &other.told {
            *self.told.entry(name).or_default() += count;
        }
    }
}

/// The name of an event that only some lives have.
pub(crate) fn name_of(event: &Event) -> Option<&'static str> {
    let name = match event {
        Event::Shed(_) => "shed",
        Event::Poisoned { .. } => "poisoned",
        Event::DeadLettered { .. } => "dead-lettered",
        Event::Postponed { .. } => "postponed",
        Event::SlowPoll { .. } => "slow poll",
        Event::HandlerOverdue { .. } => "handler overdue",
        Event::HandlerTimedOut { .. } => "handler timed out",
        Event::HandlerStuck { .. } => "handler stuck",
        Event::ShieldPanicked { .. } => "shield panicked",
        Event::Abandoned(_) => "abandoned",
        Event::KeyStalled(_) => "key stalled",
        Event::TailReleased { .. } => "tail released",
        Event::Paused => "paused",
        Event::ConcurrencySet(_) => "concurrency set",
        Event::RateSet(_) => "rate set",
        _ => return None,
    };
    Some(name)
}

impl Totals {
    /// Adds a life.
    pub fn add(&mut self, life: &Tally) {
        self.seeds += 1;
        self.sum.add(life);
    }

    /// Adds lives.
    pub fn merge(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.sum.add(&other.sum);
    }

    /// The counts, by the names they are printed under.
    pub fn rows(&self) -> Vec<(&'static str, u64)> {
        let sum = &self.sum;
        vec![
            ("seeds", self.seeds),
            ("of them without faults", sum.honest),
            ("consumers", sum.lives),
            ("crashes", sum.crashes),
            ("of them by a handler", sum.kills),
            ("stops", sum.stops),
            ("messages", sum.messages),
            ("deliveries", sum.deliveries),
            ("extensions", sum.extensions),
            ("leases lost", sum.expiries),
            ("handlers panicked", sum.panics),
            ("polls", sum.polls),
            ("simulated hours", sum.elapsed.as_secs() / 3_600),
        ]
    }
}
