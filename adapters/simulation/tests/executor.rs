//! The executor and the clock: what users of the simulation rely on.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::join_all;
use futures::task::SpawnExt;
use mayhem_core::{Clock, Instant};
use mayhem_sim::{Hang, SimBroker, SimSettings, Simulation};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_thousand_hours_pass_at_once_and_to_the_nanosecond() {
    let sim = Simulation::new(1);
    let clock = sim.clock();
    let sleeps = (1..=1_000).map(|hour| clock.sleep(hour * 3_600 * SECOND));

    sim.run(join_all(sleeps)).expect("every sleep ends");

    assert_eq!(clock.now(), Instant::ZERO + 1_000 * 3_600 * SECOND);
}

#[test]
fn timers_fire_in_the_order_of_their_instants() {
    let sim = Simulation::new(2);
    let order = Rc::new(RefCell::new(Vec::new()));
    for delay in [3_u32, 1, 2] {
        let (clock, order) = (sim.clock(), Rc::clone(&order));
        sim.spawn(&format!("sleeper {delay}"), async move {
            clock.sleep(delay * SECOND).await;
            order.borrow_mut().push(delay);
        });
    }

    sim.run(sim.clock().sleep(4 * SECOND))
        .expect("the sleep ends");

    assert_eq!(*order.borrow(), [1, 2, 3]);
    assert_eq!(sim.task_count(), 0);
}

#[test]
fn a_dropped_sleep_is_forgotten() {
    let sim = Simulation::new(3);
    let clock = sim.clock();

    sim.run(async {
        let mut long = clock.sleep(1_000 * SECOND);
        futures::future::select(&mut long, clock.sleep(SECOND)).await;
    })
    .expect("the short sleep ends");

    // A timer that was left behind would be jumped to before the deadlock is seen.
    let hang = sim.run(std::future::pending::<()>());
    assert!(matches!(hang, Err(Hang::Deadlock { at, .. }) if at == Instant::ZERO + SECOND));
}

#[test]
fn a_deadlock_names_what_waits() {
    let sim = Simulation::new(4);
    sim.spawn("reader", std::future::pending());
    sim.spawn("short", async {});

    let hang = sim.run(std::future::pending::<()>());

    let waiting = vec!["main".to_owned(), "reader".to_owned()];
    let at = Instant::ZERO;
    assert_eq!(hang, Err(Hang::Deadlock { at, waiting }));
}

#[test]
fn a_task_that_spins_while_time_stands_still_is_found_out() {
    let sim = Simulation::new(5);

    let hang = sim.run(futures::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        std::task::Poll::<()>::Pending
    }));

    assert!(matches!(hang, Err(Hang::Livelock { running, .. }) if running == ["main"]));
}

#[test]
fn a_blocking_poll_lets_overdue_timers_fire_together_afterwards() {
    let sim = Simulation::new(6);
    let clock = sim.clock();
    let sleeps = join_all([1_u32, 2, 3].map(|delay| clock.sleep(delay * SECOND)));

    let both = async {
        futures::join!(sleeps, async { clock.block(10 * SECOND) });
    };

    sim.run(both).expect("every sleep ends");
    assert_eq!(clock.now(), Instant::ZERO + 10 * SECOND);
}

#[test]
fn a_spawned_task_runs_and_its_output_comes_back() {
    let sim = Simulation::new(7);
    let handle = sim.spawner().spawn_with_handle(async { 6 * 7 });
    let output = sim.run(handle.expect("the simulation takes tasks"));
    assert_eq!(output, Ok(42));
}

#[test]
fn tasks_are_kept_between_runs() {
    let sim = Simulation::new(8);
    let (sender, receiver) = oneshot::channel();
    let clock = sim.clock();
    sim.spawn("late", async move {
        clock.sleep(10 * SECOND).await;
        sender.send("late").expect("the receiver is there");
    });

    sim.run(sim.clock().sleep(SECOND)).expect("the sleep ends");
    assert_eq!(sim.task_count(), 1);

    assert_eq!(sim.run(receiver), Ok(Ok("late")));
}

#[test]
fn the_waker_of_an_earlier_poll_wakes_nobody() {
    let sim = Simulation::new(9);
    let mut first = None;
    let mut wake_again = false;
    // Keeps the first waker only, against the contract of `Future`: each poll but the first two
    // needs its own.
    let hang = sim.run(futures::future::poll_fn(move |cx| {
        if !wake_again {
            wake_again = true;
            first = Some(cx.waker().clone());
            cx.waker().wake_by_ref();
        } else if let Some(stale) = &first {
            stale.wake_by_ref();
        }
        std::task::Poll::<()>::Pending
    }));
    assert!(matches!(hang, Err(Hang::Deadlock { .. })));
}

#[test]
fn one_seed_makes_one_trace_and_another_seed_another() {
    let fingerprint = |seed| {
        let sim = Simulation::new(seed);
        for number in 0..20 {
            let (clock, dice) = (sim.clock(), sim.dice());
            sim.spawn(&format!("walker {number}"), async move {
                for _ in 0..10 {
                    clock
                        .sleep(Duration::from_millis(dice.choose("pace", 5)))
                        .await;
                }
            });
        }
        sim.run(sim.clock().sleep(SECOND)).expect("the sleep ends");
        sim.fingerprint()
    };
    assert_eq!(fingerprint(1), fingerprint(1));
    assert_ne!(fingerprint(1), fingerprint(2));
}

#[test]
fn another_thread_has_its_answer_when_the_run_is_over() {
    let sim = Simulation::new(9);
    let broker = SimBroker::new(&sim, SimSettings::default());
    broker.publish("hello");
    let (asked, clock) = (broker.clone(), sim.clock());

    let asks = async move { std::thread::spawn(move || (asked.ids(), clock.monotonic())) };
    let thread = sim.run(asks).expect("it waits for nothing");

    let (ids, elapsed) = thread.join().expect("it has its answer");
    assert_eq!((ids, elapsed), (broker.ids(), Duration::ZERO));
}
