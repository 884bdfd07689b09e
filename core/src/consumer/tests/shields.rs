use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::executor::LocalPool;
use futures::future::pending;

use super::testing::{LocalSpawn, Rig, Touchy, millis, seconds};
use crate::{Clock, Delivery, Event, Plan, ShieldError, Verdict};

#[test]
fn shielded_work_survives_the_cancel_and_the_delivery_waits_for_it() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let done = Arc::new(AtomicUsize::new(0));
    let (clock, counter) = (rig.clock.clone(), Arc::clone(&done));
    let handler = async move |delivery: &Delivery| {
        let (clock, counter) = (clock.clone(), Arc::clone(&counter));
        let view = delivery.clone();
        let shielded = delivery.shield(async move {
            clock.sleep(seconds(22)).await;
            assert!(view.is_cancelled());
            counter.fetch_add(1, Ordering::Relaxed);
        });
        shielded.await.expect("it is not abandoned");
        Verdict::Ack
    };
    let consumer = rig.builder().handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan::default());
    let report = rig.finish();

    assert_eq!(done.load(Ordering::Relaxed), 1);
    assert_eq!((report.totals.nacked, report.totals.abandoned), (1, 0));
    assert_eq!(rig.clock.now().as_nanos(), 22_000_000_000);
}

#[test]
fn shielded_work_that_outlasts_the_grace_is_dropped_and_its_delivery_abandoned() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.close_hangs = true);
    let held = Arc::new(());
    let kept = Arc::clone(&held);
    let handler = async move |delivery: &Delivery| {
        let kept = Arc::clone(&kept);
        let work = async move {
            let _kept = kept;
            pending::<()>().await;
        };
        delivery.shield(work).await.expect("it is never seen");
        Verdict::Ack
    };
    let consumer = rig.builder().handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());

    control.stop(Plan::default());
    assert!(rig.advance(millis(22_999)).is_none());
    assert_eq!(Arc::strong_count(&held), 3, "the work holds one");
    assert!(rig.advance(millis(1)).is_none());
    assert_eq!(
        Arc::strong_count(&held),
        2,
        "the work is gone, the flush goes on"
    );
    let report = rig.finish();

    assert_eq!((report.totals.abandoned, report.totals.nacked), (1, 0));
}

#[test]
fn an_ack_whose_shielded_work_panics_is_a_retry() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let handler = async |delivery: &Delivery| {
        if delivery.attempt() == 1 {
            drop(delivery.shield(async { panic!("a planned panic") }));
        }
        Verdict::Ack
    };

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!((report.totals.nacked, report.totals.acked), (1, 1));
    assert_eq!(
        rig.count(|event| matches!(event, Event::ShieldPanicked { .. })),
        1
    );
}

#[test]
fn the_delivery_is_settled_after_its_shielded_work() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        let clock = clock.clone();
        drop(delivery.shield(async move { clock.sleep(seconds(25)).await }));
        Verdict::Ack
    };

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!(rig.clock.now().as_nanos(), 25_000_000_000);
    assert_eq!((report.totals.acked, report.totals.received), (1, 1));
}

#[test]
fn a_shield_from_a_view_kept_after_the_end_is_abandoned() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let kept = Arc::new(std::sync::Mutex::new(None));
    let slot = Arc::clone(&kept);
    let handler = async move |delivery: &Delivery| {
        *crate::control::lock(&slot) = Some(delivery.clone());
        Verdict::Ack
    };
    let _ = rig.run(rig.builder().handler(handler).build().run());

    let view = crate::control::lock(&kept).take().expect("a view");
    let result = futures::executor::block_on(view.shield(async { 1 }));

    assert_eq!(result, Err(ShieldError::Abandoned));
}

#[test]
fn the_shielded_work_of_a_task_is_started_while_the_task_waits_for_it() {
    let mut pool = LocalPool::new();
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let spawn = LocalSpawn(pool.spawner());
    let handler = rig.builder().spawned_handler(spawn, |delivery: &Delivery| {
        async move {
            assert_eq!(delivery.shield(async { 7 }).await, Ok(7));
            Verdict::Ack
        }
        .boxed()
    });
    rig.start(handler.build().run());

    let report = std::iter::repeat_with(|| {
        pool.run_until_stalled();
        rig.settle()
    });

    let report = report.take(10).flatten().next().expect("an end");
    assert_eq!(report.totals.acked, 1);
}

#[test]
fn a_panic_of_shielded_work_that_is_dropped_with_the_run_stays_inside() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    let handler = async |delivery: &Delivery| {
        let touchy = Touchy;
        let work = async move {
            let _touchy = touchy;
            pending::<()>().await;
        };
        drop(delivery.shield(work));
        pending::<Verdict>().await
    };
    let consumer = rig.builder().handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(1)).is_none());

    rig.abort();

    assert_eq!(control.stats().running, 2);
}
