//! The bugs that are planted in the engine, and how many seeds it takes to find each.
//!
//! They are in builds with `--cfg mayhem_bug` only, where the environment names the one that is
//! planted: each is hunted in a process of its own.

use std::io;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Life, Search};

/// A planted bug that was hunted.
#[derive(Clone, Debug)]
pub struct Hunted {
    /// Its name.
    pub name: &'static str,
    /// How many seeds it may take.
    pub budget: u64,
    /// Which promise it broke, and with which seed; nothing when it got away.
    pub caught: Option<(String, Option<u64>)>,
}

/// Hunts the bugs that are planted, one process after the other.
///
/// # Errors
///
/// When this program cannot be started again.
pub fn hunt_all(mut told: impl FnMut(&Hunted)) -> io::Result<Vec<Hunted>> {
    let mut hunted = Vec::new();
    for (name, budget) in BUGS {
        let child = Command::new(std::env::current_exe()?)
            .env("MAYHEM_BUG", name)
            .args(["--hunt", &budget.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let bug = Hunted {
            name,
            budget: *budget,
            caught: wait(child)?,
        };
        told(&bug);
        hunted.push(bug);
    }
    Ok(hunted)
}

/// The names of the bugs that are planted.
pub fn bugs() -> impl Iterator<Item = &'static str> {
    BUGS.iter().map(|(name, _)| *name)
}

/// Looks for the bug that is planted in this process; what it prints is what [`hunt_all`] reads.
pub fn hunt(budget: u64) {
    let search = Search {
        seeds: 0..budget,
        until: None,
        threads: 1,
        is_told: false,
        life: Life::default(),
    };
    if let (_, Some(failed)) = search.run() {
        println!("{} {}", failed.seed, failed.violation.invariant);
    }
}

/// What the hunt came to; a process that hangs or dies has caught its bug as well.
fn wait(mut child: Child) -> io::Result<Option<(String, Option<u64>)>> {
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > HUNT_MAX {
            child.kill()?;
            child.wait()?;
            return Ok(Some(("a life without end".to_owned(), None)));
        }
        thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Ok(Some((
            format!("the process ended: {}", output.status),
            None,
        )));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let caught = text.trim().split_once(' ');
    Ok(caught.map(|(seed, invariant)| (invariant.to_owned(), seed.parse().ok())))
}

/// The names under which the bugs are planted, and how many seeds each may take.
const BUGS: &[(&str, u64)] = &[
    ("ack beside shielded work", BUDGET),
    ("shielded work not waited for", BUDGET),
    ("nack overtakes extension", BUDGET),
    ("held nack forgotten", BUDGET),
    ("held nack sent by an older answer", 8 * BUDGET),
    ("failed extension not tried again", BUDGET),
    ("retry not counted", BUDGET),
    ("postponement counted", BUDGET),
    ("dead letter too early", BUDGET),
    ("dead letter never", BUDGET),
    ("wanted delay ignored", BUDGET),
    ("cancelled handler acked", BUDGET),
    ("cancelled handler counted", BUDGET),
    ("panicked handler acked", BUDGET),
    ("panic not told", BUDGET),
    ("settlement not sent again", BUDGET),
    ("failed settlement taken as done", BUDGET),
    ("refused settlement taken as done", BUDGET),
    ("settle window leaks", BUDGET),
    ("room leaks on expiry", BUDGET),
    ("permit freed on loss", BUDGET),
    ("loss not told to the handler", BUDGET),
    ("start after stop", BUDGET),
    ("one permit too many", BUDGET),
    ("room not counted", BUDGET),
    ("full for ever", BUDGET),
    ("duplicate not merged", BUDGET),
    ("late duplicate adopted", BUDGET),
    ("redelivery merged with its nack", BUDGET),
    ("run-out lease adopted", BUDGET),
    ("receive not tried again", BUDGET),
    ("late arrival kept at stop", BUDGET),
    ("extension counted too long", BUDGET),
    ("lease never extended", BUDGET),
    ("extension too late", BUDGET),
    ("extension too early", BUDGET),
    ("longest lease ignored", BUDGET),
    ("settled lease extended", BUDGET),
    ("run-out lease not noticed", BUDGET),
    ("first token kept", BUDGET),
    ("epoch kept", BUDGET),
    ("extension of the older lease awaited", BUDGET),
    ("extend window leaks", BUDGET),
    ("drain without end", BUDGET),
    ("flush without end", BUDGET),
    ("grace without end", BUDGET),
    ("handlers not cancelled", BUDGET),
    ("second stop ignored", BUDGET),
    ("third stop ignored", BUDGET),
    ("unstarted messages kept at stop", BUDGET),
    ("source left open at stop", BUDGET),
    ("late arrivals not awaited", BUDGET),
    ("late arrivals dropped where bytes are limited", BUDGET),
    ("closed before the answers", BUDGET),
    ("cancel without a wake", BUDGET),
    ("cancelled handler goes on", BUDGET),
    ("signal without a wake", BUDGET),
    ("failed branch forgotten", BUDGET),
    ("branch failure told twice", BUDGET),
    ("sleeps for the last timer", BUDGET),
    ("handlers outlive the consumer", BUDGET),
    ("backoff never grows", BUDGET),
    ("notice without a wake", BUDGET),
    ("start in a pause", BUDGET),
    ("rate ignored", BUDGET),
    ("held nack left under a newer lease", 8 * BUDGET),
    ("late duplicate of a nack taken up", 64 * BUDGET),
    ("timed out too early", BUDGET),
    ("never timed out", BUDGET),
    ("delay not kept", BUDGET),
    ("order ignored", BUDGET),
    ("run-out lease started", BUDGET),
    ("settlement sent again at once", BUDGET),
    ("failed settlement told twice", BUDGET),
    ("failed receive not told", BUDGET),
    ("failed calls spaced too far", BUDGET),
    ("no rest when full", BUDGET),
    ("shed too early", BUDGET),
    ("count never shed", BUDGET),
    ("large message never taken", BUDGET),
    ("bytes never shed", BUDGET),
    ("shed for ever", BUDGET),
    ("shed not counted", BUDGET),
    ("bytes of the expired kept", BUDGET),
    ("hooks in reverse", BUDGET),
    ("hooks stop at a failure", BUDGET),
    ("hook without end", BUDGET),
    ("third stop ignored by hooks", BUDGET),
    ("failure of a hook not told", BUDGET),
    ("poison started", BUDGET),
    ("poison too early", BUDGET),
    ("attempts of those that waited held against them", BUDGET),
    ("poison at the last delivery", BUDGET),
    ("a hang is spared", BUDGET),
    ("poison not told", BUDGET),
    ("least delay ignored", BUDGET),
    ("lead of a batch not passed on", BUDGET),
    ("lost message kept in its batch", BUDGET),
    ("verdicts of a batch mixed up", BUDGET),
    ("panic of a batch kept from it", BUDGET),
    ("overdue not told", BUDGET),
    ("overdue not shown", BUDGET),
    ("overdue too early", BUDGET),
    ("stuck too early", BUDGET),
    ("stuck not told", BUDGET),
    ("panic of shielded work ignored", BUDGET),
    ("quorum of one too few", BUDGET),
    ("best effort needs all", BUDGET),
    ("losers run on", BUDGET),
    ("loser not named", BUDGET),
    ("waits for the fastest branch only", BUDGET),
    ("shortest delay of a fan-out", BUDGET),
    ("dead only if all branches are", BUDGET),
    ("change without a wake", BUDGET),
    ("turn waited for too long", BUDGET),
    ("concurrency only lowered", BUDGET),
    ("extensions one by one", BUDGET),
    ("batches not filled", BUDGET),
    ("adaptive lease beyond its range", BUDGET),
    ("lease made shorter", BUDGET),
    ("failure stops by the default plan", BUDGET),
    ("slow poll not told", BUDGET),
    ("wrong time of a slow poll", BUDGET),
    ("polls timed from the first", BUDGET),
    ("batch kept at a drain", BUDGET),
    ("batch handled too late", BUDGET),
    ("batch too large", BUDGET),
    ("panic over a key not told", BUDGET),
    ("message without its key started", BUDGET),
    ("panic over a key not told of what is shed", BUDGET),
    ("those behind a failed head go on", BUDGET),
    ("failed head not waited for", BUDGET),
    ("head that is back goes last", BUDGET),
    ("those behind one that was shed started", BUDGET),
    ("observer told after its panic", BUDGET),
    ("panic of the observer ignored", BUDGET),
    ("start after a failure", BUDGET),
];

/// As many as a fixed run has.
const BUDGET: u64 = 2_000;

/// Far longer than the seeds of a budget take.
const HUNT_MAX: Duration = Duration::from_secs(180);
