//! Runs every model in a process of its own, and once more for every planted bug.
//!
//! A process each, for a failure inside a checker's `block_on` may abort, and a bug may leave
//! anything behind.

use std::collections::VecDeque;
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, process, thread};

use crate::bugs::BUGS;
use crate::catalog::{Model, all};
use crate::world::runs;

/// How long one model may take, planted or not, before that is a failure.
const PATIENCE: Duration = Duration::from_secs(600);

const FAILED: u8 = 1;
const MISUSED: u8 = 2;
const TOO_SLOW: u8 = 124;

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            all().iter().for_each(|model| println!("{}", model.name));
            ExitCode::SUCCESS
        }
        ["one", name] => match all().into_iter().find(|model| model.name == *name) {
            Some(model) => run_here(model),
            None => misused(&format!("there is no model {name}")),
        },
        [] | ["all"] => run_all(""),
        ["all", part] => run_all(part),
        _ => misused("usage: models [all [PART-OF-A-NAME] | list | one NAME]"),
    }
}

fn misused(what: &str) -> ExitCode {
    eprintln!("{what}");
    ExitCode::from(MISUSED)
}

fn run_here(model: &Model) -> ExitCode {
    let printed = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        printed(panic);
        eprintln!("in run {}", runs());
    }));
    thread::spawn(|| {
        thread::sleep(PATIENCE);
        eprintln!("not done within {PATIENCE:?}, in run {}", runs());
        process::exit(TOO_SLOW.into());
    });
    (model.run)();
    println!("{}", runs());
    ExitCode::SUCCESS
}

/// One process to run: a model, as it is or with a planted bug.
struct Errand {
    model: &'static str,
    bug: Option<&'static str>,
}

/// What came of an errand.
enum Found {
    /// The model holds.
    Sound { runs: u64 },
    /// The model does not hold, though no bug was planted.
    Broken { text: String },
    /// The bug was caught, and, if there is a schedule to that, by its replay again.
    Caught { run: u64, reason: String },
    /// The bug was not caught, or not again.
    Survived { text: String },
}

fn run_all(part: &str) -> ExitCode {
    let began = Instant::now();
    let plain = all().into_iter().map(|model| Errand {
        model: model.name,
        bug: None,
    });
    let planted = BUGS.iter().map(|(bug, model)| Errand {
        model,
        bug: Some(bug),
    });
    let is_asked_for =
        |errand: &Errand| errand.model.contains(part) || errand.bug.unwrap_or("").contains(part);
    let errands: Vec<_> = plain.chain(planted).filter(is_asked_for).collect();
    if errands.is_empty() {
        return misused(&format!(
            "this checker has no model or bug with {part} in its name"
        ));
    }
    let (mut sound, mut broken, mut caught, mut survived, mut total) = (0, 0, 0, 0, 0);
    for found in in_processes(errands) {
        match found {
            Found::Sound { runs } => {
                sound += 1;
                total += runs;
            }
            Found::Broken { .. } => broken += 1,
            Found::Caught { .. } => caught += 1,
            Found::Survived { .. } => survived += 1,
        }
    }
    println!(
        "{} models, {total} runs, {broken} broken; {caught} of {} planted bugs caught; {:.0} s",
        sound + broken,
        caught + survived,
        began.elapsed().as_secs_f64(),
    );
    match broken + survived {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    }
}

/// Runs the errands, as many at a time as there are processors, and tells of each as it ends.
fn in_processes(errands: Vec<Errand>) -> Vec<Found> {
    let waiting = Mutex::new(VecDeque::from(errands));
    let ended = Mutex::new(Vec::new());
    let next = || waiting.lock().expect("nothing panics under it").pop_front();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                while let Some(errand) = next() {
                    let began = Instant::now();
                    let found = carry_out(&errand);
                    tell(&errand, &found, began.elapsed());
                    ended.lock().expect("nothing panics under it").push(found);
                }
            });
        }
    });
    ended.into_inner().expect("nothing panics under it")
}

fn tell(errand: &Errand, found: &Found, took: Duration) {
    let (model, took) = (errand.model, took.as_secs_f64());
    let bug = errand.bug.unwrap_or_default();
    match found {
        Found::Sound { runs } => println!("{model:<52} {runs:>9} runs {took:>6.1} s"),
        Found::Broken { text } => println!("{model:<52} BROKEN\n{text}"),
        Found::Caught { run, reason } => {
            println!("{bug:<38} caught by {model}, run {run}: {reason}");
        }
        Found::Survived { text } => println!("{bug:<38} SURVIVED {model}\n{text}"),
    }
}

fn carry_out(errand: &Errand) -> Found {
    let output = run_in_process(errand, None);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if errand.bug.is_none() {
        return match runs_of(&output) {
            Some(runs) => Found::Sound { runs },
            None => Found::Broken { text },
        };
    }
    let Some((run, reason)) = caught(&output, &text) else {
        return Found::Survived { text };
    };
    if let Some(schedule) = schedule_in(&text) {
        let again = run_in_process(errand, Some(schedule));
        let text = String::from_utf8_lossy(&again.stderr).into_owned();
        if caught(&again, &text).is_none_or(|(_, again)| again != reason) {
            return Found::Survived { text };
        }
    }
    Found::Caught { run, reason }
}

fn run_in_process(errand: &Errand, schedule: Option<&str>) -> Output {
    let this = env::current_exe().expect("a program knows where it is");
    let mut command = Command::new(this);
    command
        .args(["one", errand.model])
        .env("RUST_BACKTRACE", "0");
    for (name, value) in [("MAYHEM_BUG", errand.bug), ("MAYHEM_SCHEDULE", schedule)] {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.output().expect("this program can be started again")
}

/// How many runs a model that succeeded has made.
fn runs_of(output: &Output) -> Option<u64> {
    if !output.status.success() {
        return None;
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    stdout.lines().last()?.trim().parse().ok()
}

/// In which run, and with which words, a planted bug was caught; `None` if it was not. A model that
/// is slow or unknown has caught nothing.
fn caught(output: &Output, text: &str) -> Option<(u64, String)> {
    let no_catch = [0, MISUSED, TOO_SLOW].map(i32::from);
    if output
        .status
        .code()
        .is_some_and(|code| no_catch.contains(&code))
    {
        return None;
    }
    let is_panic = |line: &&str| line.contains("panicked at") && line.contains("thread '");
    let mut lines = text.lines().skip_while(|line| !is_panic(line));
    lines.next()?;
    let reason = lines.next()?.trim().to_owned();
    let run = lines.find_map(|line| line.strip_prefix("in run "))?;
    Some((run.parse().ok()?, reason))
}

/// The schedule that a failure printed.
fn schedule_in(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("failing schedule:\n\"\n")?;
    let (schedule, _) = after.split_once("\n\"")?;
    Some(schedule)
}
