//! `mayhem-sim-runner`: runs the engine under simulation and says what it met.
//!
//! ```text
//! cargo run --release -p mayhem-sim-runner -- --seeds 0..2000 --seconds 60
//! cargo run --release -p mayhem-sim-runner -- --hours 8
//! cargo run --release -p mayhem-sim-runner -- --replay 1234
//! ```

mod reading;

use std::num::NonZero;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use mayhem_sim::{Simulation, Tape, attempt};
use mayhem_sim_runner::{
    Failed, Hunted, Life, Search, Totals, hunt, hunt_all, live, say, shrink_seed,
};
use mimalloc::MiMalloc;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

/// Runs mayhem-core under simulation and counts what it met.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Cli {
    /// Fixed seeds, such as 0..2000, before any random ones.
    #[arg(long, allow_hyphen_values = true, value_parser = reading::seeds)]
    seeds: Option<Range<u64>>,
    /// Random seeds for so many seconds.
    #[arg(long, allow_negative_numbers = true, value_parser = reading::seconds)]
    seconds: Option<Duration>,
    /// Random seeds for so many hours.
    #[arg(long, allow_negative_numbers = true, value_parser = reading::hours)]
    #[arg(conflicts_with = "seconds")]
    hours: Option<Duration>,
    /// Run one seed or one tape again, and print what happens; a tape may be in a file.
    #[arg(long, value_name = "SEED|TAPE")]
    replay: Option<String>,
    /// Compare the hash of the seeds with that of another build of this program.
    #[arg(long, value_name = "PROGRAM")]
    same_as: Option<PathBuf>,
    /// Messages per life, in place of a draw.
    #[arg(long, allow_negative_numbers = true, value_parser = reading::count::<NonZero<u64>>)]
    messages: Option<NonZero<u64>>,
    /// How many threads; as many as there are cores unless given.
    #[arg(long, allow_negative_numbers = true, value_parser = reading::count::<NonZero<usize>>)]
    threads: Option<NonZero<usize>>,
    /// Have the handlers ack without having done anything, now and then.
    #[arg(long)]
    canary: bool,
    /// Hunt the bugs that are planted in a build with `--cfg mayhem_bug`, and print which are
    /// caught.
    #[arg(long)]
    bugs: bool,
    /// Look for the one that the environment names, within so many seeds.
    #[arg(long, hide = true, value_parser = reading::count::<NonZero<u64>>)]
    hunt: Option<NonZero<u64>>,
    /// Print the totals as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Simulated lives allocate at every turn: a sixteenth less processor time than with that of libc.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let life = Life {
        has_canary: cli.canary,
        messages: cli.messages.map(NonZero::get),
        ..Life::default()
    };
    if let Some(what) = &cli.replay {
        return replay(what, life);
    }
    if let Some(budget) = cli.hunt {
        hunt(budget.get());
        return ExitCode::SUCCESS;
    }
    let outcome = match &cli.same_as {
        _ if cli.bugs => kill_table(),
        Some(program) => compare(&cli, life, program),
        None => search(&cli, life),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn search(cli: &Cli, life: Life) -> Result<(), String> {
    if !life.has_canary {
        check_canary(life)?;
    }
    let limit = cli.seconds.or(cli.hours);
    let fixed = match (&cli.seeds, limit) {
        (Some(seeds), _) => seeds.clone(),
        (None, None) => FIXED,
        (None, Some(_)) => 0..0,
    };
    let (began, began_cpu) = (Instant::now(), processor_time());
    let mut totals = run(cli, life, fixed, None)?;
    if let Some(limit) = limit {
        let first = random_seed();
        eprintln!("random seeds from {first}");
        totals.merge(&run(cli, life, first..u64::MAX, Some(limit))?);
    }
    let took = Took {
        time: began.elapsed(),
        processor: processor_time() - began_cpu,
    };
    print(cli, &totals, &took);
    Ok(())
}

fn run(
    cli: &Cli,
    life: Life,
    seeds: Range<u64>,
    until: Option<Duration>,
) -> Result<Totals, String> {
    let search = Search {
        seeds,
        until,
        threads: threads(cli),
        is_told: !cli.json,
        life,
    };
    let (totals, failed) = search.run();
    match failed {
        None => Ok(totals),
        Some(failed) => Err(report(&failed, life, totals.seeds)),
    }
}

/// What is printed of a failure: one line, the command to run it again, and the small tape.
fn report(failed: &Failed, life: Life, seeds: u64) -> String {
    let found = shrink_seed(failed, life, SHRINK_TRIES);
    let canary = if life.has_canary { " --canary" } else { "" };
    format!(
        "SIM_FAIL invariant={:?} seed={} after {seeds} seeds\n{}\nshrunk: {found}\n\
         again: cargo run --release -p mayhem-sim-runner --{canary} --replay {}\n\
         small: cargo run --release -p mayhem-sim-runner --{canary} --replay t{}",
        failed.violation.invariant, failed.seed, failed.violation, failed.seed, found.tape,
    )
}

/// A bug that every run must catch: otherwise the run would prove nothing.
fn check_canary(life: Life) -> Result<(), String> {
    let search = Search {
        seeds: 0..CANARY_SEEDS,
        until: None,
        threads: 1,
        is_told: false,
        life: Life {
            has_canary: true,
            ..life
        },
    };
    let (totals, failed) = search.run();
    match failed {
        Some(failed) if failed.violation.invariant == "safe before ack" => {
            eprintln!("canary caught after {} seeds", totals.seeds);
            Ok(())
        }
        Some(failed) => Err(format!("the canary was taken for {}", failed.violation)),
        None => Err(format!("the canary was not caught in {CANARY_SEEDS} seeds")),
    }
}

fn replay(what: &str, life: Life) -> ExitCode {
    let life = Life {
        is_told: true,
        ..life
    };
    let sim = if let Ok(seed) = what.parse() {
        Simulation::new(seed)
    } else {
        let text = std::fs::read_to_string(what).unwrap_or_else(|_| what.to_owned());
        match text.trim().trim_start_matches('t').parse::<Tape>() {
            Ok(tape) => Simulation::replay(&tape),
            Err(error) => {
                eprintln!(
                    "--replay {what}: neither a seed, nor a file with a tape, \
                     nor a tape: {error}"
                );
                return ExitCode::from(2);
            }
        }
    };
    let outcome = attempt(&sim, |sim| live(sim, life));
    say(format_args!("choices that are not harmless:"));
    for choice in sim.dice().choices() {
        if choice.value > 0 {
            say(format_args!("    {}: {}", choice.label, choice.value));
        }
    }
    say(format_args!("hash {:016x}", sim.fingerprint()));
    match outcome {
        Ok(tally) => {
            say(format_args!(
                "no promise was broken in {} polls",
                tally.polls
            ));
            ExitCode::SUCCESS
        }
        Err(violation) => {
            say(format_args!("SIM_FAIL {violation}"));
            ExitCode::FAILURE
        }
    }
}

/// Which planted bugs are caught, by which promise, after how many seeds.
fn kill_table() -> Result<(), String> {
    if !cfg!(mayhem_bug) {
        return Err("no bugs are planted: build with RUSTFLAGS=\"--cfg mayhem_bug\"".to_owned());
    }
    say(format_args!(
        "| planted bug | caught by | seeds |\n|---|---|---:|"
    ));
    let hunted = hunt_all(|bug| {
        let Hunted {
            name,
            budget,
            caught,
        } = bug;
        match caught {
            Some((promise, Some(seed))) => {
                say(format_args!("| {name} | {promise} | {} |", seed + 1))
            }
            Some((end, None)) => say(format_args!("| {name} | {end} | |")),
            None => say(format_args!("| {name} | **not caught** | {budget} |")),
        }
    });
    let hunted = hunted.map_err(|error| error.to_string())?;
    let caught = hunted.iter().filter(|bug| bug.caught.is_some()).count();
    say(format_args!(
        "\n{caught} of {} planted bugs caught",
        hunted.len()
    ));
    if caught < hunted.len() {
        return Err("some planted bugs got away".to_owned());
    }
    Ok(())
}

/// Runs the seeds here and in another build of this program: one hash.
fn compare(cli: &Cli, life: Life, program: &PathBuf) -> Result<(), String> {
    let seeds = cli.seeds.clone().unwrap_or(0..200);
    let here = run(cli, life, seeds.clone(), None)?;
    let here = format!("{:016x}", here.sum.fingerprint);
    let output = Command::new(program)
        .args([
            "--json",
            "--seeds",
            &format!("{}..{}", seeds.start, seeds.end),
        ])
        .output()
        .map_err(|error| format!("--same-as {}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let there = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|totals| totals["hash"].as_str().map(str::to_owned));
    if there.as_ref() == Some(&here) {
        say(format_args!(
            "{} seeds have the same hash in both: {here}",
            seeds.end - seeds.start
        ));
        Ok(())
    } else {
        let there = there.unwrap_or_else(|| "not printed".to_owned());
        let program = program.display();
        Err(format!("the hash is {here} here, and {there} by {program}"))
    }
}

/// How long a run took.
struct Took {
    time: Duration,
    /// Of all threads together: what a run costs, whatever else the machine does meanwhile.
    processor: Duration,
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn print(cli: &Cli, totals: &Totals, took: &Took) {
    let (time, processor) = (took.time.as_secs_f64(), took.processor.as_secs_f64());
    let rate = totals.seeds as f64 / processor;
    let per_thread = totals.seeds as f64 / time / threads(cli) as f64;
    let factor = totals.sum.elapsed.as_secs_f64() / time;
    if cli.json {
        let counts = totals.rows().into_iter();
        let counts: Map<String, Value> =
            counts.map(|row| (row.0.to_owned(), row.1.into())).collect();
        let totals = json!({
            "totals": counts,
            "faults": totals.sum.hits,
            "told": totals.sum.told,
            "hash": format!("{:016x}", totals.sum.fingerprint),
            "seconds": time,
            "processor_seconds": processor,
            "seeds_per_processor_second": rate,
            "seeds_per_second_and_thread": per_thread,
            "times_real_time": factor,
        });
        say(format_args!("{totals}"));
        return;
    }
    for (name, count) in totals.rows() {
        say(format_args!("{name:>28} {count:>14}"));
    }
    say(format_args!(
        "{:>28} {rate:>14.0}",
        "seeds/s of processor time"
    ));
    say(format_args!(
        "{:>28} {:>14.0}",
        "seeds/s and thread", per_thread
    ));
    say(format_args!("{:>28} {factor:>14.0}", "times real time"));
    say(format_args!("faults met:"));
    for (name, count) in &totals.sum.hits {
        say(format_args!("{name:>28} {count:>14}"));
    }
    say(format_args!("told of:"));
    for (name, count) in &totals.sum.told {
        say(format_args!("{name:>28} {count:>14}"));
    }
    say(format_args!(
        "hash {:016x}, {time:.1} s, {processor:.1} s of processor time",
        totals.sum.fingerprint,
    ));
}

fn threads(cli: &Cli) -> usize {
    let cores = thread::available_parallelism();
    let threads = cli.threads.map_or(cores, Ok);
    threads.map_or(1, NonZero::get)
}

/// Small enough to be typed, and another one every time.
fn random_seed() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    1_000_000 + since.as_secs() % 1_000_000_000 * 1_000
}

/// What a run without arguments runs.
const FIXED: Range<u64> = 0..2_000;

/// Within so many seeds the canary is caught.
const CANARY_SEEDS: u64 = 2_000;

/// Some seconds of small runs.
const SHRINK_TRIES: usize = 20_000;
