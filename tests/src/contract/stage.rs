//! A consumer on stage: a simulation, a broker, and everything that either of them says.
//!
//! Every run is checked against the ledger and against what a consumer must never do, whatever its
//! handler and its broker do.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{Either, select};
use mayhem_core::{
    Broker, Builder, Clock, Consumer, Event, Execution, Failure, Instant, LeaseToken, MessageId,
    NoHandler, Phase, Report,
};
use mayhem_sim::{Fact, FactKind, SettleKind, SimBroker, SimClock, SimSettings, Simulation};

/// One simulated world with one broker.
#[derive(Debug)]
pub struct Stage {
    /// The world.
    pub sim: Simulation,
    /// Its clock.
    pub clock: SimClock,
    /// The broker, which outlives the consumers.
    pub broker: SimBroker,
    events: Arc<Mutex<Vec<(Instant, Event)>>>,
}

impl Stage {
    /// A world with an honest broker.
    pub fn new() -> Self {
        Self::with(1, SimSettings::default())
    }

    /// A world by `seed`, with a broker as `settings` say.
    pub fn with(seed: u64, settings: SimSettings) -> Self {
        let sim = Simulation::new(seed);
        Self {
            clock: sim.clock(),
            broker: SimBroker::new(&sim, settings),
            sim,
            events: Arc::default(),
        }
    }

    /// Publishes `count` messages: `m-1`, `m-2`, …
    pub fn publish(&self, count: usize) -> Vec<MessageId> {
        (0..count).map(|_| self.broker.publish("payload")).collect()
    }

    /// A consumer of this broker, in this time, whose events are kept.
    pub fn consumer(&self) -> Builder<Arc<dyn Broker>, Arc<dyn Clock>, NoHandler> {
        self.consumer_told(|_| ())
    }

    /// The same, with an observer that is told after the event is kept.
    pub fn consumer_told(
        &self,
        mut observer: impl FnMut(&Event) + Send + 'static,
    ) -> Builder<Arc<dyn Broker>, Arc<dyn Clock>, NoHandler> {
        let (clock, events) = (self.clock.clone(), Arc::clone(&self.events));
        Consumer::builder()
            .broker(self.broker.clone())
            .clock(self.clock.clone())
            .seed(self.sim.seed())
            .on_event(move |event| {
                events.lock().unwrap().push((clock.now(), event.clone()));
                observer(event);
            })
    }

    /// Runs a consumer to its end, and checks it.
    pub fn run<E: Execution>(&self, consumer: Consumer<E>) -> Report {
        self.run_with(consumer, std::future::ready(()))
    }

    /// Runs a consumer to its end beside a script, and checks it.
    pub fn run_with<E: Execution>(
        &self,
        consumer: Consumer<E>,
        script: impl Future<Output = ()>,
    ) -> Report {
        let first_event = self.events().len();
        let first_fact = self.broker.facts().len();
        let both = pin!(async { futures::join!(consumer.run(), script).0 });
        let horizon = self.clock.sleep(HORIZON);
        let report = match self.sim.run(select(both, horizon)) {
            Ok(Either::Left((report, _))) => report,
            Ok(Either::Right(_)) => self.fail("it has no end"),
            Err(hang) => self.fail(&hang.to_string()),
        };
        let mistakes = self.mistakes(&report, first_event, first_fact);
        if !mistakes.is_empty() {
            self.fail(&mistakes.join("; "));
        }
        report
    }

    /// Everything the consumers told, in order.
    pub fn events(&self) -> Vec<(Instant, Event)> {
        self.events.lock().unwrap().clone()
    }

    /// How many events are as `is_wanted` says.
    pub fn count(&self, is_wanted: impl Fn(&Event) -> bool) -> usize {
        self.events()
            .iter()
            .filter(|(_, event)| is_wanted(event))
            .count()
    }

    /// When the first event came that is as `is_wanted` says.
    pub fn first(&self, is_wanted: impl Fn(&Event) -> bool) -> Option<Duration> {
        let events = self.events();
        let found = events.iter().find(|(_, event)| is_wanted(event));
        found.map(|(at, _)| *at - Instant::ZERO)
    }

    /// The time since the world began.
    pub fn elapsed(&self) -> Duration {
        self.clock.now() - Instant::ZERO
    }

    /// The phases that were entered, in order.
    pub fn phases(&self) -> Vec<Phase> {
        let phase = |(_, event): &(Instant, Event)| match event {
            Event::Phase(phase) => Some(*phase),
            _ => None,
        };
        self.events().iter().filter_map(phase).collect()
    }

    /// When a message was delivered.
    pub fn deliveries(&self, id: &MessageId) -> Vec<Duration> {
        let facts = self.broker.facts_of(id);
        let delivered = facts
            .iter()
            .filter(|fact| matches!(fact.kind, FactKind::Delivered { .. }));
        delivered.map(|fact| fact.at - Instant::ZERO).collect()
    }

    /// When the consumer asked for which settlement of a message.
    pub fn settlements(&self, id: &MessageId) -> Vec<(Duration, SettleKind)> {
        let facts = self.broker.facts_of(id);
        let called = facts.iter().filter_map(|fact| match fact.kind {
            FactKind::SettleCalled(kind) => Some((fact.at - Instant::ZERO, kind)),
            _ => None,
        });
        called.collect()
    }

    fn mistakes(&self, report: &Report, first_event: usize, first_fact: usize) -> Vec<String> {
        let mut mistakes = lease_mistakes(&self.broker.facts(), first_fact);
        if !report.is_balanced() {
            mistakes.push(format!("unbalanced: {:?}", report.totals));
        }
        // An observer that panicked is not told the rest.
        if !matches!(report.error, Some(Failure::ObserverPanicked(_))) {
            mistakes.extend(ledger_mistakes(report, &self.events()[first_event..]));
        }
        mistakes
    }

    /// Shows the last things that happened and gives up.
    ///
    /// # Panics
    ///
    /// Always, with the seed and `reason`.
    pub fn fail(&self, reason: &str) -> ! {
        let events = self.events().into_iter();
        let mut lines: Vec<_> = events
            .map(|(at, event)| (at, format!("told {event:?}")))
            .collect();
        let facts = self.broker.facts().into_iter();
        lines.extend(facts.map(|fact| (fact.at, fact.to_string())));
        lines.sort_by_key(|line| line.0);
        for (at, line) in lines.iter().skip(lines.len().saturating_sub(LINES_MAX)) {
            eprintln!("{:?} {line}", *at - Instant::ZERO);
        }
        panic!("seed {}: {reason}", self.sim.seed())
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

/// Every delivery has one end, and the totals count the events.
fn ledger_mistakes(report: &Report, events: &[(Instant, Event)]) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut open: BTreeMap<(MessageId, u32), i64> = BTreeMap::new();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, event) in events {
        let (name, change) = match event {
            Event::Received(_) => ("received", 1),
            Event::Acked(_) => ("acked", -1),
            Event::Nacked { .. } => ("nacked", -1),
            Event::Released(_) => ("released", -1),
            Event::DeadLettered { .. } => ("dead_lettered", -1),
            Event::Expired(_) => ("expired", -1),
            Event::Abandoned(_) => ("abandoned", -1),
            Event::Merged(_) => ("merged", -1),
            _ => continue,
        };
        *counts.entry(name).or_default() += 1;
        let key = event.delivery().expect("each of these names its delivery");
        let open = open.entry((key.id.clone(), key.attempt)).or_default();
        *open += change;
        if *open < 0 {
            mistakes.push(format!("{key} ends more often than it was received"));
        }
    }
    let left = open.iter().filter(|(_, count)| **count > 0);
    mistakes.extend(left.map(|((id, attempt), _)| format!("{id} attempt {attempt} has no end")));
    let totals = &report.totals;
    for (name, total) in [
        ("received", totals.received),
        ("acked", totals.acked),
        ("nacked", totals.nacked),
        ("released", totals.released),
        ("dead_lettered", totals.dead_lettered),
        ("expired", totals.expired),
        ("abandoned", totals.abandoned),
        ("merged", totals.merged),
    ] {
        let count = counts.get(name).copied().unwrap_or(0);
        if count != total {
            mistakes.push(format!("{count} events {name}, but a total of {total}"));
        }
    }
    mistakes
}

/// Within one run a lease is settled one way only, and never extended after that was asked.
///
/// A lease that was delivered twice may be another delivery by then.
fn lease_mistakes(facts: &[Fact], first_fact: usize) -> Vec<String> {
    let is_duplicated = |fact: &&Fact| fact.kind == FactKind::Duplicated;
    let duplicated: HashSet<_> = facts
        .iter()
        .filter(is_duplicated)
        .map(|fact| &fact.lease)
        .collect();
    let mut settled: HashMap<&Option<LeaseToken>, SettleKind> = HashMap::new();
    let mut mistakes = Vec::new();
    for fact in &facts[first_fact..] {
        if duplicated.contains(&fact.lease) {
            continue;
        }
        match (&fact.kind, settled.get(&fact.lease)) {
            (FactKind::SettleCalled(kind), None) => {
                settled.insert(&fact.lease, *kind);
            }
            (FactKind::SettleCalled(kind), Some(before)) if !is_same_way(*kind, *before) => {
                mistakes.push(format!("{fact}, and before as {before:?}"));
            }
            (FactKind::ExtendCalled { .. }, Some(before)) => {
                mistakes.push(format!("{fact}, though settled as {before:?}"));
            }
            _ => {}
        }
    }
    mistakes
}

/// A settlement that is asked for again may ask for another delay: time has passed.
fn is_same_way(one: SettleKind, other: SettleKind) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

/// Far more virtual time than any run needs.
const HORIZON: Duration = Duration::from_secs(100 * 3_600);

/// Enough to see what went wrong.
const LINES_MAX: usize = 200;
