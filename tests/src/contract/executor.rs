//! The contract of a clock and a spawner.
//!
//! On real clocks these take real time, a few milliseconds each; no verdict depends on how long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Context;
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::{FutureExt, join_all};
use futures::task::{ArcWake, SpawnExt, waker};
use futures::{SinkExt, StreamExt};
use mayhem_core::Clock;

use super::Runtime;

/// Neither on one thread nor across tasks.
pub fn the_clock_never_goes_back<R: Runtime>() {
    let mut runtime = R::default();
    let (clock, spawner) = (runtime.clock(), runtime.spawner());
    let mut before = clock.now();
    for _ in 0..10_000 {
        let now = clock.now();
        assert!(now >= before);
        before = now;
    }

    runtime.block_on(
        async move {
            for _ in 0..100 {
                let task_clock = Arc::clone(&clock);
                let told = spawner.spawn_with_handle(async move { task_clock.now() });
                let told = told.expect("the executor takes tasks").await;
                assert!(told >= before);
                before = clock.now();
                assert!(before >= told);
            }
        }
        .boxed_local(),
    );
}

/// A sleep resolves at or after its instant.
pub fn a_sleep_is_never_early<R: Runtime>() {
    sleep_all::<R>(&[
        Duration::from_nanos(1),
        MILLISECOND,
        3 * MILLISECOND,
        10 * MILLISECOND,
    ]);
}

/// The same for a sleep that a clock goes in steps.
pub fn a_sleep_of_several_steps_is_never_early<R: Runtime>() {
    sleep_all::<R>(&[Duration::from_millis(1_050)]);
}

/// An instant in the past, or the present one, resolves at the first poll.
pub fn a_sleep_in_the_past_resolves_at_once<R: Runtime>() {
    let mut runtime = R::default();
    let clock = runtime.clock();
    runtime.block_on(
        async move {
            let present = clock.now();
            let past = present - Duration::from_secs(1);
            assert_eq!(clock.sleep_until(present).now_or_never(), Some(()));
            assert_eq!(clock.sleep_until(past).now_or_never(), Some(()));
        }
        .boxed_local(),
    );
}

/// The timer of a sleep that was polled and dropped is forgotten.
pub fn a_dropped_sleep_wakes_nobody<R: Runtime>() {
    let mut runtime = R::default();
    let clock = runtime.clock();
    runtime.block_on(
        async move {
            let wakes = Arc::new(Wakes::default());
            let waker = waker(Arc::clone(&wakes));
            let mut sleep = clock.sleep_until(clock.now() + 5 * MILLISECOND);
            let poll = sleep.poll_unpin(&mut Context::from_waker(&waker));
            drop(sleep);

            clock.sleep_until(clock.now() + 20 * MILLISECOND).await;
            assert!(poll.is_ready() || wakes.count.load(Ordering::SeqCst) == 0);
        }
        .boxed_local(),
    );
}

/// A sleep that was polled elsewhere before wakes the task that polls it now.
pub fn a_sleep_wakes_its_latest_waker<R: Runtime>() {
    let mut runtime = R::default();
    let clock = runtime.clock();
    runtime.block_on(
        async move {
            let waker = waker(Arc::new(Wakes::default()));
            let deadline = clock.now() + 5 * MILLISECOND;
            let mut sleep = clock.sleep_until(deadline);
            let _ = sleep.poll_unpin(&mut Context::from_waker(&waker));
            sleep.await;
            assert!(clock.now() >= deadline);
        }
        .boxed_local(),
    );
}

/// Sleeps that are clearly apart end in the order of their instants, however they were started.
pub fn sleeps_end_in_the_order_of_their_instants<R: Runtime>() {
    let mut runtime = R::default();
    let clock = runtime.clock();
    runtime.block_on(
        async move {
            let ended = Mutex::new(Vec::new());
            let start = clock.now();
            let sleeps = [3_u32, 1, 2].map(|number| {
                let sleep = clock.sleep_until(start + number * 50 * MILLISECOND);
                let (clock, ended) = (&clock, &ended);
                async move {
                    sleep.await;
                    let late = clock.now() - (start + number * 50 * MILLISECOND);
                    ended.lock().unwrap().push((number, late));
                }
            });
            join_all(sleeps).await;

            let ended = ended.into_inner().unwrap();
            // A machine that stops for the whole distance may see them end together.
            let is_clear = ended.iter().all(|(_, late)| *late < 50 * MILLISECOND);
            let order: Vec<u32> = ended.iter().map(|(number, _)| *number).collect();
            assert!(!is_clear || order == [1, 2, 3], "{ended:?}");
        }
        .boxed_local(),
    );
}

/// A task runs to its end and its output comes back.
pub fn a_spawned_task_runs<R: Runtime>() {
    let mut runtime = R::default();
    let spawner = runtime.spawner();
    runtime.block_on(
        async move {
            let task = spawner.spawn_with_handle(async { 6 * 7 });
            assert_eq!(task.expect("the executor takes tasks").await, 42);
        }
        .boxed_local(),
    );
}

/// Tasks wake each other, a thousand times over.
pub fn tasks_take_turns<R: Runtime>() {
    let mut runtime = R::default();
    let spawner = runtime.spawner();
    runtime.block_on(
        async move {
            let (mut ping, mut pings) = mpsc::channel(0);
            let (mut pong, mut pongs) = mpsc::channel(0);
            let echo = spawner.spawn(async move {
                while let Some(number) = pings.next().await {
                    // Ignored: the test has failed and gone.
                    let _: Result<(), mpsc::SendError> = pong.send(number + 1).await;
                }
            });
            echo.expect("the executor takes tasks");
            let mut number = 0;
            for _ in 0..1_000 {
                ping.send(number).await.expect("the echo is there");
                number = pongs.next().await.expect("the echo is there");
            }
            assert_eq!(number, 1_000);
        }
        .boxed_local(),
    );
}

/// A task may spawn, and wait for what it has spawned.
pub fn a_task_spawns_a_task<R: Runtime>() {
    let mut runtime = R::default();
    let spawner = runtime.spawner();
    runtime.block_on(
        async move {
            let (sender, receiver) = oneshot::channel();
            let (inner_sender, inner) = oneshot::channel();
            let outer = spawner.spawn(async move {
                // Ignored: the test has failed and gone.
                let _ = sender.send(inner.await);
            });
            outer.expect("the executor takes tasks");
            let task = spawner.spawn(async move {
                let _ = inner_sender.send("inner");
            });
            task.expect("the executor takes tasks");
            assert_eq!(receiver.await, Ok(Ok("inner")));
        }
        .boxed_local(),
    );
}

/// Dropping the handle of `spawn_with_handle` drops the task, with all that it holds.
pub fn a_dropped_handle_ends_its_task<R: Runtime>() {
    let mut runtime = R::default();
    let spawner = runtime.spawner();
    runtime.block_on(
        async move {
            let (held, released) = oneshot::channel::<()>();
            let task = spawner.spawn_with_handle(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            drop(task.expect("the executor takes tasks"));
            assert_eq!(released.await, Err(oneshot::Canceled));
        }
        .boxed_local(),
    );
}

/// A task whose handle is forgotten runs on.
pub fn a_forgotten_handle_lets_it_run<R: Runtime>() {
    let mut runtime = R::default();
    let (clock, spawner) = (runtime.clock(), runtime.spawner());
    runtime.block_on(
        async move {
            let (sender, receiver) = oneshot::channel();
            let task = spawner.spawn_with_handle(async move {
                clock.sleep_until(clock.now() + MILLISECOND).await;
                // Ignored: the test has failed and gone.
                let _ = sender.send("done");
            });
            task.expect("the executor takes tasks").forget();
            assert_eq!(receiver.await, Ok("done"));
        }
        .boxed_local(),
    );
}

fn sleep_all<R: Runtime>(durations: &[Duration]) {
    let mut runtime = R::default();
    let clock = runtime.clock();
    let sleeps = durations.iter().map(|duration| {
        let clock = Arc::clone(&clock);
        async move {
            let deadline = clock.now() + *duration;
            clock.sleep_until(deadline).await;
            assert!(clock.now() >= deadline);
        }
    });
    let sleeps = join_all(sleeps);
    runtime.block_on(sleeps.map(drop).boxed_local());
}

#[derive(Default)]
struct Wakes {
    count: AtomicUsize,
}

impl ArcWake for Wakes {
    fn wake_by_ref(arc_self: &Arc<Self>) {
        arc_self.count.fetch_add(1, Ordering::SeqCst);
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
