//! A seeded executor, a virtual clock and an adversarial broker for `mayhem-core`.
//!
//! ```text
//! Simulation::new(seed) ── clock() ──→ SimClock ─┐
//!        │      │       └─ spawner() → SimSpawn ─┼─→ mayhem_core::Consumer ─→ your handler
//!        │      └───────── SimBroker::new(..) ───┘          │
//!        └─ run(future): polls by seed, jumps to the next timer, names what hangs
//! ```
//!
//! Everything happens on the calling thread. Time stands still while anything can run and jumps to
//! the next timer when nothing can, so an hour of leases costs milliseconds and no test waits. The
//! same seed makes the same choices: [`Simulation::fingerprint`] proves it, and a failing seed is a
//! reproduction. Threads, files and sockets are not simulated; a task that waits for one hangs, and
//! the run says so.
//!
//! For whoever writes a broker adapter there is [`contract`]: what an adapter owes, as checks.
//!
//! A [`Checker`] holds the consumer to its promises at every step, whatever the broker, the machine
//! and the handler do: see [`INVARIANTS`]. [`explore`] runs a scenario of yours with one seed after
//! the other, makes the first that fails smaller, and returns what is needed to run it again:
//! the example there is a whole test of a handler.
//!
//! # Examples
//!
//! A broker that forgets replies, and a handler of yours under test:
//!
//! ```
//! use mayhem_core::{Consumer, Delivery, Verdict};
//! use mayhem_sim::{Fate, Faults, SimBroker, SimSettings, Simulation};
//!
//! let sim = Simulation::new(7);
//! let broker = SimBroker::new(
//!     &sim,
//!     SimSettings {
//!         faults: Faults { reply_lost: 0.2, ..Faults::default() },
//!         ..SimSettings::default()
//!     },
//! );
//! let id = broker.publish("restart web-1");
//! broker.finish();
//!
//! let consumer = Consumer::builder()
//!     .broker(broker.clone())
//!     .clock(sim.clock())
//!     .handler(async |delivery: &Delivery| {
//!         assert_eq!(delivery.payload(), b"restart web-1");
//!         Verdict::Ack
//!     })
//!     .build();
//! let report = sim.run(consumer.run()).expect("the consumer ends with its source");
//!
//! assert!(report.is_balanced());
//! assert_eq!(broker.truth(&id).fate, Fate::Acked);
//! ```
mod broker;
mod by_task;
mod check;
mod clock;
pub mod contract;
mod executor;
mod explore;
mod fingerprint;
mod guarded;
mod hang;
mod hazards;
mod store;
mod tape;
mod timers;
mod world;

pub use broker::{
    Answer, CallStage, Fact, FactKind, Fate, Faults, SettleKind, SimBroker, SimSettings, Truth,
};
pub use check::{Checker, Hold, INVARIANTS, Promises};
pub use clock::SimClock;
pub use executor::{SimSpawn, Simulation};
pub use explore::{Found, attempt, explore, shrink};
pub use hang::{Hang, Violation};
pub use hazards::{Hazards, Schedule};
pub use store::{CommitFailed, SimStore, StoreSettings};
pub use tape::{Choice, Dice, NotATape, Tape};
