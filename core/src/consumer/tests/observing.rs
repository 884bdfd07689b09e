use futures::FutureExt;
use futures::executor::LocalPool;

use super::testing::{Fault, LocalSpawn, Rig, ack, endless, millis, seconds, sleeper};
use crate::{Clock, Delivery, Health, Instant, Plan, Verdict};

const HEALTHY: Health = Health {
    stream_up: true,
    slack_positive: true,
    progress: true,
};

#[test]
fn waiting_and_handling_are_measured_apart() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b", "c"]);
    let handler = sleeper(&rig.clock, seconds(2));
    let consumer = rig.builder().concurrency(1).handler(handler).build();
    let control = consumer.control();

    let _ = rig.run(consumer.run());

    let metrics = control.metrics();
    assert_eq!((metrics.handle.count(), metrics.queue_wait.count()), (3, 3));
    assert_eq!(metrics.handle.sum(), seconds(6));
    // 0, 2 and 4 s.
    assert_eq!(metrics.queue_wait.sum(), seconds(6));
    assert_eq!(metrics.queue_wait.max(), seconds(4));
    assert_eq!(metrics.stats.totals.acked, 3);
}

#[test]
fn every_way_out_of_a_handler_is_measured() {
    let mut rig = Rig::new();
    rig.broker
        .publish(["ack", "panic", "dead", "postpone", "lost", "cancelled"]);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        clock.sleep(seconds(1)).await;
        match delivery.id().as_str() {
            "panic" => panic!("planned"),
            "dead" => Verdict::Dead("planned".to_owned()),
            "postpone" => Verdict::Postpone {
                after: seconds(3600),
            },
            "lost" => {
                clock.block(seconds(11));
                Verdict::Ack
            }
            "cancelled" => std::future::pending().await,
            _ => Verdict::Ack,
        }
    };
    let consumer = rig.builder().max_deliveries(1).handler(handler).build();
    let control = rig.begin(consumer);
    assert!(rig.advance(seconds(5)).is_none());
    let ended = control.metrics();
    control.stop(Plan {
        drain: seconds(0),
        ..Plan::default()
    });

    let report = rig.finish();

    let metrics = control.metrics();
    let starts = metrics.queue_wait.count();
    assert!(ended.handle.count() < starts);
    assert_eq!(metrics.handle.count(), starts);
    assert!(report.totals.expired > 0 && metrics.handle.max() >= seconds(12));
}

#[test]
fn a_call_of_extend_is_measured_and_what_it_left_of_the_leases() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    rig.broker.with(|state| state.extend_latency = seconds(2));
    let handler = sleeper(&rig.clock, seconds(9));
    let consumer = rig.builder().handler(handler).build();
    let control = consumer.control();

    let _ = rig.run(consumer.run());

    let metrics = control.metrics();
    assert_eq!(metrics.extend_round_trip.count(), 1, "a call, not a lease");
    assert_eq!(metrics.extend_round_trip.max(), seconds(2));
    // Sent when half of 10 s was left, or a little earlier, and answered 2 s later.
    let slack = metrics.extend_slack.max();
    assert!((seconds(3)..seconds(3) + millis(50)).contains(&slack));
}

#[test]
fn the_oldest_lease_and_the_first_to_end_are_shown_as_of_now() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let consumer = rig.builder().lease_max(seconds(128)).handler(endless);
    let consumer = consumer.build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());
    assert_eq!(control.metrics().slack_min, Some(seconds(10)));

    assert!(rig.advance(seconds(60)).is_none());
    let kept = control.metrics();
    // Nobody polls it any more.
    rig.clock.block(seconds(100));
    let stalled = control.metrics();

    let age = kept.lease_age_max;
    assert!((seconds(60)..=seconds(61)).contains(&age), "{age:?}");
    assert!(kept.slack_min.is_some_and(|slack| slack >= seconds(4)));
    assert_eq!(stalled.slack_min, Some(seconds(0)));
    assert!(stalled.lease_age_max >= seconds(160));
}

#[test]
fn after_its_end_a_consumer_shows_nothing_in_hand() {
    let mut rig = Rig::new();
    rig.broker.publish(["a", "b"]);
    let consumer = rig.builder().handler(ack);
    let consumer = consumer.build();
    let control = consumer.control();

    let _ = rig.run(consumer.run());
    rig.clock.block(seconds(1000));

    let metrics = control.metrics();
    assert_eq!(
        (metrics.lease_age_max, metrics.slack_min),
        (seconds(0), None)
    );
    let expected = Health {
        stream_up: false,
        ..HEALTHY
    };
    assert_eq!(control.health(), expected);
}

#[test]
fn a_late_timer_is_measured() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let consumer = rig.builder().handler(endless).build();
    let control = rig.begin(consumer);
    assert!(rig.settle().is_none());
    let wanted = rig.clock.next_timer().expect("leases are to be extended");

    rig.clock.set(wanted + millis(700));
    assert!(rig.settle().is_none());

    let lag = control.metrics().timer_lag;
    assert_eq!((lag.count(), lag.max()), (1, millis(700)));
}

#[test]
fn the_slowest_poll_is_measured_inline_and_spawned() {
    for is_spawned in [false, true] {
        let mut rig = Rig::new();
        rig.broker.publish(["fast", "slow"]);
        let clock = rig.clock.clone();
        let work = move |delivery: &Delivery| {
            let is_slow = delivery.id().as_str() == "slow";
            clock.block(millis(if is_slow { 300 } else { 20 }));
            Verdict::Ack
        };
        let control = if is_spawned {
            let mut pool = LocalPool::new();
            let spawn = LocalSpawn(pool.spawner());
            let builder = rig.builder().spawned_handler(spawn, move |delivery| {
                let work = work.clone();
                async move { work(delivery) }.boxed()
            });
            let consumer = builder.build();
            let control = rig.begin(consumer);
            assert!(rig.settle().is_none());
            pool.run_until_stalled();
            let _ = rig.finish();
            control
        } else {
            let handler = async move |delivery: &Delivery| work(delivery);
            let consumer = rig.builder().handler(handler).build();
            let control = consumer.control();
            let _ = rig.run(consumer.run());
            control
        };

        let slowest = control.metrics().slowest_poll;
        assert_eq!((slowest.count(), slowest.max()), (1, millis(300)));
    }
}

#[test]
fn a_consumer_that_waits_for_messages_is_healthy() {
    let mut rig = Rig::new();
    rig.broker.with(|state| state.ends = false);
    let consumer = rig.builder().handler(ack);
    let consumer = consumer.build();
    let control = consumer.control();
    assert!(!control.health().is_healthy(), "it has not begun");
    rig.start(consumer.run());

    assert!(rig.advance(seconds(7200)).is_none());

    assert_eq!(control.health(), HEALTHY);
}

#[test]
fn the_stream_is_down_while_receive_fails_and_after_a_stop() {
    let mut rig = Rig::new();
    rig.broker.with(|state| {
        state.ends = false;
        state.receive_faults.extend([Fault::Retryable]);
    });
    let consumer = rig.builder().handler(endless).build();
    let control = rig.begin(consumer);

    assert!(rig.settle().is_none());
    let failing = control.health();
    rig.broker.publish(["a"]);
    assert!(rig.advance(seconds(1)).is_none());
    let again = control.health();
    control.stop(Plan::default());
    assert!(rig.settle().is_none());
    let draining = control.health();

    let down = Health {
        stream_up: false,
        ..HEALTHY
    };
    assert_eq!([failing, again, draining], [down, HEALTHY, down]);
}

#[test]
fn there_is_no_slack_while_a_handler_works_under_a_lost_lease() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    rig.broker.with(|state| state.caps.extend_count_max = 0);
    let clock = rig.clock.clone();
    let handler = async move |delivery: &Delivery| {
        if delivery.attempt() == 1 {
            clock.sleep(seconds(15)).await;
        }
        clock.sleep(seconds(1)).await;
        Verdict::Ack
    };
    let consumer = rig.builder().prefetch(1).handler(handler).build();
    let control = rig.begin(consumer);

    assert!(rig.advance(seconds(12)).is_none());
    let lost = control.health();
    assert!(rig.advance(seconds(4) + millis(500)).is_none());
    let ended = control.health();

    let expected = Health {
        slack_positive: false,
        ..HEALTHY
    };
    assert_eq!([lost, ended], [expected, HEALTHY]);
}

#[test]
fn a_handler_that_blocks_its_thread_is_no_progress() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let seen = std::rc::Rc::new(std::cell::OnceCell::new());
    let (shown, clock) = (std::rc::Rc::clone(&seen), rig.clock.clone());
    let handle = std::rc::Rc::new(std::cell::OnceCell::<crate::Control>::new());
    let control = std::rc::Rc::clone(&handle);
    let handler = async move |_: &Delivery| {
        // A first poll of the engine has set its timer.
        clock.sleep(seconds(1)).await;
        clock.block(seconds(30));
        let health = control.get().expect("set below").health();
        shown.set(health).expect("one delivery");
        std::future::pending().await
    };
    let consumer = rig.builder().handler(handler).build();
    handle.set(consumer.control()).expect("set once");
    rig.start(consumer.run());

    assert!(rig.advance(seconds(2)).is_none());

    let health = *seen.get().expect("the handler ran");
    assert!(!health.progress && !health.slack_positive && health.stream_up);
}

#[test]
fn deliveries_of_which_none_is_settled_within_the_longest_lease_are_no_progress() {
    let mut rig = Rig::new();
    rig.broker.publish(["a"]);
    let consumer = rig.builder().lease_max(seconds(60)).handler(endless);
    let consumer = consumer.build();
    let control = rig.begin(consumer);

    assert!(rig.advance(seconds(59)).is_none());
    let before = control.health();
    assert!(rig.advance(seconds(2)).is_none());
    let after = control.health();

    assert_eq!(before, HEALTHY);
    assert!(!after.progress);
    assert!(rig.clock.now() > Instant::ZERO + seconds(60));
}

#[test]
fn what_is_parked_and_what_waits_for_the_end_of_a_pause_need_make_no_progress() {
    for is_paused in [false, true] {
        let mut rig = Rig::new();
        rig.broker.publish(["a"]);
        rig.broker.with(|state| {
            // Leases that need no extension may be longer than the longest that we would ask for.
            state.lease = seconds(1000);
            state.caps.extend_count_max = 0;
            state.caps.nack_delay = false;
        });
        let handler = async |_: &Delivery| Verdict::Postpone {
            after: seconds(900),
        };
        let consumer = rig.builder().lease_max(seconds(60)).handler(handler);
        let consumer = consumer.build();
        let control = rig.begin(consumer);
        assert!(rig.settle().is_none());
        if is_paused {
            let waiting = vec![("b".to_owned(), 1)];
            rig.broker.with(|state| state.at_hold = waiting);
            control.pause();
        }

        assert!(rig.advance(seconds(61)).is_none());
        let resting = control.health();
        rig.broker.with(|state| state.settle_latency = seconds(59));
        assert!(rig.advance(seconds(840)).is_none());
        let stats = control.stats();
        let settling = control.health();
        assert!(rig.advance(seconds(58)).is_none());
        let late = control.health();

        let buffered = usize::from(is_paused);
        assert_eq!((stats.settling, stats.buffered), (1, buffered));
        assert_eq!(stats.is_paused, is_paused);
        assert_eq!([resting, settling, late], [HEALTHY; 3], "{is_paused}");
    }
}
