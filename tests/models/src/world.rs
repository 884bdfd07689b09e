//! What models are made of: the checker's threads, its way to run a future, and values that can be
//! counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

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

/// What an SDK was told by a stream's watermarks, and whether by two at once.
#[derive(Clone, Default)]
pub(crate) struct Turns {
    told: Arc<Mutex<Vec<&'static str>>>,
    /// The checker sees it, so that others may run while one tells.
    inside: Arc<checker::sync::atomic::AtomicUsize>,
}

impl Turns {
    pub(crate) fn tell(&self, word: &'static str) -> impl Fn() + Send + Sync + 'static {
        let turns = self.clone();
        move || {
            let others = turns.inside.fetch_add(1, Ordering::AcqRel);
            let word = if others == 0 { word } else { "both at once" };
            turns.told.lock().expect("no poison").push(word);
            turns.inside.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// How often it was told, which was to pause and to resume in turns.
    pub(crate) fn check(&self) -> usize {
        let told = self.told.lock().expect("no poison");
        let turns = ["pause", "resume"].into_iter().cycle().take(told.len());
        assert!(told.iter().copied().eq(turns), "{told:?}");
        told.len()
    }
}

static RUNS: AtomicU64 = AtomicU64::new(0);
