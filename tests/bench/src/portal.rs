//! What a foreign thread waits for an answer from the async side.
//!
//! The two sides keep to one processor each: on a common one a round trip is ten times as fast, and
//! the scheduler would decide which of the two is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mayhem_bridge::Portal;

use crate::bridge::Executor;
use crate::measure::{Effort, Failure, OURS, Peer, Row, Unit, interleave};
use crate::processors::keep_to;

/// Looks before a spinning portal parks: more than a round trip takes.
const SPIN: u32 = 20_000;

/// A call through a portal beside a bare ping-pong of two parking threads.
pub(crate) fn round_trip(effort: Effort) -> Result<Vec<Row>, Failure> {
    let peers = vec![
        Peer::timed(OURS, |n| ours(n, 0, || Ok(Executor::BlockOn))),
        Peer::timed("mayhem_on_smol", |n| ours(n, 0, || Ok(Executor::Smol))),
        Peer::timed("mayhem_on_tokio", |n| ours(n, 0, Executor::tokio)),
        Peer::timed("thread_park", |n| ping_pong(n, thread::park)),
        Peer::timed("tokio_spawn_oneshot", tokio_spawn_oneshot),
    ];
    interleave(
        "portal_round_trip",
        effort.count(40_000),
        Unit::NanosPerCall,
        effort,
        peers,
    )
}

/// The same with both sides looking again before they park, beside two threads that never park.
///
/// How long one processor takes to see what another has written decides both rows: read them
/// together. On one virtual machine `thread_spin` took 46 ns and, an hour later, 355 ns, as its
/// host had moved the processors apart; a call is some six such steps and 240 ns besides.
pub(crate) fn round_trip_spinning(effort: Effort) -> Result<Vec<Row>, Failure> {
    let peers = vec![
        Peer::timed(OURS, |n| ours(n, SPIN, || Ok(Executor::BlockOn))),
        Peer::timed("thread_spin", |n| ping_pong(n, std::hint::spin_loop)),
    ];
    interleave(
        "portal_round_trip_spinning",
        effort.count(400_000),
        Unit::NanosPerCall,
        effort,
        peers,
    )
}

fn ours(
    n: u64,
    spin: u32,
    executor: fn() -> Result<Executor, Failure>,
) -> Result<Duration, Failure> {
    let (portal, driver) = Portal::builder()
        .name("bench")
        .capacity(64)
        .spin(spin)
        .build();
    let driving = thread::spawn(move || {
        keep_to(1);
        executor().map(|executor| executor.run(driver)).map(drop)
    });
    let calling = thread::spawn(move || -> Result<Duration, Failure> {
        keep_to(0);
        let began = Instant::now();
        for call in 0..n {
            let answer = portal
                .call(async move { call })
                .map_err(|error| error.to_string())?;
            assert_eq!(answer, call, "a call returns its own answer");
        }
        Ok(began.elapsed())
    });
    // The portal goes with the calling thread, and so the driver ends.
    let took = calling.join().map_err(|_| "the caller panicked")??;
    driving.join().map_err(|_| "the driver panicked")??;
    Ok(took)
}

/// What one does on tokio: a task per call, its answer through a channel.
fn tokio_spawn_oneshot(n: u64) -> Result<Duration, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let handle = runtime.handle().clone();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let driving = thread::spawn(move || {
        keep_to(1);
        // Ignored: the end of the sender is the signal.
        let _ = runtime.block_on(ended);
    });
    let calling = thread::spawn(move || -> Result<Duration, Failure> {
        keep_to(0);
        let began = Instant::now();
        for call in 0..n {
            let (reply, replied) = tokio::sync::oneshot::channel();
            // Detached: the reply tells that it has run. Ignored: the receiver waits for it.
            drop(handle.spawn(async move {
                let _ = reply.send(call);
            }));
            assert_eq!(
                replied.blocking_recv()?,
                call,
                "a call returns its own answer"
            );
        }
        Ok(began.elapsed())
    });
    let took = calling.join().map_err(|_| "the caller panicked")??;
    drop(end);
    driving.join().map_err(|_| "the driver panicked")?;
    Ok(took)
}

/// The least that two threads need to tell each other something, whatever they do while they wait.
fn ping_pong(n: u64, wait: fn()) -> Result<Duration, Failure> {
    let turn = Arc::new(AtomicU64::new(0));
    let (caller_told, caller_known) = std::sync::mpsc::sync_channel::<thread::Thread>(1);
    let answering = {
        let turn = Arc::clone(&turn);
        thread::spawn(move || -> Result<(), Failure> {
            keep_to(1);
            let caller = caller_known.recv()?;
            for call in 0..n {
                // Acquire and Release: the turn passes what was written before it.
                while turn.load(Ordering::Acquire) != 2 * call + 1 {
                    wait();
                }
                turn.store(2 * call + 2, Ordering::Release);
                caller.unpark();
            }
            Ok(())
        })
    };
    let answerer = answering.thread().clone();
    let calling = thread::spawn(move || -> Result<Duration, Failure> {
        keep_to(0);
        caller_told.send(thread::current())?;
        let began = Instant::now();
        for call in 0..n {
            turn.store(2 * call + 1, Ordering::Release);
            answerer.unpark();
            while turn.load(Ordering::Acquire) != 2 * call + 2 {
                wait();
            }
        }
        Ok(began.elapsed())
    });
    let took = calling.join().map_err(|_| "the caller panicked")??;
    answering
        .join()
        .map_err(|_| "the answering thread panicked")??;
    Ok(took)
}
