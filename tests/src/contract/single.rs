//! One message and one run of its handler.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use mayhem_core::{BranchError, Delivery, Event, Handler, MessageId, Plan, Report, Verdict};
use mayhem_sim::Fate;

use super::Stage;

/// A stage with one message.
pub fn one_message() -> (Stage, MessageId) {
    let stage = Stage::new();
    let id = stage.broker.publish("one");
    (stage, id)
}

/// What becomes of a message with this payload under a handler.
pub fn fate(payload: &str, handler: impl Handler) -> Fate {
    let stage = Stage::new();
    let id = stage.broker.publish(payload);
    stage.broker.finish();
    let report = stage.run(stage.consumer().handler(handler).build());
    assert_eq!(report.totals.panicked, 0);
    stage.broker.truth(&id).fate
}

/// Runs a consumer until its one handler has ended, without a panic, and a moment longer.
pub fn once(stage: &Stage, handler: impl AsyncFn(&Delivery) -> Verdict) -> Report {
    let ended = Cell::new(false);
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            assert!(!ended.get(), "one attempt is all that is looked at");
            let verdict = handler(delivery).await;
            ended.set(true);
            verdict
        })
        .build();
    let control = consumer.control();
    let script = async {
        while !ended.get() {
            stage.clock.sleep(Duration::from_millis(100)).await;
        }
        control.stop(NOW);
    };
    let report = stage.run_with(consumer, script);
    assert_eq!(report.totals.panicked, 0);
    report
}

/// A branch that takes so long and succeeds.
pub async fn sleep(stage: &Stage, duration: Duration) -> Result<(), BranchError> {
    stage.clock.sleep(duration).await;
    Ok(())
}

/// A branch that shows whether it still exists.
pub async fn holding(
    held: &Rc<()>,
    branch: impl Future<Output = Result<(), BranchError>>,
) -> Result<(), BranchError> {
    let held = Rc::clone(held);
    let result = branch.await;
    drop(held);
    result
}

/// Cancels a handler that runs two [`holding`] branches, which are dropped and are no failure.
pub fn cancel_two_branches(held: &Rc<()>, handler: impl Handler) {
    let (stage, _) = one_message();
    let consumer = stage.consumer().handler(handler).build();
    let control = consumer.control();
    let script = async {
        stage.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(Rc::strong_count(held), 3);
        control.stop(NOW);
        stage.clock.sleep(Duration::from_nanos(1)).await;
        assert_eq!(Rc::strong_count(held), 1);
    };

    let _ = stage.run_with(consumer, script);

    assert!(branch_failures(&stage).is_empty(), "a cancel is no failure");
}

/// The branches that failed and why, in the order in which they were reported.
pub fn branch_failures(stage: &Stage) -> Vec<(&'static str, String)> {
    let failure = |(_, event)| match event {
        Event::BranchFailed { branch, error, .. } => Some((branch, error)),
        _ => None,
    };
    stage.events().into_iter().filter_map(failure).collect()
}

/// Cancels at once and lets nobody wait.
pub const NOW: Plan = Plan {
    drain: Duration::ZERO,
    grace: Duration::ZERO,
    flush: Duration::from_secs(1),
};
