//! What a foreign thread waits for an answer from the async side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use mayhem_bridge::Portal;

use crate::measure::{Effort, Failure, OURS, Peer, Row, Unit, interleave};

/// A call through a portal beside a bare ping-pong of two parking threads.
pub(crate) fn round_trip(effort: Effort) -> Result<Vec<Row>, Failure> {
    let peers = vec![
        Peer::timed(OURS, ours),
        Peer::timed("thread_park", thread_park),
    ];
    interleave(
        "portal_round_trip",
        effort.count(40_000),
        Unit::NanosPerCall,
        effort,
        peers,
    )
}

fn ours(n: u64) -> Result<Duration, Failure> {
    let (portal, driver) = Portal::builder().name("bench").capacity(64).build();
    let driver = thread::spawn(move || block_on(driver));
    let began = Instant::now();
    for call in 0..n {
        let answer = portal
            .call(async move { call })
            .map_err(|error| error.to_string())?;
        assert_eq!(answer, call, "a call returns its own answer");
    }
    let took = began.elapsed();
    drop(portal);
    driver.join().map_err(|_| "the driver panicked")?;
    Ok(took)
}

/// The least that waking another thread and being woken by it costs.
fn thread_park(n: u64) -> Result<Duration, Failure> {
    let turn = Arc::new(AtomicU64::new(0));
    let caller = thread::current();
    let answering = {
        let turn = Arc::clone(&turn);
        thread::spawn(move || {
            for call in 0..n {
                // Acquire and Release: the turn passes what was written before it.
                while turn.load(Ordering::Acquire) != 2 * call + 1 {
                    thread::park();
                }
                turn.store(2 * call + 2, Ordering::Release);
                caller.unpark();
            }
        })
    };
    let began = Instant::now();
    for call in 0..n {
        turn.store(2 * call + 1, Ordering::Release);
        answering.thread().unpark();
        while turn.load(Ordering::Acquire) != 2 * call + 2 {
            thread::park();
        }
    }
    let took = began.elapsed();
    answering
        .join()
        .map_err(|_| "the answering thread panicked")?;
    Ok(took)
}
