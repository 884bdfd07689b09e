//! The bridge under use that never stops: streams, portals and pools come and go, executors die.
//!
//! Twenty seconds, or `MAYHEM_SOAK_SECONDS`. Each round ends in its own way, and its books are
//! checked exactly: nothing is left of it, neither a thread nor a file descriptor nor a record of
//! the inventory nor a value, a future or a job. What cannot be counted is seen in the memory of
//! the process, which must stay flat. No clock decides more than how long all this goes on: what
//! never ends hangs here, and says once a minute what it waits for.

#[path = "bridge_soak/executors.rs"]
mod executors;
#[path = "bridge_soak/process.rs"]
mod process;
#[path = "bridge_soak/round.rs"]
mod round;
#[path = "bridge_soak/users.rs"]
mod users;

use std::time::{Duration, Instant};

use mayhem_bridge::{ThreadKind, inventory};

use process::Sample;
use round::Totals;

/// How much the process may grow after it has warmed up, however long it goes on: twenty seconds
/// see some thousand rounds, and a stream, a portal and a pool take more than a KiB.
const GROWTH_KIB_MAX: f64 = 2048.0;

/// Part of the time after which the process has warmed up: every kind of executor has lived, and
/// the allocator has its arenas.
const WARM_UP: f64 = 0.25;

/// So few samples, and so many, of what the process takes.
const SAMPLES: [usize; 2] = [20, 400];

#[test]
fn hours_of_use_leave_no_thread_no_file_and_no_memory_behind() {
    let seconds = std::env::var("MAYHEM_SOAK_SECONDS");
    let seconds: f64 = seconds.map_or(20.0, |text| text.parse().expect("a number of seconds"));
    let seed = fastrand::u64(..);
    println!("seed {seed}, {seconds} s");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut totals = Totals::default();
    let before = process::sample();
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(seconds);
    let mut samples: Vec<Sample> = Vec::new();
    while Instant::now() < end || samples.len() < 2 * SAMPLES[0] {
        let ended = round::live(&mut random);
        let now = process::at_rest(before);
        let ours = inventory();
        let ours: Vec<_> = ours
            .iter()
            .filter(|thread| thread.kind != ThreadKind::Unclaimed)
            .collect();
        assert!(ours.is_empty(), "{ours:?}");
        ended.check(&mut totals);
        let at = began.elapsed().as_secs_f64();
        let pause = seconds / SAMPLES[1] as f64;
        if samples.last().is_none_or(|last| at - last.at > pause) {
            samples.push(Sample { at, ..now });
        }
    }

    let took = began.elapsed().as_secs_f64();
    let warm: Vec<_> = samples
        .into_iter()
        .filter(|sample| sample.at >= WARM_UP * took)
        .collect();
    let slope = process::slope(&warm);
    let memory = |sample: Option<&Sample>| sample.map_or(0, |sample| sample.memory_kib);
    println!("{totals:#?}");
    println!(
        "at rest: {} threads, {} files; {} KiB, then {} KiB, {:.1} KiB a minute",
        before.threads,
        before.files,
        memory(warm.first()),
        memory(warm.last()),
        slope * 60.0,
    );
    totals.check();
    let growth = slope * (1.0 - WARM_UP) * took;
    assert!(growth < GROWTH_KIB_MAX, "memory grew by {growth:.0} KiB");
}
