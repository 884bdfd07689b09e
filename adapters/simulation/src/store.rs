//! A store that a handler writes to: what is durable, what a crash takes away, and what fails.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use mayhem_core::{Clock, Instant};

use crate::executor::Place;
use crate::fingerprint::Map;
use crate::guarded::Guarded;
use crate::hazards::swarm_rate;
use crate::{Dice, SimClock, Simulation};

/// How a [`SimStore`] behaves. The default is a store that commits at once and never fails.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// How long a commit takes until it is durable; zero by default.
    pub latency: RangeInclusive<Duration>,
    /// Per commit: it fails without effect.
    pub failed: f64,
    /// Per commit: it becomes durable, but the caller learns of an error.
    pub reply_lost: f64,
    /// Per commit: it takes fifty times as long, as behind another's lock.
    pub locked: f64,
    /// Whether the store refuses everything after a failure, until it is
    /// [opened again](SimStore::reopen).
    pub is_latching: bool,
}

/// A store of keys that lives longer than the process. All clones are one store.
///
/// A commit becomes durable at its instant, even if its future has been dropped by then; a
/// [crash](Self::crash) takes away what is not durable yet.
///
/// # Examples
///
/// ```
/// use mayhem_sim::{SimStore, Simulation, StoreSettings};
///
/// let sim = Simulation::new(1);
/// let store = SimStore::new(&sim, StoreSettings::default());
/// sim.run(store.commit("restart web-1")).unwrap().unwrap();
/// store.crash();
/// assert!(store.is_durable("restart web-1"));
/// ```
#[derive(Clone)]
pub struct SimStore {
    clock: SimClock,
    dice: Dice,
    settings: Arc<StoreSettings>,
    rows: Arc<Guarded<Rows>>,
}

/// A commit failed; whether it is durable is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitFailed;

#[derive(Default)]
struct Rows {
    durable: Map<String, Instant>,
    pending: BTreeMap<(Instant, u64), String>,
    serial: u64,
    is_latched: bool,
}

impl SimStore {
    /// Makes an empty store in the world of `sim`.
    pub fn new(sim: &Simulation, settings: StoreSettings) -> Self {
        let rows = Arc::<Guarded<Rows>>::default();
        sim.hold(Place::Store, rows.clone());
        Self {
            clock: sim.clock(),
            dice: sim.dice(),
            settings: Arc::new(settings),
            rows,
        }
    }

    /// Writes a key. Writing it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`CommitFailed`], after which the key may be durable.
    pub async fn commit(&self, key: &str) -> Result<(), CommitFailed> {
        let (settings, dice) = (&self.settings, &self.dice);
        if self.visit(|rows, _| rows.is_latched) {
            return Err(CommitFailed);
        }
        if dice.chance("commit failed", settings.failed) {
            self.latch();
            return Err(CommitFailed);
        }
        let is_reply_lost = dice.chance("commit reply lost", settings.reply_lost);
        let (low, high) = (*settings.latency.start(), *settings.latency.end());
        let mut latency = low + dice.duration("commit latency", high.saturating_sub(low));
        if dice.chance("store locked", settings.locked) {
            latency *= 50;
        }
        let at = self.visit(|rows, now| {
            rows.serial += 1;
            rows.pending
                .insert((now + latency, rows.serial), key.to_owned());
            now + latency
        });
        self.clock.sleep_until(at).await;
        if is_reply_lost {
            self.latch();
            return Err(CommitFailed);
        }
        // A crash may have taken it away.
        let is_durable = self.visit(|rows, _| rows.durable.contains_key(key));
        if is_durable {
            Ok(())
        } else {
            Err(CommitFailed)
        }
    }

    /// Whether a key is safe.
    pub fn is_durable(&self, key: &str) -> bool {
        self.visit(|rows, _| rows.durable.contains_key(key))
    }

    /// How many keys are safe.
    pub fn count(&self) -> usize {
        self.visit(|rows, _| rows.durable.len())
    }

    /// Takes away what is not durable, and opens the store again.
    pub fn crash(&self) {
        self.visit(|rows, _| rows.pending.clear());
        self.reopen();
    }

    /// Has a store that latched take commits again.
    pub fn reopen(&self) {
        self.visit(|rows, _| rows.is_latched = false);
    }

    fn latch(&self) {
        let is_latching = self.settings.is_latching;
        self.visit(|rows, _| rows.is_latched |= is_latching);
    }

    /// Catches up with the clock, and looks or changes.
    fn visit<T>(&self, visit: impl FnOnce(&mut Rows, Instant) -> T) -> T {
        let now = self.clock.now();
        self.rows.with(|rows| {
            while let Some(first) = rows.pending.first_entry()
                && first.key().0 <= now
            {
                let at = first.key().0;
                let key = first.remove();
                rows.durable.entry(key).or_insert(at);
            }
            visit(rows, now)
        })
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStore")
            .field("count", &self.rows.with(|rows| rows.durable.len()))
            .finish_non_exhaustive()
    }
}

impl StoreSettings {
    /// Draws a mixture of its own for one run.
    pub fn swarm(dice: &Dice) -> Self {
        Self {
            latency: Duration::ZERO
                ..=dice.pick("swarm: commit latency", &[1, 10, 300]) * MILLISECOND,
            failed: swarm_rate(dice, "swarm: commit failed", 0.02),
            reply_lost: swarm_rate(dice, "swarm: commit reply lost", 0.02),
            locked: swarm_rate(dice, "swarm: store locked", 0.01),
            is_latching: false,
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO..=Duration::ZERO,
            failed: 0.0,
            reply_lost: 0.0,
            locked: 0.0,
            is_latching: false,
        }
    }
}

impl fmt::Display for CommitFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated: the commit failed")
    }
}

impl Error for CommitFailed {}

const MILLISECOND: Duration = Duration::from_millis(1);
