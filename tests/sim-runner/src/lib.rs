//! Simulated lives of `mayhem-core`: what the runner runs, and what its tests run in small.
//!
//! In reading order: `settings` (what the dice decide about one life), `features` (what its
//! consumers use), `fan_out` (their branches), `handler` (what its handlers do), `batches` (which
//! of them go together), `kills` (which bring the process down), `hooks` (what follows a stop),
//! `stopper` (what is told), `output` (what is printed), `apart` (what is polled with a consumer,
//! or not), `life` (consumers that come, stop, crash and go until every message has its fate),
//! `totals` (what many lives met), `search` (many seeds on several threads), `bugs` (those that are
//! planted in the engine).

mod apart;
mod batches;
mod bugs;
mod fan_out;
mod features;
mod handler;
mod hooks;
mod kills;
mod life;
mod output;
mod search;
mod settings;
mod stopper;
mod totals;

pub use bugs::{Hunted, bugs, hunt, hunt_all};
pub use life::{Life, live};
pub use output::say;
pub use search::{Failed, Search, run_seed, shrink_seed};
pub use totals::{Tally, Totals};
