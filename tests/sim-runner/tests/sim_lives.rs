//! The lives of the runner, in small: the runner itself lives many more.

use std::collections::BTreeSet;
use std::process::Command;

use mayhem_sim::{Simulation, attempt};
use mayhem_sim_runner::{Failed, Life, Search, live, run_seed, shrink_seed};

#[test]
fn no_seed_breaks_a_promise() {
    let mut met = BTreeSet::new();
    for seed in 0..150 {
        match run_seed(seed, Life::default()) {
            Ok(tally) => met.extend(tally.hits.into_keys().chain(tally.told.into_keys())),
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    let missed: Vec<_> = FAULTS
        .iter()
        .chain(TOLD)
        .filter(|fault| !met.contains(*fault))
        .collect();
    assert!(missed.is_empty(), "never met: {missed:?}");
}

#[test]
fn a_stop_is_in_order_at_every_event_of_a_small_life() {
    for seed in 0..12 {
        for event in 0..40 {
            let life = Life {
                messages: Some(3),
                stop_at_event: Some(event),
                ..Life::default()
            };
            if let Err(violation) = run_seed(seed, life) {
                panic!("seed {seed}, stopped at event {event}: {violation}");
            }
        }
    }
}

#[test]
fn a_crash_loses_nothing_at_any_poll_of_a_small_life() {
    for seed in 0..12 {
        for poll in 1..60 {
            let life = Life {
                messages: Some(3),
                crash_at_poll: Some(poll),
                ..Life::default()
            };
            if let Err(violation) = run_seed(seed, life) {
                panic!("seed {seed}, crashed before poll {poll}: {violation}");
            }
        }
    }
}

#[test]
fn a_tape_is_the_run_again() {
    for seed in 0..30 {
        let sim = Simulation::new(seed);
        live(&sim, Life::default()).unwrap_or_else(|hang| panic!("seed {seed}: {hang}"));
        let again = Simulation::replay(&sim.tape());
        live(&again, Life::default()).unwrap_or_else(|hang| panic!("seed {seed}: {hang}"));
        assert_eq!(again.fingerprint(), sim.fingerprint(), "seed {seed}");
    }
}

#[test]
fn another_process_has_the_same_hash_of_everything() {
    let search = Search {
        seeds: 0..20,
        until: None,
        threads: 1,
        is_told: false,
        life: Life::default(),
    };
    let (totals, failed) = search.run();
    assert!(failed.is_none(), "{failed:?}");
    let output = Command::new(env!("CARGO_BIN_EXE_mayhem-sim-runner"))
        .args(["--seeds", "0..20", "--json"])
        .output()
        .expect("the runner runs");
    let text = String::from_utf8(output.stdout).expect("the runner prints text");
    let hash = format!("\"hash\":\"{:016x}\"", totals.sum.fingerprint);
    assert!(text.contains(&hash), "{hash} is not in {text}");
}

#[test]
fn the_canary_is_caught_and_shrinks_to_a_few_choices() {
    let life = Life {
        has_canary: true,
        ..Life::default()
    };
    let failed = (0..400).find_map(|seed| {
        let violation = run_seed(seed, life).err()?;
        Some(Failed { seed, violation })
    });
    let failed = failed.expect("the canary is caught");
    assert_eq!(failed.violation.invariant, "safe before ack");

    let found = shrink_seed(&failed, life, 3_000);
    assert!(found.tape.fault_count() <= 20, "{found}");
    let again = attempt(&Simulation::replay(&found.tape), |sim| live(sim, life));
    assert_eq!(again.map(drop), Err(found.violation));
}

/// What only some lives come to, by the names under which it is counted.
const TOLD: &[&str] = &[
    "abandoned",
    "concurrency set",
    "dead-lettered",
    "handler overdue",
    "handler timed out",
    "hook done",
    "hook failed",
    "hook panicked",
    "hook timed out",
    "key stalled",
    "observer panicked",
    "paused",
    "poisoned",
    "postponed",
    "rate set",
    "shed",
    "slow poll",
    "tail released",
];

/// What goes wrong, by the names under which it is counted.
const FAULTS: &[&str] = &[
    "ack forgotten",
    "bad key",
    "call refused",
    "commit failed",
    "commit reply lost",
    "duplicate delivery",
    "early expiry",
    "extension after nack",
    "item refused",
    "lease forgotten",
    "overshoot",
    "priority change",
    "process pause",
    "reply delayed",
    "reply lost",
    "request delayed",
    "request duplicated",
    "request lost",
    "spurious poll",
    "store locked",
    "stream reset",
    "timer late",
];
