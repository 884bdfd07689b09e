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
mod broker;
mod clock;
mod executor;
mod world;

pub use broker::{Fact, FactKind, Fate, Faults, SettleKind, SimBroker, SimSettings, Truth};
pub use clock::SimClock;
pub use executor::{Hang, SimSpawn, Simulation};
