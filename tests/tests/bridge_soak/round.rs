//! One life of a stream, a portal and a pool, with whatever end the dice say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use futures::channel::oneshot;
use futures::future::FutureExt;
use mayhem_bridge::{
    BlockingPool, CallbackStream, Close, Limiter, Overflow, Portal, Sink, callback_stream,
};

use crate::executors::{self, Kind, Running};
use crate::users::{self, A_MOMENT, Alive, FOR_EVER, Tally, Value};

/// What all rounds have done.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    rounds: u64,
    deaths: u64,
    received: u64,
    displaced: u64,
    discarded: u64,
    handed_back: u64,
    futures: u64,
    futures_cancelled: u64,
    futures_panicked: u64,
    jobs: u64,
    jobs_cancelled: u64,
    jobs_panicked: u64,
}

impl Totals {
    /// That everything this is about has happened.
    pub(crate) fn check(&self) {
        let counts = [
            self.deaths,
            self.received,
            self.displaced,
            self.discarded,
            self.handed_back,
            self.futures,
            self.futures_cancelled,
            self.futures_panicked,
            self.jobs,
            self.jobs_cancelled,
            self.jobs_panicked,
        ];
        assert!(counts.iter().all(|count| *count > 0), "{self:?}");
    }
}

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The vendors get through, and the stream is finished.
    Finish,
    CloseNow,
    /// The portal's futures are cancelled.
    Cancel,
    /// The consumer leaves, and drops its stream.
    Leave,
    /// The executor dies.
    Death,
}

const ENDS: [End; 5] = [
    End::Finish,
    End::CloseNow,
    End::Cancel,
    End::Leave,
    End::Death,
];

/// A round that goes on.
struct Round {
    kind: Kind,
    books: Ledgers,
    executor: Running,
    leave: oneshot::Sender<()>,
    is_consumed: mpsc::Receiver<()>,
    vendors: Vec<JoinHandle<()>>,
    callers: Vec<JoinHandle<u64>>,
    user: JoinHandle<u64>,
}

/// Those who know what has happened in a round.
struct Ledgers {
    sink: Sink<Value>,
    portal: Portal,
    pool: BlockingPool,
    tally: Arc<Tally>,
    alive: Alive,
    /// How often the close hook ran.
    hooks: Arc<AtomicU64>,
}

/// A round that has ended, but for the last steps of some threads.
pub(crate) struct Ended {
    kind: Kind,
    end: End,
    books: Ledgers,
    /// How many futures the portal has accepted, and how many jobs the pool, from those who asked.
    accepted: [u64; 2],
}

/// Lives a round.
pub(crate) fn live(random: &mut fastrand::Rng) -> Ended {
    let kind = executors::ALL[random.usize(..executors::ALL.len())];
    let end = ENDS[random.usize(..ENDS.len())];
    Round::begin(kind, random).end(end)
}

impl Round {
    fn begin(kind: Kind, random: &mut fastrand::Rng) -> Self {
        let hooks = Arc::default();
        let limiter = Limiter::new(1 + random.usize(..2));
        let pool = BlockingPool::builder().threads(2).limiter(&limiter);
        let pool = pool.queue(random.usize(..8));
        let pool = pool.keep_alive(A_MOMENT * random.u32(..10)).build();
        let (sink, stream) = stream(&pool, &hooks, random);
        let (portal, driver) = Portal::builder().capacity(1 + random.usize(..16)).build();
        let books = Ledgers {
            sink,
            portal,
            pool,
            tally: Arc::default(),
            alive: Alive::default(),
            hooks,
        };

        let (consumed, is_consumed) = mpsc::channel();
        let (leave, is_left) = oneshot::channel();
        let consumer = users::consume(stream, books.pool.clone(), is_left);
        let consumer = consumer.map(move |()| {
            // Ignored: nobody waits in a round whose executor dies.
            let _ = consumed.send(());
        });
        let (sink, tally, alive) = books.for_a_vendor();
        let producer = users::push_async(sink, tally, alive, random.fork());
        let tasks = vec![consumer.boxed(), producer.boxed(), driver.map(drop).boxed()];
        let executor = Running::start(kind, tasks);
        let vendors = (0..3).map(|_| {
            let (sink, tally, alive) = books.for_a_vendor();
            let mut random = random.fork();
            thread::spawn(move || users::push(&sink, &tally, &alive, &mut random))
        });
        let vendors = vendors.collect();
        let callers = (0..2).map(|_| {
            let (portal, alive) = (books.portal.clone(), books.alive.clone());
            let mut random = random.fork();
            thread::spawn(move || users::call(&portal, &alive, &mut random))
        });
        let callers = callers.collect();
        let (pool, alive) = (books.pool.clone(), books.alive.clone());
        let mut random = random.fork();
        let user = thread::spawn(move || users::use_pool(&pool, &alive, &mut random));
        Self {
            kind,
            books,
            executor,
            leave,
            is_consumed,
            vendors,
            callers,
            user,
        }
    }

    fn end(self, end: End) -> Ended {
        let Self { kind, books, .. } = self;
        let mut executor = Some(self.executor);
        let mut leave = Some(self.leave);
        match end {
            End::Finish => {}
            End::CloseNow => books.sink.close_now(),
            End::Cancel => books.portal.close(Close::Cancel),
            End::Leave => drop(leave.take()),
            End::Death => executor.take().into_iter().for_each(Running::die),
        }
        for vendor in self.vendors {
            vendor.join().expect("no vendor panics");
        }
        books.sink.finish();
        if end != End::Death {
            let at_the_end = self.is_consumed.recv();
            at_the_end.expect("the consumer reaches the end of its stream");
        }
        let sum = |users: Vec<JoinHandle<u64>>| -> u64 {
            users
                .into_iter()
                .map(|user| user.join().expect("no user panics"))
                .sum()
        };
        let called = sum(self.callers);
        books.portal.close(Close::Drain);
        let used = sum(vec![self.user]);
        executor.into_iter().for_each(Running::die);
        let report = books.pool.shutdown(FOR_EVER);
        assert!(report.is_clean(), "{report:?}");
        drop(leave);
        Ended {
            kind,
            end,
            books,
            accepted: [called, used],
        }
    }
}

impl Ledgers {
    fn for_a_vendor(&self) -> (Sink<Value>, Arc<Tally>, Alive) {
        (
            self.sink.clone(),
            Arc::clone(&self.tally),
            self.alive.clone(),
        )
    }
}

impl Ended {
    /// That all books agree. Once every thread of the round has ended.
    pub(crate) fn check(self, totals: &mut Totals) {
        let Self {
            kind,
            end,
            books,
            accepted,
        } = self;
        let round = format!("{kind:?}, {end:?}");
        let (stream, pool) = (books.sink.stats(), books.pool.stats());
        let portal = books.portal.stats();
        let [queued, handed_back] = books.tally.counts();

        assert_eq!(stream.queued, queued, "{round}: {stream:?}");
        let ended = stream.received + stream.displaced + stream.discarded;
        assert_eq!(stream.queued, ended, "{round}: {stream:?}");
        let left = [stream.depth, stream.reserved, stream.blocked_now];
        assert_eq!(left, [0; 3], "{round}: {stream:?}");

        assert_eq!(portal.accepted, accepted[0], "{round}: {portal:?}");
        let ended = portal.completed + portal.panicked + portal.cancelled + portal.closed;
        assert_eq!(portal.accepted, ended, "{round}: {portal:?}");
        assert_eq!(portal.outstanding, 0, "{round}: {portal:?}");

        // The consumer's jobs, the user's, and the hook.
        assert!(pool.accepted >= accepted[1], "{round}: {pool:?}");
        let ended = pool.finished + pool.cancelled + pool.never_started;
        assert_eq!(pool.accepted, ended, "{round}: {pool:?}");
        let left = [pool.threads, pool.running, pool.queued, pool.waiting];
        assert_eq!(left, [0; 4], "{round}: {pool:?}");

        assert_eq!(books.hooks.load(Ordering::SeqCst), 1, "{round}");
        assert_eq!(books.alive.others(), 0, "{round}: values, futures, jobs");

        totals.rounds += 1;
        totals.deaths += u64::from(end == End::Death);
        totals.received += stream.received;
        totals.displaced += stream.displaced;
        totals.discarded += stream.discarded;
        totals.handed_back += handed_back;
        totals.futures += portal.accepted;
        totals.futures_cancelled += portal.cancelled;
        totals.futures_panicked += portal.panicked;
        totals.jobs += pool.accepted;
        totals.jobs_cancelled += pool.cancelled;
        totals.jobs_panicked += pool.panicked;
    }
}

/// A stream as the dice say.
fn stream(
    pool: &BlockingPool,
    hooks: &Arc<AtomicU64>,
    random: &mut fastrand::Rng,
) -> (Sink<Value>, CallbackStream<Value>) {
    let stream = callback_stream("soak").watermarks(0, 1, || {}, || {});
    let capacity = 1 + random.usize(..64);
    let policy = random.u8(..6);
    // By key or by weight, not both.
    let stream = match policy > 0 && random.bool() {
        true => stream
            .capacity(64 * capacity)
            .weigh(|value: &Value| value.bytes.len()),
        false => stream.capacity(capacity),
    };
    let stream = match policy {
        0 => stream.keep_latest_by(|value| value.bytes[0]),
        1 => stream.overflow(Overflow::DropOldest),
        2 => stream.overflow(Overflow::Fail),
        3 => stream.overflow(Overflow::BlockFor(A_MOMENT)),
        _ => stream.overflow(Overflow::Block),
    };
    let hooks = Arc::clone(hooks);
    let hook = move |_| {
        hooks.fetch_add(1, Ordering::SeqCst);
    };
    match random.bool() {
        true => stream.on_close(hook).build(),
        false => stream.on_close_in(pool, hook).build(),
    }
}
