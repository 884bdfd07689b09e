//! What models are made of: the checker's threads, its way to run a future, and values that can be
//! counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

#[cfg(mayhem_model = "loom")]
use loom as checker;
#[cfg(mayhem_model = "shuttle")]
use shuttle as checker;

pub(crate) use checker::future::block_on;
pub(crate) use checker::thread::{JoinHandle, spawn};
pub(crate) use mayhem_bridge::model::pass_time;

/// How many runs the checker has made in this process.
pub(crate) fn runs() -> u64 {
    RUNS.load(Ordering::Relaxed)
}

/// Begins one run; a model calls it first.
pub(crate) fn begin_run() {
    mayhem_bridge::model::begin();
    RUNS.fetch_add(1, Ordering::Relaxed);
}

/// Joins a thread of the model. Its panic goes on here.
pub(crate) fn join<T>(thread: JoinHandle<T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Explores every run of `model` with at most `preemptions` switches that nothing forced, or as
/// many as `LOOM_MAX_PREEMPTIONS` allows.
#[cfg(mayhem_model = "loom")]
pub(crate) fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 20_000;
    let before = runs();
    builder.check(move || {
        begin_run();
        model();
    });
    eprintln!("{} runs", runs() - before);
}

/// Runs `scenario` under `MAYHEM_SCHEDULES` random schedules (default 100,000) and as many of
/// PCT's, from `MAYHEM_SEED`; or under the one schedule that `MAYHEM_SCHEDULE` holds.
#[cfg(mayhem_model = "shuttle")]
pub(crate) fn explore(scenario: fn()) {
    use shuttle::scheduler::{
        PctScheduler, RandomScheduler, UncontrolledNondeterminismCheckScheduler,
    };

    let run = move || {
        begin_run();
        scenario();
    };
    if let Ok(schedule) = std::env::var("MAYHEM_SCHEDULE") {
        return shuttle::replay(run, &schedule);
    }
    let number = |name, default| {
        let text = std::env::var(name);
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let (schedules, seed) = (
        number("MAYHEM_SCHEDULES", 100_000),
        number("MAYHEM_SEED", 1) as u64,
    );
    let config = || {
        let mut config = shuttle::Config::new();
        config.silence_warnings = true;
        config
    };
    // Each twice, to see that nothing but the schedule decides what happens.
    let twice = RandomScheduler::new_from_seed(seed, 10);
    let twice = UncontrolledNondeterminismCheckScheduler::new(twice);
    shuttle::Runner::new(twice, config()).run(run);
    let random = RandomScheduler::new_from_seed(seed, schedules);
    shuttle::Runner::new(random, config()).run(run);
    let pct = PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules);
    shuttle::Runner::new(pct, config()).run(run);
}

/// How many preemptions PCT places in one schedule.
#[cfg(mayhem_model = "shuttle")]
const PCT_DEPTH: usize = 3;

/// Counts how often its values were dropped, unseen by the checker: it costs no interleavings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<AtomicUsize>);

impl Tally {
    pub(crate) fn value(&self, id: usize) -> Counted {
        Counted {
            id,
            tally: self.clone(),
        }
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that counts its drop.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) id: usize,
    tally: Tally,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.add();
    }
}

static RUNS: AtomicU64 = AtomicU64::new(0);
