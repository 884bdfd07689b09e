//! The service: the durable queue, the engine and the fleet, put together and taken apart in order.
//!
//! ```text
//! queue ─→ SDK threads ─→ bridge ─→ consumer (smol drives it) ─→ handler ─→ {restart, record}
//!            signals, a dead store, the demo's end ─→ stop(plan) ─┘            └─→ journal, fleet
//! ```
//!
//! Everything runs in one future on the main thread; what blocks runs on the pool.

mod assembly;
mod cancelled;
mod chaos;
mod claims;
mod dead_letters;
mod events;
mod fatal;
mod handler;
mod named;
mod report;
mod restart;
mod serve;
mod signals;
mod stop;
mod stored;
mod vitals;

pub use self::events::{Announcer, Style, Verdicts};
pub use self::report::Summary;
pub use self::restart::FAULT_POINTS;
pub use self::signals::Signals;

pub(crate) use self::chaos::Chaos;
pub(crate) use self::serve::{Companion, Setup, serve};

use std::sync::Arc;

use crate::config::Config;
use crate::exit::Failure;
use crate::output::Stdout;

/// How `mandrill run` tells what it does.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// One JSON object per event on standard output.
    pub json: bool,
}

/// Runs the service until it is told to stop.
///
/// The caller has installed the `signals` before it read the config.
///
/// # Errors
///
/// [`Failure`] with the exit code that tells why it ended, or could not begin.
///
/// # Blocking
///
/// For as long as the service runs.
pub fn run(config: Config, signals: Signals, options: RunOptions) -> Result<(), Failure> {
    let style = if options.json {
        Style::Json
    } else {
        Style::Lines
    };
    let announcer = Announcer::new(Stdout::new().queued(), style);
    let setup = Setup {
        config: Arc::new(config),
        signals,
        announcer,
        chaos: None,
    };
    serve(setup, None)
}
