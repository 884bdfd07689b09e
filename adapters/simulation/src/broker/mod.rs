//! An adversarial broker that knows the truth.
//!
//! `ledger` is the truth, `wire` what is under way before it, and this file the port: who waits for
//! what, and which call fails. What is under way happens at its instant whether or not anybody
//! waits for it: each look at the broker first catches up with the clock.

mod asked;
mod awaited;
mod facts;
mod ledger;
mod settings;
mod shared;
mod wire;

use std::fmt;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use mayhem_core::{
    Broker, BrokerCall, BrokerError, Caps, Clock, Extension, MessageId, Outcome, Pull, Received,
    Settlement,
};

use self::asked::Asked;
pub use self::facts::{Answer, CallStage, Fact, FactKind, Fate, SettleKind, Truth};
pub use self::settings::{Faults, SimSettings};
use self::shared::Shared;
use self::wire::{Batch, Wire};
use crate::executor::Place;
use crate::guarded::Guarded;
use crate::world::World;
use crate::{Dice, Simulation};

/// A broker that keeps the truth about every message and fails as it is told.
///
/// It lives in virtual time, or, made by [`on_clock`](Self::on_clock), on any clock and executor.
///
/// All clones are one broker. It outlives the consumer: run one, drop it, run another, and ask for
/// the [`truth`](Self::truth). A batch beyond its [`Caps`], empty, or naming a lease twice panics:
/// that is a bug of the consumer, not a fault of the broker.
///
/// # Examples
///
/// ```
/// use mayhem_core::{Broker, Pull};
/// use mayhem_sim::{Fate, SimBroker, SimSettings, Simulation};
///
/// let sim = Simulation::new(1);
/// let broker = SimBroker::new(&sim, SimSettings::default());
/// let id = broker.publish("hello");
/// let batch = sim.run(broker.receive(Pull::Next { count_max: 10 })).unwrap().unwrap();
/// assert_eq!(batch[0].message.id, id);
/// assert!(matches!(broker.truth(&id).fate, Fate::Leased { .. }));
/// ```
#[derive(Clone)]
pub struct SimBroker {
    shared: Arc<Shared>,
}

impl SimBroker {
    /// Makes an empty broker in the world of `sim`.
    pub fn new(sim: &Simulation, settings: SimSettings) -> Self {
        let broker = Self::assemble(
            Arc::new(sim.clock()),
            Some(sim.world()),
            sim.dice(),
            settings,
        );
        sim.hold(Place::Broker, broker.shared.clone());
        broker
    }

    /// Makes an empty broker on a clock of your choice: an in-memory broker for real executors.
    ///
    /// What goes wrong still follows from `seed`; when it does, from the clock.
    pub fn on_clock(clock: Arc<dyn Clock>, seed: u64, settings: SimSettings) -> Self {
        Self::assemble(clock, None, Dice::with_seed(seed), settings)
    }

    fn assemble(
        clock: Arc<dyn Clock>,
        world: Option<Arc<World>>,
        dice: Dice,
        settings: SimSettings,
    ) -> Self {
        let wire = Guarded::new(Wire::new(dice, settings.faults.clone()));
        Self {
            shared: Arc::new(Shared {
                clock,
                world,
                settings,
                wire,
            }),
        }
    }

    /// Publishes a message under a name of the broker's own: `m-1`, `m-2`, …
    pub fn publish(&self, payload: impl Into<Vec<u8>>) -> MessageId {
        let payload = payload.into();
        self.shared.visit(|wire, now| {
            let id = MessageId::from(format!("m-{}", wire.ledger.count() + 1));
            wire.ledger.publish(now, id.clone(), payload);
            id
        })
    }

    /// Publishes a message under `id`; panics when there is one already.
    pub fn publish_as(&self, id: impl Into<MessageId>, payload: impl Into<Vec<u8>>) {
        let (id, payload) = (id.into(), payload.into());
        self.shared
            .visit(|wire, now| wire.ledger.publish(now, id, payload));
    }

    /// Promises that nothing more is published: the source ends once every message is acked or
    /// dead.
    pub fn finish(&self) {
        self.shared.visit(|wire, _| {
            wire.is_finished = true;
            wire.changes += 1;
        });
    }

    /// Opens the source again after a consumer has closed it, for the next one.
    pub fn reopen(&self) {
        self.shared.visit(|wire, _| wire.is_closed = false);
    }

    /// Resolves once every message that was published is acked or dead.
    pub async fn drained(&self) {
        self.shared
            .wait(|wire, _| (wire.ledger.open_count() == 0).then_some(()))
            .await;
    }

    /// Whether every message that was published is acked or dead.
    pub fn is_drained(&self) -> bool {
        self.shared.visit(|wire, _| wire.ledger.open_count() == 0)
    }

    /// What the broker knows of a message; panics when it was never published.
    pub fn truth(&self, id: &MessageId) -> Truth {
        self.shared
            .visit(|wire, _| wire.ledger.truth(id).cloned())
            .unwrap_or_else(|| panic!("message {id} was never published"))
    }

    /// Every message that was published, the eldest first.
    pub fn ids(&self) -> Vec<MessageId> {
        self.shared.visit(|wire, _| wire.ledger.ids())
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.visit(|wire, _| {
            wire.faults = faults;
            wire.changes += 1;
        });
    }

    /// Has `listener` told of every fact, at once. It must not ask this broker anything.
    pub fn on_fact(&self, mut listener: impl FnMut(&Fact) + Send + 'static) {
        self.on_facts(move |facts| facts.iter().for_each(&mut listener));
    }

    /// As [`on_fact`](Self::on_fact), with the facts of one moment together.
    pub(crate) fn on_facts(&self, listener: impl FnMut(&[Fact]) + Send + 'static) {
        self.shared
            .visit(|wire, _| wire.listener = Some(Box::new(listener)));
    }

    /// Has `listener` told when a call begins and what it comes to. It must not ask this broker
    /// anything.
    pub fn on_call(&self, listener: impl FnMut(BrokerCall, CallStage) + Send + 'static) {
        self.shared
            .visit(|wire, _| wire.call_listener = Some(Box::new(listener)));
    }

    /// All that has happened so far, in order.
    pub fn facts(&self) -> Vec<Fact> {
        self.shared.visit(|wire, _| wire.ledger.facts().to_vec())
    }

    /// Has `visit` look at all that has happened so far, in order. It must not ask this broker
    /// anything.
    pub fn visit_facts(&self, visit: impl FnMut(&Fact)) {
        self.shared
            .visit(|wire, _| wire.ledger.facts().iter().for_each(visit));
    }

    /// All that has happened so far to one message, in order.
    pub fn facts_of(&self, id: &MessageId) -> Vec<Fact> {
        let mut facts = self.facts();
        facts.retain(|fact| fact.id == *id);
        facts
    }
}

impl Broker for SimBroker {
    fn receive(&self, pull: Pull) -> BoxFuture<'_, Result<Vec<Received>, BrokerError>> {
        async move {
            let asked = Asked::receive(&self.shared);
            let answer = self.shared.receive(pull).await;
            asked.received(&answer);
            answer
        }
        .boxed()
    }

    fn settle(&self, batch: Vec<Settlement>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        let count_max = self.shared.settings.caps.settle_count_max;
        check_batch(batch.iter().map(|item| item.lease.as_str()), count_max);
        self.shared.visit(|wire, now| {
            for item in &batch {
                let kind = FactKind::SettleCalled((&item.settle).into());
                wire.ledger.note_lease(now, &item.id, &item.lease, kind);
            }
        });
        self.shared.call(Batch::Settle(batch)).boxed()
    }

    fn extend(&self, batch: Vec<Extension>) -> BoxFuture<'_, Result<Vec<Outcome>, BrokerError>> {
        let count_max = self.shared.settings.caps.extend_count_max;
        check_batch(batch.iter().map(|item| item.lease.as_str()), count_max);
        self.shared.visit(|wire, now| {
            for item in &batch {
                let duration = item.duration;
                let kind = FactKind::ExtendCalled { duration };
                wire.ledger.note_lease(now, &item.id, &item.lease, kind);
            }
        });
        self.shared.call(Batch::Extend(batch)).boxed()
    }

    fn caps(&self) -> Caps {
        self.shared.settings.caps
    }
}

impl fmt::Debug for SimBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open_count = self.shared.wire.with(|wire| wire.ledger.open_count());
        f.debug_struct("SimBroker")
            .field("open_count", &open_count)
            .finish_non_exhaustive()
    }
}

fn check_batch<'a>(leases: impl Iterator<Item = &'a str>, count_max: usize) {
    let mut leases: Vec<&str> = leases.collect();
    let count = leases.len();
    assert!(count > 0, "a batch is never empty");
    assert!(
        count <= count_max,
        "a batch of {count} is beyond the cap of {count_max}"
    );
    // One by one if there are few, which is quicker than to sort them.
    let is_once = if count <= FEW {
        (1..count).all(|index| !leases[..index].contains(&leases[index]))
    } else {
        leases.sort_unstable();
        leases.windows(2).all(|pair| pair[0] != pair[1])
    };
    assert!(is_once, "a batch names every lease once");
}

/// Fewer than it takes for a sort to pay.
const FEW: usize = 8;
