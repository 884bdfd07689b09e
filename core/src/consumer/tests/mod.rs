//! The consumer end to end, in hand-turned time: with handlers inside `run()`, and as tasks.

mod adaptive;
mod batched;
mod batched_storms;
mod bounds;
mod combined;
mod duplicates;
pub(super) mod engines;
mod extremes;
mod failures;
mod fairness;
mod flow;
mod hooks;
mod leases;
mod long_polls;
mod observing;
mod ordering;
mod ordering_pauses;
mod ordering_sheds;
mod ordering_storms;
mod pace;
mod parking;
mod pauses;
mod poison;
mod settlements;
mod shields;
mod shutdown;
mod spawned;
mod storms;
mod timeouts;
mod untold;
mod verdicts;

use crate::testing;
