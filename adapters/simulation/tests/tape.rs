//! Choices, tapes and what is made of them.

use std::time::Duration;

use mayhem_core::Clock;
use mayhem_sim::{Hang, Hazards, Schedule, SimStore, Simulation, StoreSettings, Tape, explore};

#[test]
fn a_tape_survives_its_text() {
    for values in [vec![], vec![7], vec![0, 0, 3], vec![1, 1, 1, 0, 0, 9]] {
        let tape = Tape::from(values);
        assert_eq!(tape.to_string().parse(), Ok(tape));
    }
    assert!("3.x".parse::<Tape>().is_err());
    assert!("1x99999999999".parse::<Tape>().is_err());
}

#[test]
fn beyond_the_end_of_a_tape_every_choice_is_harmless() {
    let dice = Simulation::replay(&Tape::from(vec![4])).dice();
    assert_eq!(dice.choose("first", 10), 4);
    assert_eq!(dice.choose("second", 10), 0);
    assert!(!dice.chance("fault", 1.0));
    assert_eq!(
        dice.duration("pause", Duration::from_secs(9)),
        Duration::ZERO
    );
    assert_eq!(dice.pick("size", &[1, 2, 3]), 1);
}

#[test]
fn what_cannot_happen_is_not_on_the_tape() {
    let sim = Simulation::new(1);
    let dice = sim.dice();
    assert!(!dice.chance("never", 0.0));
    assert_eq!(dice.choose("only", 1), 0);
    assert!(dice.choices().is_empty());
    assert!(dice.chance("always", 1.0));
    assert_eq!(dice.hits()["always"], 1);
}

/// Fails when, among many other choices, two certain ones are large.
fn fragile(sim: &Simulation) -> Result<(), Hang> {
    let dice = sim.dice();
    let values: Vec<u64> = (0..100).map(|_| dice.choose("value", 1_000)).collect();
    if values[10] >= 500 && values.iter().sum::<u64>() >= 2_000 {
        sim.violate("small", "too much");
    }
    sim.run(std::future::ready(()))
}

#[test]
fn a_failure_shrinks_to_what_it_needs() {
    let found = explore(0..100, fragile).expect_err("half of the seeds fail");
    assert_eq!(found.violation.invariant, "small");
    assert!(found.tape.fault_count() <= 4, "{found}");
}

#[test]
fn each_schedule_runs_every_task() {
    for schedule in [
        Schedule::Fifo,
        Schedule::Lifo,
        Schedule::Random,
        Schedule::Priorities,
    ] {
        let sim = Simulation::new(5);
        sim.set_hazards(Hazards {
            schedule,
            ..Hazards::default()
        });
        for number in 0..10 {
            let clock = sim.clock();
            sim.spawn(&format!("walker {number}"), async move {
                for _ in 0..10 {
                    clock.sleep(Duration::from_millis(1)).await;
                }
            });
        }
        let longer = sim.clock().sleep(Duration::from_secs(1));
        sim.run(longer).expect("the sleep ends");
        assert_eq!(sim.task_count(), 0, "{schedule:?}");
    }
}

#[test]
fn pauses_and_late_timers_are_counted_as_stolen() {
    let sim = Simulation::new(2);
    sim.set_hazards(Hazards {
        pause: 0.5,
        pause_max: Duration::from_secs(3),
        timer_late: 0.5,
        timer_late_max: Duration::from_secs(1),
        ..Hazards::default()
    });
    let clock = sim.clock();
    let walk = async {
        for _ in 0..50 {
            clock.sleep(Duration::from_secs(1)).await;
        }
    };
    sim.run(walk).expect("the sleeps end");
    let elapsed = clock.now() - mayhem_core::Instant::ZERO;
    assert!(clock.stolen() > Duration::ZERO);
    assert!(elapsed <= Duration::from_secs(50) + clock.stolen());
}

#[test]
fn a_suspend_is_not_in_the_monotonic_clock_and_the_time_of_day_jumps() {
    let sim = Simulation::new(2);
    let clock = sim.clock();
    clock.block(Duration::from_secs(2));
    clock.suspend(Duration::from_secs(3));
    assert_eq!(
        clock.now() - mayhem_core::Instant::ZERO,
        Duration::from_secs(5)
    );
    assert_eq!(clock.monotonic(), Duration::from_secs(2));
    let before = clock.wall();
    clock.set_wall(before - 1_000);
    assert_eq!(clock.wall(), before - 1_000);
}

#[test]
fn a_crash_drops_every_task() {
    let sim = Simulation::new(3);
    for number in 0..5 {
        sim.spawn(&format!("stuck {number}"), std::future::pending());
    }
    let soon = sim.clock().sleep(Duration::from_secs(1));
    sim.run(soon).expect("the sleep ends");
    assert_eq!(sim.task_count(), 5);
    sim.crash();
    assert_eq!(sim.task_count(), 0);
}

#[test]
fn a_store_keeps_what_is_durable_and_nothing_else_over_a_crash() {
    let sim = Simulation::new(3);
    let settings = StoreSettings {
        latency: Duration::from_secs(1)..=Duration::from_secs(1),
        ..StoreSettings::default()
    };
    let store = SimStore::new(&sim, settings);
    sim.run(store.commit("first")).unwrap().unwrap();
    let clock = sim.clock();
    let both = futures::future::select(
        Box::pin(store.commit("second")),
        Box::pin(clock.sleep(Duration::from_millis(500))),
    );
    drop(sim.run(both));
    store.crash();
    clock.block(Duration::from_secs(10));
    assert!(store.is_durable("first"));
    assert!(!store.is_durable("second"));
}

#[test]
fn a_store_that_latches_takes_nothing_until_it_is_opened_again() {
    let sim = Simulation::new(3);
    let settings = StoreSettings {
        reply_lost: 1.0,
        is_latching: true,
        ..StoreSettings::default()
    };
    let store = SimStore::new(&sim, settings);
    sim.run(store.commit("first")).unwrap().unwrap_err();
    sim.run(store.commit("second")).unwrap().unwrap_err();
    assert!(store.is_durable("first"));
    assert!(!store.is_durable("second"));
    store.reopen();
    sim.run(store.commit("second")).unwrap().unwrap_err();
    assert!(store.is_durable("second"));
}
