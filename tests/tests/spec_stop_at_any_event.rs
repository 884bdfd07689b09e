//! One run, stopped at each of its events in turn.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use mayhem_core::{Delivery, Event, MessageId, Phase, Plan, Verdict};
use mayhem_sim::{Fate, SimSettings};
use mayhem_tests::contract::Stage;

/// Stops at each event of a run in turn; whatever the moment, all is settled and handed back.
#[test]
fn a_stop_is_in_order_at_every_event() {
    let unstopped = stop_at_event(usize::MAX);
    assert!(unstopped > 60, "only {unstopped} events");
    for index in 0..unstopped {
        stop_at_event(index);
    }
}

fn stop_at_event(index: usize) -> usize {
    let stage = Stage::with(
        index as u64,
        SimSettings {
            lease: 4 * SECOND,
            receive_latency: Duration::ZERO..=SECOND,
            call_latency: Duration::ZERO..=SECOND / 10,
            ..SimSettings::default()
        },
    );
    let ids = stage.publish(12);
    stage.broker.finish();
    let control = std::sync::Arc::new(std::sync::Mutex::new(None::<mayhem_core::Control>));
    let (told, seen) = (std::sync::Arc::clone(&control), Cell::new(0));
    let started_after_stop = RefCell::new(Vec::new());
    let consumer = stage
        .consumer_told(move |_| {
            if seen.replace(seen.get() + 1) == index
                && let Some(control) = told.lock().unwrap().take()
            {
                control.stop(PLAN);
            }
        })
        .handler(async |delivery: &Delivery| {
            // What got its permit in the instant of the stop may have its first poll after it.
            let draining = |event: &Event| *event == Event::Phase(Phase::Draining);
            if stage
                .first(draining)
                .is_some_and(|stopped_at| stage.elapsed() > stopped_at)
            {
                started_after_stop.borrow_mut().push(delivery.key());
            }
            stage.clock.sleep(6 * SECOND).await;
            match delivery.attempt() {
                1 if delivery.id().as_str().len() == 3 => Verdict::Retry { after: None },
                _ => Verdict::Ack,
            }
        })
        .concurrency(4)
        .lease(4 * SECOND)
        .build();
    *control.lock().unwrap() = Some(consumer.control());

    let report = stage.run(consumer);

    let started = started_after_stop.take();
    if !started.is_empty() {
        stage.fail(&format!(
            "stopped at event {index}, and still started: {started:?}"
        ));
    }
    let lost = report.totals.expired + report.totals.abandoned;
    if report.error.is_some() || lost > 0 {
        stage.fail(&format!("stopped at event {index}: {report:?}"));
    }
    let is_held = |id: &&MessageId| matches!(stage.broker.truth(id).fate, Fate::Leased { .. });
    if let Some(id) = ids.iter().find(is_held) {
        stage.fail(&format!("stopped at event {index}, and {id} is still held"));
    }
    stage.events().len()
}

const PLAN: Plan = Plan {
    drain: Duration::from_secs(20),
    grace: Duration::from_secs(5),
    flush: Duration::from_secs(2),
};
const SECOND: Duration = Duration::from_secs(1);
