use std::future::Future;
use std::sync::{Arc, Mutex};

use futures::future::pending;

use super::testing::{Fault, ManualClock, Rig, Touchy, ack, endless, seconds};
use crate::control::lock;
use crate::{Clock, Control, Delivery, HookEnd, HookOutcome, Phase, Plan, Report, Verdict};

/// What hooks did, and when, in seconds.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(u64, &'static str)>>>);

impl Log {
    fn entries(&self) -> Vec<(u64, &'static str)> {
        lock(&self.0).clone()
    }

    /// Takes a second.
    fn hook(
        &self,
        clock: &ManualClock,
        name: &'static str,
    ) -> impl Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + use<> {
        let (log, clock) = (self.clone(), clock.clone());
        async move {
            clock.sleep(seconds(1)).await;
            lock(&log.0).push((clock.now().as_nanos() / 1_000_000_000, name));
            Ok(())
        }
    }
}

fn outcomes(report: &Report) -> Vec<(&'static str, HookOutcome)> {
    let hooks = report.hooks.iter().cloned();
    hooks
        .map(|HookEnd { name, outcome }| (name, outcome))
        .collect()
}

#[test]
fn hooks_run_in_their_order_when_all_is_settled_and_nothing_of_a_handler_is_left() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    let log = Log::default();
    let kept = Arc::new(());
    let (held, weak) = (Arc::clone(&kept), Arc::downgrade(&kept));
    drop(kept);
    let control: Arc<Mutex<Option<Control>>> = Arc::default();
    let seen = Arc::clone(&control);
    let handler = async move |delivery: &Delivery| {
        let _kept = (Arc::clone(&held), delivery.clone());
        Verdict::Ack
    };
    let look = async move {
        let stats = lock(&seen).take().expect("a control").stats();
        assert_eq!((stats.phase, stats.totals.acked), (Phase::Closed, 2));
        assert_eq!(weak.strong_count(), 0);
        Ok(())
    };

    let builder = rig.builder().handler(handler);
    let consumer = builder
        .after_stop("flush", seconds(5), log.hook(&rig.clock, "flush"))
        .after_stop("look", seconds(5), look)
        .after_stop("close", seconds(5), log.hook(&rig.clock, "close"))
        .build();
    *lock(&control) = Some(consumer.control());
    let report = rig.run(consumer.run());

    assert_eq!(log.entries(), [(1, "flush"), (2, "close")]);
    let done = HookOutcome::Done;
    assert_eq!(
        outcomes(&report),
        [
            ("flush", done.clone()),
            ("look", done.clone()),
            ("close", done)
        ]
    );
}

#[test]
fn a_hook_that_hangs_fails_or_panics_keeps_none_of_the_others_from_running() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let log = Log::default();
    let bomb = async {
        let _touchy = Touchy;
        pending().await
    };

    let builder = rig.builder().handler(ack);
    let consumer = builder
        .after_stop("hangs", seconds(3), pending())
        .after_stop("fails", seconds(3), async {
            Err("the disk is full".into())
        })
        .after_stop("panics", seconds(3), async { panic!("a planned panic") })
        .after_stop("bursts", seconds(3), bomb)
        .after_stop("last", seconds(3), log.hook(&rig.clock, "last"))
        .build();
    let report = rig.run(consumer.run());

    assert_eq!(log.entries(), [(7, "last")]);
    let panicked = |text: &str| HookOutcome::Panicked(text.to_owned());
    assert_eq!(
        outcomes(&report),
        [
            ("hangs", HookOutcome::TimedOut),
            ("fails", HookOutcome::Failed("the disk is full".to_owned())),
            ("panics", panicked("a planned panic")),
            ("bursts", panicked("a planned panic in a destructor")),
            ("last", HookOutcome::Done),
        ]
    );
    assert_eq!(report.hooks[1].to_string(), "fails: the disk is full");
}

#[test]
fn hooks_run_after_a_failure_as_well() {
    let mut rig = Rig::new();
    rig.broker
        .with(|state| state.receive_faults.push_back(Fault::Permanent));
    let log = Log::default();

    let builder = rig.builder().handler(ack);
    let consumer = builder
        .after_stop("close", seconds(5), log.hook(&rig.clock, "close"))
        .build();
    let report = rig.run(consumer.run());

    assert!(report.error.is_some());
    assert_eq!(log.entries(), [(1, "close")]);
}

#[test]
fn a_third_stop_skips_the_hooks() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let log = Log::default();
    let builder = rig.builder().handler(endless);
    let consumer = builder
        .after_stop("flush", seconds(5), log.hook(&rig.clock, "flush"))
        .after_stop("close", seconds(5), log.hook(&rig.clock, "close"))
        .build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    for _ in 0..3 {
        control.stop(Plan::default());
    }
    let report = rig.settle().expect("an end without any waiting");

    assert_eq!(log.entries(), []);
    let skipped = HookOutcome::Skipped;
    assert_eq!(
        outcomes(&report),
        [("flush", skipped.clone()), ("close", skipped)]
    );
}

#[test]
fn a_third_stop_while_the_hooks_run_drops_the_running_one_and_skips_the_rest() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    let log = Log::default();
    let builder = rig.builder().handler(ack);
    let consumer = builder
        .after_stop("first", seconds(5), log.hook(&rig.clock, "first"))
        .after_stop("hangs", seconds(5), pending())
        .after_stop("last", seconds(5), log.hook(&rig.clock, "last"))
        .build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan::default());
    assert!(rig.advance(seconds(2)).is_none());
    control.stop(Plan::default());
    assert!(rig.settle().is_none(), "a second one changes nothing");
    control.stop(Plan::default());
    let report = rig.settle().expect("an end without any waiting");

    assert_eq!(log.entries(), [(1, "first")]);
    assert_eq!(
        outcomes(&report),
        [
            ("first", HookOutcome::Done),
            ("hangs", HookOutcome::Abandoned),
            ("last", HookOutcome::Skipped),
        ]
    );
}

#[test]
fn the_hooks_of_a_run_that_is_dropped_are_dropped_unrun() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    let log = Log::default();
    let held = Arc::new(());
    let kept = Arc::clone(&held);
    let hook = log.hook(&rig.clock, "never");
    let builder = rig.builder().handler(ack);
    let consumer = builder.after_stop("never", seconds(5), async move {
        let _kept = kept;
        hook.await
    });
    rig.start(consumer.build().run());
    assert!(rig.settle().is_none());

    rig.abort();

    assert_eq!((Arc::strong_count(&held), log.entries()), (1, vec![]));
}
