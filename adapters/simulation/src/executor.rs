//! The seeded executor.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{FutureExt, LocalBoxFuture};
use futures::task::{FutureObj, Spawn, SpawnError};
use mayhem_core::Instant;

use crate::SimClock;
use crate::by_task::ByTask;
use crate::guarded::Hold;
use crate::hang::{Hang, Violation};
use crate::hazards::Hazards;
use crate::tape::{Dice, Tape};
use crate::world::{Next, TaskId, World};

/// One seeded world: an executor, its virtual clock and its dice.
///
/// Among the tasks that can run, the seed picks the next. Every poll gets a new waker, only the
/// latest of which counts, and one poll in 32 is repeated for no reason: a future that relies on
/// more than the contract of [`Future`] is found out; [`Hazards`] add to that. A panic in a task
/// leaves [`run`](Self::run) as it is.
///
/// All choices go through the [`Dice`], which write them on a [`Tape`]: the same seed, or the same
/// tape, is the same run.
///
/// # Examples
///
/// ```
/// use mayhem_core::{Clock, Instant};
/// use mayhem_sim::Simulation;
/// use std::time::Duration;
///
/// let sim = Simulation::new(42);
/// let clock = sim.clock();
/// let woken_at = sim.run(async {
///     clock.sleep(Duration::from_secs(3600)).await;
///     clock.now()
/// });
/// assert_eq!(woken_at, Ok(Instant::ZERO + Duration::from_secs(3600)));
///
/// let hang = sim.run(std::future::pending::<()>()).unwrap_err();
/// assert_eq!(hang.to_string(), "nothing can run and no timer is set; waiting: main");
/// ```
pub struct Simulation {
    world: Arc<World>,
    seed: u64,
    /// Each is taken out while it is polled.
    tasks: RefCell<ByTask<Option<LocalBoxFuture<'static, ()>>>>,
    watch: RefCell<Option<Box<dyn FnMut()>>>,
    /// What is held while it runs, by its place.
    held: RefCell<Vec<(Place, Arc<dyn Hold>)>>,
}

/// Which of the locks comes first, for all threads: under it those that follow are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Broker,
    Checker,
    Store,
}

impl Simulation {
    /// Makes a world at [`Instant::ZERO`] whose choices all follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::assemble(seed, Dice::with_seed(seed))
    }

    /// As [`new`](Self::new), but the choices are not written down, which is quicker: for the many
    /// runs of which few are looked at. Such a few are run again with `new`, which is the same run.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_sim::Simulation;
    ///
    /// let (quick, again) = (Simulation::without_tape(7), Simulation::new(7));
    /// assert_eq!(quick.dice().choose("size", 10), again.dice().choose("size", 10));
    /// assert_eq!(quick.dice().choices().len(), 0);
    /// assert_eq!(again.dice().choices().len(), 1);
    /// ```
    pub fn without_tape(seed: u64) -> Self {
        Self::assemble(seed, Dice::without_tape(seed))
    }

    /// Makes a world whose choices are those of `tape`, and harmless beyond its end. Its seed is 0.
    pub fn replay(tape: &Tape) -> Self {
        Self::assemble(0, Dice::with_tape(tape))
    }

    fn assemble(seed: u64, dice: Dice) -> Self {
        Self {
            world: World::new(dice),
            seed,
            tasks: RefCell::default(),
            watch: RefCell::default(),
            held: RefCell::default(),
        }
    }

    /// The seed, to be printed with a failure.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The clock of this world.
    pub fn clock(&self) -> SimClock {
        SimClock::new(&self.world)
    }

    /// A handle that spawns on this world's executor.
    pub fn spawner(&self) -> SimSpawn {
        SimSpawn {
            world: Arc::clone(&self.world),
        }
    }

    /// Makes this world's choices, and the test's own.
    pub fn dice(&self) -> Dice {
        self.world.dice().clone()
    }

    /// The choices made so far; none [without a tape](Self::without_tape).
    pub fn tape(&self) -> Tape {
        self.world.dice().tape()
    }

    /// What else than the dice makes tasks suffer, from now on.
    pub fn set_hazards(&self, hazards: Hazards) {
        self.world.set_hazards(hazards);
    }

    /// Says that a promise was broken: [`run`](Self::run) ends with the first one.
    pub fn violate(&self, invariant: &'static str, detail: impl Into<String>) {
        self.world.violate(Violation {
            invariant,
            detail: detail.into(),
            at: self.world.now(),
        });
    }

    /// Has `watch` called after every poll of any task: where to check what must always hold.
    pub fn watch(&self, watch: impl FnMut() + 'static) {
        *self.watch.borrow_mut() = Some(Box::new(watch));
    }

    /// Drops every spawned task, one after the other as the dice say: the process has crashed.
    pub fn crash(&self) {
        drop(self.world.take_spawned());
        let tasks = self.tasks.borrow();
        let is_whole = |(id, task): &(TaskId, Option<_>)| task.is_some().then_some(*id);
        let mut ids: Vec<TaskId> = tasks.iter().filter_map(is_whole).collect();
        drop(tasks);
        while !ids.is_empty() {
            let index = self.world.dice().choose("dropped task", ids.len() as u64);
            let id = ids.remove(usize::try_from(index).unwrap_or(0));
            // Dropped after the borrow: a destructor may spawn.
            let task = self.tasks.borrow_mut().remove(id);
            drop(task);
        }
        self.world.forget_tasks();
    }

    /// How many polls there were.
    pub fn polls(&self) -> u64 {
        self.world.polls()
    }

    pub(crate) fn world(&self) -> Arc<World> {
        Arc::clone(&self.world)
    }

    /// Has `what` held by the thread that runs this, for as long as it does.
    pub(crate) fn hold(&self, place: Place, what: Arc<dyn Hold>) {
        let mut held = self.held.borrow_mut();
        held.push((place, what));
        held.sort_by_key(|(place, _)| *place);
    }

    /// Starts a task under a name that a [`Hang`] will show; it may be `!Send`.
    ///
    /// It runs while [`run`](Self::run) does, and is kept between runs.
    pub fn spawn(&self, name: &str, future: impl Future<Output = ()> + 'static) {
        let id = self.world.add_task(Some(name));
        self.add(id, future);
    }

    fn add(&self, id: TaskId, future: impl Future<Output = ()> + 'static) {
        let future = Some(future.boxed_local());
        self.tasks.borrow_mut().insert(id, future);
    }

    /// How many spawned tasks have not ended.
    pub fn task_count(&self) -> usize {
        self.world.task_count()
    }

    /// A hash of everything that happened: which task was polled when, and every [`Fact`] of every
    /// broker.
    ///
    /// Two runs of one binary with one seed have the same fingerprint.
    ///
    /// [`Fact`]: crate::Fact
    pub fn fingerprint(&self) -> u64 {
        self.world.fingerprint()
    }

    /// Runs `main` to its end, and the spawned tasks beside it.
    ///
    /// # Errors
    ///
    /// [`Hang`] when it cannot get there, or breaks a promise on the way. `main` has been dropped
    /// then; the tasks have not.
    ///
    /// # Panics
    ///
    /// When a task panics, with its panic; and when called inside a task of this simulation.
    pub fn run<T>(&self, main: impl Future<Output = T>) -> Result<T, Hang> {
        self.run_until(Instant::from_nanos(u64::MAX), main)
    }

    /// As [`run`](Self::run), but gives up when the next timer is beyond `horizon`: for what might
    /// go on for ever.
    ///
    /// # Errors
    ///
    /// As `run`; [`Hang::Endless`] when it gives up.
    ///
    /// # Panics
    ///
    /// As `run`.
    ///
    /// # Examples
    ///
    /// ```
    /// use mayhem_core::Instant;
    /// use mayhem_sim::{Hang, Simulation};
    /// use std::time::Duration;
    ///
    /// let sim = Simulation::new(1);
    /// let clock = sim.clock();
    /// let ticks = async {
    ///     loop {
    ///         clock.sleep(Duration::from_secs(1)).await;
    ///     }
    /// };
    /// let hang: Result<(), Hang> = sim.run_until(Instant::from_nanos(60_000_000_000), ticks);
    /// assert!(matches!(hang, Err(Hang::Endless { .. })));
    /// ```
    pub fn run_until<T>(&self, horizon: Instant, main: impl Future<Output = T>) -> Result<T, Hang> {
        let mut main = pin!(main);
        let held = self.held.borrow().clone();
        let _held: Vec<_> = held.iter().map(|(_, what)| what.hold()).collect();
        let _world = self.world.hold();
        self.world.add_main();
        // Whatever way this function is left, the executor forgets `main` with it.
        let _main_entry = MainEntry { world: &self.world };
        let mut polls = 0;
        let mut polls_from = self.world.now();
        // What was polled and is not done.
        let mut waits = None;
        loop {
            let (id, waker) = match self.world.next(waits.take()) {
                Next::Poll(id, waker) => (id, waker),
                Next::Wake(due) => {
                    self.world.wake(due);
                    let at = self.world.now();
                    if at > horizon {
                        let running = self.world.task_names();
                        return Err(Hang::Endless { at, running });
                    }
                    continue;
                }
                Next::Add(spawned) => {
                    for (id, future) in spawned {
                        self.add(id, future);
                    }
                    continue;
                }
                Next::Nothing => {
                    let (at, waiting) = (self.world.now(), self.world.task_names());
                    return Err(Hang::Deadlock { at, waiting });
                }
            };

            let mut cx = Context::from_waker(&waker);
            if id == TaskId::MAIN {
                let polled = main.as_mut().poll(&mut cx);
                self.look()?;
                if let Poll::Ready(output) = polled {
                    return Ok(output);
                }
                waits = Some(id);
            } else {
                waits = self.poll_task(id, &mut cx).is_pending().then_some(id);
                self.look()?;
            }

            polls += 1;
            if self.world.now() != polls_from {
                (polls, polls_from) = (0, self.world.now());
            } else if polls == STANDSTILL_POLLS_MAX {
                let (at, running) = (polls_from, self.world.task_names());
                return Err(Hang::Livelock { at, running });
            }
        }
    }

    fn look(&self) -> Result<(), Hang> {
        if let Some(watch) = self.watch.borrow_mut().as_mut() {
            watch();
        }
        self.world
            .violation()
            .map_or(Ok(()), |it| Err(Hang::Violated(it)))
    }

    fn poll_task(&self, id: TaskId, cx: &mut Context<'_>) -> Poll<()> {
        // Taken out for the poll: the task may spawn others.
        let task = self.tasks.borrow_mut().get_mut(id).and_then(Option::take);
        let Some(mut task) = task else {
            return Poll::Ready(());
        };
        if task.as_mut().poll(cx).is_pending() {
            self.tasks.borrow_mut().insert(id, Some(task));
            return Poll::Pending;
        }
        self.tasks.borrow_mut().remove(id);
        self.world.remove_task(id);
        Poll::Ready(())
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .field("now", &self.world.now())
            .field("tasks", &self.world.task_names())
            .finish()
    }
}

/// Spawns on a [`Simulation`]'s executor.
///
/// A task is detached and named `task-N`; it runs while [`Simulation::run`] does.
#[derive(Clone)]
pub struct SimSpawn {
    world: Arc<World>,
}

impl Spawn for SimSpawn {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.world.spawn(future);
        Ok(())
    }
}

impl fmt::Debug for SimSpawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimSpawn").finish_non_exhaustive()
    }
}

struct MainEntry<'a> {
    world: &'a World,
}

impl Drop for MainEntry<'_> {
    fn drop(&mut self) {
        self.world.remove_task(TaskId::MAIN);
    }
}

/// Far above what any test does in one instant, and reached within seconds.
const STANDSTILL_POLLS_MAX: u64 = 2_000_000;
