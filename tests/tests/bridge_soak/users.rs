//! Who uses the bridge in a round, each with dice of its own, and what they note down.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use mayhem_bridge::{BlockingPool, CallbackStream, JobContext, Portal, Push, Sink};

/// As long as some waits are, which end by themselves or are cut short.
pub(crate) const A_MOMENT: Duration = Duration::from_micros(200);
/// Longer than any run: such a wait is ended by what it waits for.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(1_000_000);

/// What was alive in the round and is not gone yet: one more for each clone.
#[derive(Clone, Default)]
pub(crate) struct Alive(Arc<()>);

impl Alive {
    pub(crate) fn others(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// What is pushed.
pub(crate) struct Value {
    pub(crate) bytes: Vec<u8>,
    _alive: Alive,
}

impl Value {
    fn roll(random: &mut fastrand::Rng, alive: &Alive) -> Self {
        Self {
            bytes: vec![random.u8(..); random.usize(1..256)],
            _alive: alive.clone(),
        }
    }
}

/// What the pushing side was told.
#[derive(Default)]
pub(crate) struct Tally {
    queued: AtomicU64,
    handed_back: AtomicU64,
}

impl Tally {
    /// Whether there is any use in going on.
    fn note(&self, push: &Push<Value>) -> bool {
        let count = match push.is_queued() {
            true => &self.queued,
            false => &self.handed_back,
        };
        count.fetch_add(1, Ordering::Relaxed);
        !matches!(push, Push::Closed(_))
    }

    /// How many values were queued, and how many came back. Once all who push were joined.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [&self.queued, &self.handed_back].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Reads to the end, or until told to leave, in batches, and has the pool do something for each.
pub(crate) async fn consume(
    mut stream: CallbackStream<Value>,
    pool: BlockingPool,
    mut leave: oneshot::Receiver<()>,
) {
    let mut batch = Vec::new();
    loop {
        let is_over = {
            let next = std::pin::pin!(stream.next_batch(&mut batch, 16));
            let next = select(next, &mut leave).await;
            matches!(next, Either::Left((0, _)) | Either::Right(_))
        };
        if is_over {
            return;
        }
        let values = std::mem::take(&mut batch);
        let sum = move |_: &JobContext| values.iter().map(|it| it.bytes.len()).sum::<usize>();
        assert!(pool.run_async("sum", sum).await.is_ok());
    }
}

/// A vendor's thread.
pub(crate) fn push(sink: &Sink<Value>, tally: &Tally, alive: &Alive, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(..400) {
        let value = Value::roll(random, alive);
        let push = match random.usize(..5) {
            0 => sink.try_push(value),
            1 => sink.push_timeout(value, A_MOMENT),
            2 => match sink.permit(1) {
                Ok(permit) => permit.send(value),
                Err(_) => Push::Full(value),
            },
            _ => sink.push(value),
        };
        if !tally.note(&push) {
            return;
        }
        if matches!(push, Push::Full(_)) {
            let alive = alive.clone();
            sink.when_ready(move || drop(alive));
        }
    }
}

/// A task that pushes as well.
pub(crate) async fn push_async(
    sink: Sink<Value>,
    tally: Arc<Tally>,
    alive: Alive,
    mut random: fastrand::Rng,
) {
    for _ in 0..random.usize(..100) {
        let push = sink.push_async(Value::roll(&mut random, &alive)).await;
        if !tally.note(&push) {
            return;
        }
    }
}

/// A plain thread that runs futures in the portal: how many were accepted.
pub(crate) fn call(portal: &Portal, alive: &Alive, random: &mut fastrand::Rng) -> u64 {
    let mut accepted = 0;
    for number in 0..random.usize(..60) {
        let (is_endless, panics) = (random.u8(..4) == 0, random.u8(..16) == 0);
        let alive = alive.clone();
        let future = async move {
            let _alive = alive;
            if panics {
                // And not `panic!`, which would print.
                resume_unwind(Box::new(number));
            }
            if is_endless {
                std::future::pending::<()>().await;
            }
            number
        };
        let Ok(handle) = portal.submit_timeout(future, FOR_EVER) else {
            break;
        };
        accepted += 1;
        match random.usize(..4) {
            0 if !is_endless => drop(handle),
            1 => drop(handle.abort_on_drop()),
            2 if !is_endless => {
                // Ignored, here and below: cancelled, closed and done are all in order.
                let _ = handle.wait();
            }
            _ => {
                let _ = handle.cancel_and_wait(FOR_EVER);
            }
        }
    }
    accepted
}

/// Somebody else who uses the pool: how many jobs were accepted.
pub(crate) fn use_pool(pool: &BlockingPool, alive: &Alive, random: &mut fastrand::Rng) -> u64 {
    let mut accepted = 0;
    for number in 0..random.usize(..40) {
        let (naps, panics) = (random.u8(..4) == 0, random.u8(..16) == 0);
        let alive = alive.clone();
        let work = move |cx: &JobContext| {
            let _alive = alive;
            if panics {
                resume_unwind(Box::new(number));
            }
            if naps {
                // Ignored: it is cancelled, below.
                let _ = cx.sleep(FOR_EVER);
            }
        };
        let Ok(job) = pool.run("nap", work) else {
            continue;
        };
        accepted += 1;
        let job = job.abandon_on_cancel(random.bool());
        if naps || random.bool() {
            job.cancel();
        }
        if random.bool() {
            // Ignored: done, panicked, cancelled and abandoned are all in order.
            let _ = job.wait();
        }
    }
    accepted
}
