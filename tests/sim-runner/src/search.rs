//! Many seeds, on several threads.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mayhem_sim::{Found, Simulation, Violation, attempt, shrink};

use crate::{Life, Tally, Totals, live};

/// Which seeds, and for how long.
#[derive(Clone, Debug)]
pub struct Search {
    /// The seeds.
    pub seeds: Range<u64>,
    /// When to stop before the last of them.
    pub until: Option<Duration>,
    /// How many threads.
    pub threads: usize,
    /// Whether what it has come to is printed every ten seconds.
    pub is_told: bool,
    /// What is asked of each life.
    pub life: Life,
}

/// A seed that broke a promise.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// The promise.
    pub violation: Violation,
}

impl Search {
    /// Runs the seeds until one fails; the one that is returned is the lowest of those that were
    /// found.
    pub fn run(&self) -> (Totals, Option<Failed>) {
        let (next, is_over) = (AtomicU64::new(self.seeds.start), AtomicBool::new(false));
        let (totals, failed) = (Mutex::new(Totals::default()), Mutex::new(None::<Failed>));
        let began = Instant::now();
        let worker = || {
            while !is_over.load(Ordering::Relaxed) {
                let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                if first >= self.seeds.end {
                    return;
                }
                let end = (first + CHUNK).min(self.seeds.end);
                let mut chunk = Totals::default();
                for seed in first..end {
                    match run_seed(seed, self.life) {
                        Ok(tally) => chunk.add(&tally),
                        Err(violation) => {
                            is_over.store(true, Ordering::Relaxed);
                            let mut failed = lock(&failed);
                            if failed.as_ref().is_none_or(|it| seed < it.seed) {
                                *failed = Some(Failed { seed, violation });
                            }
                            break;
                        }
                    }
                }
                lock(&totals).merge(&chunk);
                if self.until.is_some_and(|until| began.elapsed() >= until) {
                    is_over.store(true, Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads.max(1))
                .map(|_| scope.spawn(worker))
                .collect();
            let mut told_at = Instant::now();
            while workers.iter().any(|worker| !worker.is_finished()) {
                thread::sleep(Duration::from_millis(5));
                if self.is_told && told_at.elapsed() >= Duration::from_secs(10) {
                    told_at = Instant::now();
                    let totals = lock(&totals);
                    let (seeds, hours) = (totals.seeds, totals.sum.elapsed.as_secs() / 3_600);
                    let seconds = began.elapsed().as_secs();
                    eprintln!("{seconds} s: {seeds} seeds, {hours} simulated hours");
                }
            }
        });
        let totals = lock(&totals).clone();
        let failed = lock(&failed).clone();
        (totals, failed)
    }
}

/// Runs one seed.
///
/// # Errors
///
/// The promise that was broken.
pub fn run_seed(seed: u64, life: Life) -> Result<Tally, Violation> {
    attempt(&Simulation::without_tape(seed), |sim| live(sim, life))
}

/// Makes the run of a seed that failed smaller.
pub fn shrink_seed(failed: &Failed, life: Life, tries: usize) -> Found {
    let sim = Simulation::new(failed.seed);
    let violation = match attempt(&sim, |sim| live(sim, life)) {
        Ok(_) => failed.violation.clone(),
        Err(violation) => violation,
    };
    let found = Found {
        seed: failed.seed,
        violation,
        tape: sim.tape(),
    };
    shrink(found, tries, |sim| live(sim, life).map(drop))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many seeds a thread takes at a time.
const CHUNK: u64 = 16;
