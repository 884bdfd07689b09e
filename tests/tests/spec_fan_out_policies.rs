//! One message, several branches, not all of which are needed: who is dropped, who is heard of.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use mayhem_core::{BranchError, Delivery, Event, FanOut, Raced, Verdict};
use mayhem_sim::{Fate, SettleKind};
use mayhem_tests::contract::single::{
    branch_failures, cancel_two_branches, holding, once, one_message, sleep,
};

#[test]
fn any_ends_with_its_first_success_and_drops_and_names_the_losers() {
    let (stage, id) = one_message();
    let (names, held) = (RefCell::new(Vec::new()), Rc::new(()));
    let _ = once(&stage, async |delivery| {
        let raced = FanOut::new(delivery)
            .branch("far", holding(&held, sleep(&stage, 3 * SECOND)))
            .branch("near", holding(&held, sleep(&stage, SECOND)))
            .branch("lost", holding(&held, std::future::pending()))
            .any()
            .await;
        assert_eq!(Rc::strong_count(&held), 1, "none outlives the scope");
        names.borrow_mut().extend(raced.dropped());
        raced.verdict()
    });

    assert_eq!(*names.borrow(), ["far", "lost"]);
    assert_eq!(stage.settlements(&id), [(SECOND, SettleKind::Ack)]);
    assert!(branch_failures(&stage).is_empty(), "to lose is no failure");
}

#[test]
fn a_branch_after_one_that_succeeds_at_once_is_never_polled() {
    let (stage, id) = one_message();
    let _ = once(&stage, async |delivery| {
        let raced = FanOut::new(delivery)
            .branch("cache", async { Ok(()) })
            .branch("origin", async { panic!("it is asked in vain") })
            .any()
            .await;
        assert!(raced.dropped().eq(["origin"]));
        raced.verdict()
    });

    assert_eq!(stage.broker.truth(&id).fate, Fate::Acked);
}

#[test]
fn any_goes_on_after_failures_and_reports_each_once() {
    let (stage, id) = one_message();
    let _ = once(&stage, async |delivery| {
        FanOut::new(delivery)
            .branch("one", async { Err(BranchError::dead("no such host")) })
            .branch("two", async { panic!("planned") })
            .branch("three", sleep(&stage, SECOND))
            .any()
            .await
            .verdict()
    });

    assert_eq!(
        branch_failures(&stage),
        [
            ("one", "no such host".to_owned()),
            ("two", "panicked: planned".to_owned())
        ]
    );
    assert_eq!(stage.broker.truth(&id).fate, Fate::Acked);
}

#[test]
fn an_ack_under_a_quorum_means_that_so_many_succeeded() {
    for count in 1..=3_usize {
        for case in 0..8_u32 {
            let (stage, id) = one_message();
            let branch = |number: u32| {
                let stage = &stage;
                async move {
                    stage.clock.sleep(SECOND * number).await;
                    if case >> number & 1 == 1 {
                        return Err(BranchError::retry("planned"));
                    }
                    Ok(())
                }
            };
            let _ = once(&stage, async |delivery| {
                let raced = FanOut::new(delivery)
                    .branch("one", branch(0))
                    .branch("two", branch(1))
                    .branch("three", branch(2))
                    .quorum(count)
                    .await;
                let successes = 3 - raced.failures.len() - raced.dropped().count();
                assert_eq!(successes + raced.missing, count.max(successes));
                raced.verdict()
            });

            let successes = 3 - case.count_ones() as usize;
            let is_acked = stage.broker.truth(&id).fate == Fate::Acked;
            assert_eq!(is_acked, successes >= count, "{count} of case {case:03b}");
        }
    }
}

#[test]
fn a_quorum_out_of_reach_waits_for_the_rest_and_then_fails() {
    let (stage, id) = one_message();
    let written_at = Cell::new(None);
    let _ = once(&stage, async |delivery| {
        FanOut::new(delivery)
            .branch("east", async {
                Err(BranchError::retry_after(SECOND, "no answer"))
            })
            .branch("west", async {
                Err(BranchError::retry_after(2 * SECOND, "no answer"))
            })
            .branch("north", async {
                stage.clock.sleep(SECOND).await;
                written_at.set(Some(stage.elapsed()));
                Ok(())
            })
            .quorum(2)
            .await
            .verdict()
    });

    assert_eq!(written_at.get(), Some(SECOND));
    let (after, counted) = (SECOND, true);
    assert_eq!(
        stage.settlements(&id),
        [(SECOND, SettleKind::Nack { after, counted })]
    );
}

#[test]
fn a_message_is_dead_only_when_no_attempt_could_bring_the_quorum_together() {
    let settled = |count| {
        let (stage, id) = one_message();
        let _ = once(&stage, async |delivery| {
            FanOut::new(delivery)
                .branch("east", async { Err(BranchError::dead("torn down")) })
                .branch("west", async { Err(BranchError::retry("no answer")) })
                .quorum(count)
                .await
                .verdict()
        });
        stage.broker.truth(&id).fate
    };

    assert!(matches!(settled(1), Fate::Ready { .. }));
    let reason = "east: torn down".to_owned();
    assert_eq!(settled(2), Fate::Dead { reason });
}

#[test]
fn an_optional_branch_is_no_candidate_and_no_loser() {
    let (stage, id) = one_message();
    let notified_at = Cell::new(None);
    let _ = once(&stage, async |delivery| {
        FanOut::new(delivery)
            .optional("audit", async { Err(BranchError::dead("nobody listens")) })
            .branch("near", async { Ok(()) })
            .optional("notify", async {
                stage.clock.sleep(2 * SECOND).await;
                notified_at.set(Some(stage.elapsed()));
                Ok(())
            })
            .any()
            .await
            .verdict()
    });

    assert_eq!(notified_at.get(), Some(2 * SECOND));
    assert_eq!(stage.broker.truth(&id).fate, Fate::Acked);
    assert_eq!(
        branch_failures(&stage),
        [("audit", "nobody listens".to_owned())]
    );
}

#[test]
fn a_loser_whose_destructor_panics_is_reported_and_the_message_is_acked() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on the way out")
        }
    }
    let (stage, id) = one_message();
    let report = once(&stage, async |delivery| {
        let raced = FanOut::new(delivery)
            .branch("slow", async {
                let _bomb = Bomb;
                std::future::pending().await
            })
            .branch("fast", sleep(&stage, SECOND))
            .any()
            .await;
        assert!(raced.dropped().eq(["slow"]));
        raced.verdict()
    });

    assert_eq!(
        branch_failures(&stage),
        [("slow", "panicked: on the way out".to_owned())]
    );
    assert_eq!(report.totals.panicked, 0, "it is the branch's");
    assert_eq!(stage.broker.truth(&id).fate, Fate::Acked);
}

#[test]
fn best_effort_hears_of_every_failure_and_acks() {
    let (stage, id) = one_message();
    let _ = once(&stage, async |delivery| {
        FanOut::new(delivery)
            .branch("mail", async { Err(BranchError::dead("no route")) })
            .branch("chat", sleep(&stage, SECOND))
            .branch("page", async { panic!("planned") })
            .best_effort()
            .await
            .verdict()
    });

    assert_eq!(
        branch_failures(&stage),
        [
            ("mail", "no route".to_owned()),
            ("page", "panicked: planned".to_owned())
        ]
    );
    assert_eq!(stage.settlements(&id), [(SECOND, SettleKind::Ack)]);
    let is_required =
        |event: &Event| matches!(event, Event::BranchFailed { required, .. } if *required);
    assert_eq!(stage.first(is_required), None);
}

#[test]
fn more_losers_than_there_is_room_for_are_all_named() {
    let (stage, _) = one_message();
    let _ = once(&stage, async |delivery| {
        let raced = FanOut::new(delivery)
            .branch("0", async { Ok(()) })
            .branch("1", std::future::pending())
            .branch("2", std::future::pending())
            .branch("3", std::future::pending())
            .branch("4", std::future::pending())
            .branch("5", std::future::pending())
            .branch("6", std::future::pending())
            .branch("7", std::future::pending())
            .branch("8", std::future::pending())
            .branch("9", std::future::pending())
            .any()
            .await;
        assert!(
            raced
                .dropped()
                .eq(["1", "2", "3", "4", "5", "6", "7", "8", "9"])
        );
        raced.verdict()
    });
}

#[test]
fn a_quorum_that_can_never_be_is_a_panic_of_the_handler() {
    for count in [0, 2] {
        let (stage, id) = one_message();
        let consumer = stage
            .consumer()
            .handler(async |delivery: &Delivery| {
                let branches = FanOut::new(delivery)
                    .branch("one", async { Ok(()) })
                    .optional("two", async { Ok(()) });
                branches.quorum(count).await.verdict()
            })
            .max_deliveries(1)
            .build();
        stage.broker.finish();
        let report = stage.run(consumer);

        let Fate::Dead { reason } = stage.broker.truth(&id).fate else {
            panic!("{report:?}")
        };
        let expected = format!("a quorum of {count} among 1 branches");
        assert!(reason.contains(&expected), "{reason}");
    }
}

#[test]
fn no_branch_of_a_race_outlives_a_cancelled_handler() {
    let held = Rc::new(());
    cancel_two_branches(&held, async |delivery: &Delivery| {
        FanOut::new(delivery)
            .branch("one", holding(&held, std::future::pending()))
            .branch("two", holding(&held, std::future::pending()))
            .any()
            .await
            .verdict()
    });
}

#[test]
fn a_race_that_is_won_after_the_lease_was_lost_settles_nothing() {
    let (stage, id) = one_message();
    let consumer = stage
        .consumer()
        .handler(async |delivery: &Delivery| {
            if delivery.attempt() > 1 {
                return Verdict::Ack;
            }
            let lost = async {
                delivery.lease_lost().await;
                Ok(())
            };
            let raced = FanOut::new(delivery)
                .branch("work", std::future::pending())
                .branch("lost", lost)
                .any()
                .await;
            assert!(raced.dropped().eq(["work"]));
            raced.verdict()
        })
        .lease(60 * SECOND)
        .lease_max(120 * SECOND)
        .build();
    stage.broker.finish();

    let report = stage.run(consumer);

    assert_eq!((report.totals.expired, report.totals.panicked), (1, 0));
    assert_eq!(report.totals.acked, 1);
    assert_eq!(
        stage.settlements(&id).len(),
        1,
        "only the second delivery's"
    );
}

#[test]
fn a_race_is_the_same_where_handlers_are_tasks() {
    fn assert_send<T: Send>(future: T) -> T {
        future
    }
    let (stage, id) = one_message();
    let _ = once(&stage, async |delivery| {
        let race = FanOut::new(delivery)
            .branch("one", async { Ok(()) })
            .branch("two", std::future::pending())
            .quorum(1);
        let raced: Raced = assert_send(race).await;
        raced.verdict()
    });

    assert_eq!(stage.broker.truth(&id).fate, Fate::Acked);
}

const SECOND: Duration = Duration::from_secs(1);
