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
use crate::catalog::{Model, models};
use crate::world::runs;

/// How long one model may take, planted or not, before that is a failure.
const PATIENCE: Duration = Duration::from_secs(300);

const FAILED: u8 = 1;
const MISUSED: u8 = 2;
const TOO_SLOW: i32 = 124;

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            models().iter().for_each(|model| println!("{}", model.name));
            ExitCode::SUCCESS
        }
        ["one", name] => match models().into_iter().find(|model| model.name == *name) {
            Some(model) => run_here(&model),
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
        process::exit(TOO_SLOW);
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

struct Ended {
    errand: Errand,
    output: Output,
    took: Duration,
}

fn run_all(part: &str) -> ExitCode {
    let began = Instant::now();
    let plain = models().into_iter().map(|model| Errand {
        model: model.name,
        bug: None,
    });
    let planted = BUGS.iter().map(|(bug, model)| Errand {
        model,
        bug: Some(bug),
    });
    let is_asked_for =
        |errand: &Errand| errand.model.contains(part) || errand.bug.unwrap_or("").contains(part);
    let errands = plain.chain(planted).filter(is_asked_for).collect();
    let ended = in_processes(errands);

    let (mut failed, mut survived, mut caught, mut total) = (0, 0, 0, 0_u64);
    for it in ended.iter().filter(|it| it.errand.bug.is_none()) {
        match runs_of(it) {
            Some(runs) => {
                total += runs;
                println!(
                    "{:<52} {runs:>9} runs {:>6.1} s",
                    it.errand.model,
                    it.took.as_secs_f64()
                );
            }
            None => {
                failed += 1;
                println!("{:<52} FAILED\n{}", it.errand.model, stderr(it));
            }
        }
    }
    println!();
    for it in &ended {
        let Some(bug) = it.errand.bug else { continue };
        match reason(it) {
            Some((run, reason)) => {
                caught += 1;
                println!(
                    "{bug:<36} caught by {} in run {run}: {reason}",
                    it.errand.model
                );
            }
            None => {
                survived += 1;
                println!("{bug:<36} SURVIVED {}\n{}", it.errand.model, stderr(it));
            }
        }
    }
    println!(
        "\n{} models, {total} runs, {failed} failed; {caught} of {} planted bugs caught; {:.0} s",
        ended.len() - caught - survived,
        caught + survived,
        began.elapsed().as_secs_f64(),
    );
    if failed + survived == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    }
}

/// Runs the errands, as many at a time as there are processors; they come back in their order.
fn in_processes(errands: Vec<Errand>) -> Vec<Ended> {
    let count = errands.len();
    let waiting: Mutex<VecDeque<_>> = Mutex::new(errands.into_iter().enumerate().collect());
    let ended: Mutex<Vec<Option<Ended>>> = Mutex::new((0..count).map(|_| None).collect());
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("nothing panics under it").pop_front();
                    let Some((index, errand)) = next else { return };
                    let done = run_in_process(errand);
                    ended.lock().expect("nothing panics under it")[index] = Some(done);
                }
            });
        }
    });
    let ended = ended.into_inner().expect("nothing panics under it");
    ended.into_iter().flatten().collect()
}

fn run_in_process(errand: Errand) -> Ended {
    let this = env::current_exe().expect("a program knows where it is");
    let mut command = Command::new(this);
    command
        .args(["one", errand.model])
        .env("RUST_BACKTRACE", "0")
        .env_remove("MAYHEM_BUG");
    if let Some(bug) = errand.bug {
        command.env("MAYHEM_BUG", bug);
    }
    let began = Instant::now();
    let output = command.output().expect("this program can be started again");
    Ended {
        errand,
        output,
        took: began.elapsed(),
    }
}

/// How many runs a model that succeeded has made.
fn runs_of(ended: &Ended) -> Option<u64> {
    if !ended.output.status.success() {
        return None;
    }
    let stdout = String::from_utf8_lossy(&ended.output.stdout);
    stdout.lines().last()?.trim().parse().ok()
}

/// In which run, and with which words, a planted bug was caught; `None` if it was not. A model that
/// is slow or unknown has caught nothing.
fn reason(ended: &Ended) -> Option<(u64, String)> {
    let code = ended.output.status.code();
    if code.is_some_and(|code| [0, i32::from(MISUSED), TOO_SLOW].contains(&code)) {
        return None;
    }
    let text = stderr(ended);
    let mut lines = text
        .lines()
        .skip_while(|line| !line.contains("panicked at"));
    lines.next()?;
    let reason = lines.next()?.trim().to_owned();
    let run = lines.find_map(|line| line.strip_prefix("in run "))?;
    Some((run.parse().ok()?, reason))
}

fn stderr(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.output.stderr).into_owned()
}
