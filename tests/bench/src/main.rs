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
mod processors;
mod table;
mod targets;

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

    /// Do what is counted, and nothing else: how `instructions` runs itself.
    #[arg(long, hide = true, value_name = "PEER")]
    under_callgrind: Option<String>,

    /// Print what a message takes at this stage, and nothing else: how `engine` runs itself.
    #[arg(long, hide = true, value_name = "STAGE")]
    in_hand: Option<String>,

    /// How many bursts, with `--under-callgrind`, or messages, with `--in-hand`.
    #[arg(long, hide = true, default_value_t = 1)]
    count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// 1, 2 and 4 foreign threads to one async consumer, its wakes and allocations, and a portal's
    /// round trip.
    Bridge,
    /// Instructions per message through the bridge; needs valgrind.
    Instructions,
    /// A handler with a lease and a fan-out of two per message: alone, and behind a foreign thread.
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
        // The reader has all that it wanted.
        Err(failure) if is_broken_pipe(&failure) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mayhem-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the suites asked for, printing each case as soon as it is measured.
fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(peer) = &arguments.under_callgrind {
        return bridge::under_callgrind(peer, arguments.count);
    }
    if let Some(stage) = &arguments.in_hand {
        return engine::print_bytes(stage, arguments.count);
    }
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let cases: &[(Suite, Case)] = &[
        (Suite::Bridge, bridge::one_thread),
        (Suite::Bridge, bridge::two_threads),
        (Suite::Bridge, bridge::four_threads),
        (Suite::Bridge, bridge::four_threads_words),
        (Suite::Bridge, bridge::executors_one_thread),
        (Suite::Bridge, bridge::executors_four_threads),
        (Suite::Bridge, bridge::allocations),
        (Suite::Bridge, bridge::wake_latency),
        (Suite::Bridge, portal::round_trip),
        (Suite::Bridge, portal::round_trip_spinning),
        (Suite::Instructions, bridge::instructions),
        (Suite::Engine, engine::fan_out),
        (Suite::Engine, engine::end_to_end),
        (Suite::Engine, engine::allocations),
        (Suite::Engine, engine::memory),
        (Suite::Engine, engine::polls),
        (Suite::Engine, engine::two_cores),
        (Suite::Leases, leases::keep),
        (Suite::Leases, leases::kept::keep),
        (Suite::Leases, leases::stop::release),
        (Suite::Local, local::publish_to_ack),
    ];
    if !arguments.json && cfg!(debug_assertions) {
        eprintln!("mayhem-bench: built without --release: the figures mean nothing");
    } else if !arguments.json && arguments.quick {
        eprintln!("mayhem-bench: a short run: the figures mean little, met or not");
    }
    let mut measured = Vec::new();
    for (suite, case) in cases {
        if arguments.suite != Suite::All && arguments.suite != *suite {
            continue;
        }
        if arguments.suite == Suite::All && *suite == Suite::Instructions && is_without_valgrind()?
        {
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
        measured.extend(rows);
    }
    if !arguments.json {
        io::stdout().write_all(targets::render(&measured).as_bytes())?;
    }
    Ok(())
}

fn is_broken_pipe(failure: &Failure) -> bool {
    let error = failure.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Whether the instructions cannot be counted, which is told; where CI is set it is a failure.
fn is_without_valgrind() -> Result<bool, Failure> {
    if bridge::can_count_instructions() {
        return Ok(false);
    }
    let text =
        "instructions are not counted: valgrind is missing (Debian: apt-get install valgrind)";
    if std::env::var_os("CI").is_some() {
        return Err(text.into());
    }
    eprintln!("mayhem-bench: {text}");
    Ok(true)
}

/// Measures one case.
type Case = fn(Effort) -> Result<Vec<Row>, Failure>;

const EXAMPLES: &str = "Examples:
  mayhem-bench all                  everything, as tables
  mayhem-bench bridge --json        one JSON object per case and peer
  mayhem-bench engine --quick       a short run: does it still work?";
