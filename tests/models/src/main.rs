//! The bridge under model checkers: `run`, in the folder of this package, builds and runs it.
//!
//! Built for loom it holds small models, explored exhaustively up to a number of preemptions; built
//! for shuttle, scenarios of the whole bridge, each run under many random schedules. The code that
//! is checked is the bridge's own, unchanged: only its locks, threads and clock are the checker's.
//!
//! Every planted bug of the bridge (`bug("…")` in its sources) must be caught by the model that is
//! named for it: `bugs.rs` is the table.

#[cfg(mayhem_model)]
mod bugs;
#[cfg(mayhem_model)]
mod catalog;
#[cfg(mayhem_model)]
mod runner;
#[cfg(mayhem_model)]
mod world;

#[cfg(mayhem_model = "loom")]
mod closing;
#[cfg(mayhem_model = "loom")]
mod handles;
#[cfg(mayhem_model = "loom")]
mod nesting;
#[cfg(mayhem_model = "loom")]
mod pool;
#[cfg(mayhem_model = "loom")]
mod portal;
#[cfg(mayhem_model = "loom")]
mod providing;
#[cfg(mayhem_model = "loom")]
mod signals;
#[cfg(mayhem_model = "loom")]
mod spawning;
#[cfg(mayhem_model = "loom")]
mod spinning;
#[cfg(mayhem_model = "loom")]
mod stream;

#[cfg(mayhem_model = "shuttle")]
mod scenarios;

#[cfg(mayhem_model)]
fn main() -> std::process::ExitCode {
    runner::main()
}

#[cfg(not(mayhem_model))]
fn main() {
    println!("built without a model checker: see tests/models/run");
}
