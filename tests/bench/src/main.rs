//! Benchmarks of the workspace beside its peers, interleaved in one run.
//!
//! Every peer does the same work: 64 bytes boxed per message, the same bounds, the same fan-out.
//! Ratios of one run mean something; figures of two machines, or of two days, do not.

mod bridge;
mod engine;
mod leases;
mod local;
mod measure;
mod portal;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::measure::{Effort, Failure, Row};

/// Measures the workspace beside its peers.
///
/// Peers take turns in one process; a value is the median of the runs.
#[derive(Debug, Parser)]
#[command(name = "mayhem-bench", version, after_help = EXAMPLES)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum)]
    suite: Suite,

    /// Run briefly: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,

    /// Print one JSON object per case and peer instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// 1, 2 and 4 foreign threads to one async consumer, and a portal's round trip.
    Bridge,
    /// A handler with a lease and a fan-out of two per message.
    Engine,
    /// What it costs to keep leases alive.
    Leases,
    /// Durable publish, handle, ack, through the local broker.
    Local,
    /// All of them.
    All,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mayhem-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the suites asked for, printing each case as soon as it is measured.
fn run(arguments: &Arguments) -> Result<(), Failure> {
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let cases: &[(Suite, Case)] = &[
        (Suite::Bridge, bridge::one_thread),
        (Suite::Bridge, bridge::two_threads),
        (Suite::Bridge, bridge::four_threads),
        (Suite::Bridge, portal::round_trip),
        (Suite::Engine, engine::fan_out),
        (Suite::Leases, leases::keep),
        (Suite::Local, local::publish_to_ack),
    ];
    if !arguments.json && cfg!(debug_assertions) {
        eprintln!("mayhem-bench: built without --release: the figures mean nothing");
    }
    for (suite, case) in cases {
        if arguments.suite != Suite::All && arguments.suite != *suite {
            continue;
        }
        let rows = case(effort)?;
        let mut stdout = io::stdout().lock();
        if arguments.json {
            for row in &rows {
                writeln!(stdout, "{}", serde_json::to_string(row)?)?;
            }
        } else {
            stdout.write_all(table::render(&rows).as_bytes())?;
        }
        stdout.flush()?;
    }
    Ok(())
}

/// Measures one case.
type Case = fn(Effort) -> Result<Vec<Row>, Failure>;

const EXAMPLES: &str = "Examples:
  mayhem-bench all                  everything, as tables
  mayhem-bench bridge --json        one JSON object per case and peer
  mayhem-bench engine --quick       a short run: does it still work?";
