//! Drives a consumer: polls it only when it was woken, and turns the clock when nothing is awake.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::executor::{LocalPool, LocalSpawner};
use futures::task::{FutureObj, LocalFutureObj, LocalSpawn as _, Spawn, SpawnError};

use super::tasks::{Mode, OnPool};
use super::{ManualClock, TestBroker};
use crate::control::lock;
use crate::{Broker, Builder, Clock, Consumer, Control, Event, Execution, NoHandler, Report};

pub(crate) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Runs handlers inside `run()`.
pub(crate) type Rig = RigOf<NoHandler>;

/// Runs handlers as tasks of a pool, which is driven along.
pub(crate) type SpawnedRig = RigOf<OnPool>;

/// What a rig's builder is until it has a handler.
pub(crate) type Unhandled = BuilderOf<NoHandler>;

/// The same of a rig whose handlers are tasks.
pub(crate) type Unspawned = BuilderOf<OnPool>;

type BuilderOf<M> = Builder<Arc<dyn Broker>, Arc<dyn Clock>, M>;

pub(crate) struct RigOf<M> {
    pub(crate) clock: ManualClock,
    pub(crate) broker: TestBroker,
    events: Arc<Mutex<Vec<Event>>>,
    flag: Arc<Flag>,
    run: Option<Pin<Box<dyn Future<Output = Report>>>>,
    pool: LocalPool,
    /// Looks at what each poll has done.
    pub(crate) after_poll: Option<Box<dyn FnMut()>>,
    mode: PhantomData<M>,
}

impl<M: Mode> RigOf<M> {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::default();
        let broker = TestBroker::new(&clock);
        Self {
            clock,
            broker,
            events: Arc::default(),
            flag: Arc::default(),
            run: None,
            pool: LocalPool::new(),
            after_poll: None,
            mode: PhantomData,
        }
    }

    /// A builder with leases of 10 s and every event written down.
    pub(crate) fn builder(&self) -> BuilderOf<M> {
        let events = Arc::clone(&self.events);
        Consumer::builder()
            .broker(self.broker.clone())
            .clock(self.clock.clone())
            .lease(seconds(10))
            .on_event(move |event| lock(&events).push(event.clone()))
            .execution(|_| M::new(&self.pool))
    }

    /// Starts a consumer that is controlled meanwhile.
    pub(crate) fn begin<E: Execution + 'static>(&mut self, consumer: Consumer<E>) -> Control {
        let control = consumer.control();
        self.start(consumer.run());
        control
    }

    pub(crate) fn start(&mut self, run: impl Future<Output = Report> + 'static) {
        self.run = Some(Box::pin(run));
        self.flag.is_woken.store(true, Ordering::SeqCst);
    }

    /// Polls until nothing is awake.
    pub(crate) fn settle(&mut self) -> Option<Report> {
        for _ in 0..POLLS_MAX {
            self.pool.run_until_stalled();
            if !self.flag.is_woken.swap(false, Ordering::SeqCst) {
                return None;
            }
            self.flag.polls.fetch_add(1, Ordering::SeqCst);
            let waker = Waker::from(Arc::clone(&self.flag));
            let run = self.run.as_mut().expect("a consumer was started");
            let polled = run.as_mut().poll(&mut Context::from_waker(&waker));
            if let Some(after_poll) = &mut self.after_poll {
                after_poll();
            }
            if let Poll::Ready(report) = polled {
                assert!(report.is_balanced(), "{report:?}");
                self.run = None;
                return Some(report);
            }
        }
        panic!("the consumer spins: {:?}", self.events().last());
    }

    /// Lets `duration` pass, timer by timer.
    pub(crate) fn advance(&mut self, duration: Duration) -> Option<Report> {
        let end = self.clock.now() + duration;
        loop {
            if let Some(report) = self.settle() {
                return Some(report);
            }
            match self.clock.next_timer().filter(|next| *next <= end) {
                Some(next) => self.clock.set(next),
                None => {
                    self.clock.set(end);
                    return self.settle();
                }
            }
        }
    }

    /// Lets time pass until the consumer has ended, for at most an hour.
    pub(crate) fn finish(&mut self) -> Report {
        let end = self.clock.now() + seconds(3600);
        loop {
            if let Some(report) = self.settle() {
                return report;
            }
            match self.clock.next_timer().filter(|next| *next <= end) {
                Some(next) => self.clock.set(next),
                None => panic!("the consumer hangs after {:?}", self.events().last()),
            }
        }
    }

    pub(crate) fn run(&mut self, run: impl Future<Output = Report> + 'static) -> Report {
        self.start(run);
        self.finish()
    }

    /// Drops the consumer in the middle of what it does.
    pub(crate) fn abort(&mut self) {
        self.run = None;
        self.pool.run_until_stalled();
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        lock(&self.events).clone()
    }

    pub(crate) fn count(&self, is_meant: impl Fn(&Event) -> bool) -> usize {
        lock(&self.events)
            .iter()
            .filter(|event| is_meant(event))
            .count()
    }

    /// How many leases were lost.
    pub(crate) fn lost(&self) -> usize {
        self.count(|event| matches!(event, Event::LeaseLost(_)))
    }

    pub(crate) fn polls(&self) -> usize {
        self.flag.polls.load(Ordering::SeqCst)
    }
}

/// Spawns on a `LocalPool`, which takes `Send` futures as well.
pub(crate) struct LocalSpawn(pub(crate) LocalSpawner);

impl Spawn for LocalSpawn {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.0.spawn_local_obj(LocalFutureObj::from(future))
    }
}

#[derive(Default)]
struct Flag {
    is_woken: AtomicBool,
    polls: AtomicUsize,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
    }
}

/// More polls than this at one instant are a spin.
const POLLS_MAX: usize = 10_000;
