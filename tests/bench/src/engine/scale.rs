//! A million messages in hand: what each of them takes, and how long one poll of the engine is.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::executor::block_on;
use futures::future::{pending, select};
use futures::task::{ArcWake, waker};
use mayhem_core::{Clock, Consumer, Control, Delivery, Plan, Report, Verdict};
use mayhem_smol::SmolClock;
use rustix::time::{ClockId, clock_gettime};

use super::broker::MemoryBroker;
use crate::measure::{Effort, Failure, OURS, Row, Unit, interleave_values, together};

/// Every message has its handler.
const RUNNING: &str = "running";

/// All but one wait for theirs.
const WAITING: &str = "waiting";

/// Messages in hand.
const IN_HAND: u64 = 1_000_000;

/// Short, so that each lease is extended within a short run.
const LEASE: Duration = Duration::from_secs(4);

/// How long the leases are kept while polls are timed.
const RUN: Duration = Duration::from_secs(4);

/// The resident memory that a message takes, handled and waiting.
///
/// All that the process takes, the allocator's own included, without the ids, the tokens and the
/// payload, which are the broker's: the payload is empty, and the ids and tokens were there before.
pub(crate) fn memory(effort: Effort) -> Result<Vec<Row>, Failure> {
    let case = |name, stage: &'static str| {
        let run = move |n| bytes_in_a_process(n, stage);
        let n = effort.count(IN_HAND);
        interleave_values(name, n, Unit::BytesPerMessage, effort, vec![(OURS, run)])
    };
    let mut rows = case("engine_memory_running", RUNNING)?;
    rows.extend(case("engine_memory_waiting", WAITING)?);
    Ok(rows)
}

/// Processor time of single polls of `run()`, while it keeps the leases of waiting messages.
pub(crate) fn polls(effort: Effort) -> Result<Vec<Row>, Failure> {
    let cases = ["engine_poll_p50", "engine_poll_p99", "engine_poll_max"];
    let cases = cases.map(|case| (case, Unit::NanosPerPoll));
    together(cases, effort.count(IN_HAND), effort, |n| {
        let mut times = poll_times(n)?;
        times.sort_unstable();
        let last = (times.len() - 1) as f64;
        Ok([0.5, 0.99, 1.0].map(|share| times[(last * share) as usize] as f64))
    })
}

/// Takes the measure in a process of its own: what one run gave back to the allocator the next
/// would take for nothing.
fn bytes_in_a_process(n: u64, stage: &str) -> Result<f64, Failure> {
    let program = std::env::current_exe()?;
    let output = Command::new(program)
        .args(["engine", "--in-hand", stage, "--count", &n.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Prints what `n` messages take, each, at a stage.
///
/// # Errors
///
/// No such stage, a consumer that ends, and a system that does not tell what a process takes.
pub(crate) fn print_bytes(stage: &str, n: u64) -> Result<(), Failure> {
    if ![RUNNING, WAITING].contains(&stage) {
        return Err(format!("no stage is called {stage}").into());
    }
    println!("{}", bytes(n, stage == RUNNING)?);
    Ok(())
}

fn bytes(n: u64, is_running: bool) -> Result<f64, Failure> {
    let outstanding = usize::try_from(n)?;
    let lease = Duration::from_secs(600);
    let broker = MemoryBroker::with_messages(n, outstanding, lease);
    let broker = broker.staying_open().without_payload();
    let before = resident_bytes()?;
    let concurrency = if is_running { outstanding } else { 1 };
    let (run, control) = consume(broker, concurrency, outstanding, lease);
    let mut run = pin!(run);
    let woken = Arc::new(Woken::default());
    let waker = waker(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    // Until it has nothing more to do: what it was given is dropped a part at a time.
    loop {
        // Relaxed: nobody else wakes it before it waits for its timer.
        woken.0.store(false, Ordering::Relaxed);
        if let Poll::Ready(report) = run.as_mut().poll(&mut cx) {
            return Err(format!("it ended: {report:?}").into());
        }
        let stats = control.stats();
        let is_there = stats.outstanding == outstanding && stats.running == concurrency;
        if !woken.0.load(Ordering::Relaxed) {
            let taken = is_there.then(resident_bytes);
            let taken = taken.ok_or_else(|| format!("it waits: {stats:?}"))??;
            return Ok((taken as f64 - before as f64) / n as f64);
        }
    }
}

/// Whether a consumer wants to be polled again.
#[derive(Default)]
struct Woken(AtomicBool);

impl ArcWake for Woken {
    fn wake_by_ref(woken: &Arc<Self>) {
        woken.0.store(true, Ordering::Relaxed);
    }
}

fn poll_times(n: u64) -> Result<Vec<u64>, Failure> {
    let outstanding = usize::try_from(n)?;
    let broker = MemoryBroker::with_messages(n, outstanding, LEASE);
    let (run, control) = consume(broker.staying_open(), 1, outstanding, LEASE);
    let mut run = pin!(run);
    let mut times = Vec::new();
    let timed = poll_fn(|cx| {
        let began = thread_nanos();
        let polled = run.as_mut().poll(cx);
        let took = thread_nanos() - began;
        // Neither the receipt, whose messages the broker makes, nor the stop.
        let stats = control.stats();
        if stats.outstanding == outstanding {
            times.push(took);
        }
        polled
    });
    let stop = async {
        while control.stats().outstanding < outstanding {
            SmolClock.sleep_until(SmolClock.now() + LEASE / 100).await;
        }
        SmolClock.sleep_until(SmolClock.now() + RUN).await;
        control.stop(Plan {
            drain: Duration::ZERO,
            grace: Duration::ZERO,
            ..Plan::default()
        });
        pending::<()>().await;
    };
    block_on(select(pin!(stop), pin!(timed)));
    if times.is_empty() {
        return Err("the leases were never all in hand".into());
    }
    Ok(times)
}

/// A consumer whose handlers never end, and which has no reason to stop by itself.
fn consume(
    broker: MemoryBroker,
    concurrency: usize,
    outstanding: usize,
    lease: Duration,
) -> (impl Future<Output = Report>, Control) {
    let consumer = Consumer::builder()
        .broker(broker)
        .clock(SmolClock)
        .handler(async |_: &Delivery| pending::<Verdict>().await)
        .concurrency(concurrency)
        .prefetch(outstanding)
        .lease(lease)
        .build();
    let control = consumer.control();
    (consumer.run(), control)
}

/// What this process has in memory.
fn resident_bytes() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kilobytes.ok_or("no VmRSS in the status")?.parse::<u64>()? * 1024)
}

/// What this thread has used of a processor so far.
fn thread_nanos() -> u64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    // Neither conversion can fail: the time used is positive.
    let seconds = u64::try_from(used.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(used.tv_nsec).unwrap_or(0)
}
