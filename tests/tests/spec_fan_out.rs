//! One message, several branches: an error goes somewhere, and an ack means that all succeeded.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use mayhem_core::{BranchError, Delivery, Event, FanOut};
use mayhem_sim::{Fate, SettleKind};
use mayhem_tests::contract::single::{
    branch_failures, cancel_two_branches, holding, once, one_message, sleep,
};

#[test]
fn a_failed_branch_is_reported_once_with_its_name_and_the_message_is_not_acked() {
    let (stage, id) = one_message();
    let report = once(&stage, async |delivery| {
        FanOut::new(delivery)
            .branch("restart", async { Ok(()) })
            .branch("record", async {
                Err(BranchError::retry("the disk is full"))
            })
            .join()
            .await
            .verdict()
    });

    let failures = branch_failures(&stage);
    assert_eq!(failures, [("record", "the disk is full".to_owned())]);
    assert_eq!(report.totals.acked, 0);
    assert!(matches!(stage.broker.truth(&id).fate, Fate::Ready { .. }));
}

#[test]
fn a_panicking_branch_is_reported_once_with_its_name_and_the_message_is_not_acked() {
    let (stage, id) = one_message();
    let report = once(&stage, async |delivery| {
        FanOut::new(delivery)
            .branch("restart", async {
                stage.clock.sleep(SECOND).await;
                panic!("planned")
            })
            .branch("record", async { Ok(()) })
            .join()
            .await
            .verdict()
    });

    let failures = branch_failures(&stage);
    assert_eq!(failures, [("restart", "panicked: planned".to_owned())]);
    assert_eq!(report.totals.acked, 0);
    assert_eq!(
        report.totals.panicked, 0,
        "it was the branch's, not the handler's"
    );
    assert!(matches!(stage.broker.truth(&id).fate, Fate::Ready { .. }));
}

#[test]
fn an_ack_means_that_every_required_branch_succeeded() {
    for case in 0..8_u8 {
        let (stage, id) = one_message();
        let result = |bit: u8| {
            if case & bit == 0 {
                Ok(())
            } else {
                Err(BranchError::retry("planned"))
            }
        };
        let _ = once(&stage, async |delivery| {
            FanOut::new(delivery)
                .branch("restart", async { result(1) })
                .branch("record", async { result(2) })
                .optional("notify", async { result(4) })
                .join()
                .await
                .verdict()
        });

        let has_succeeded = case & 3 == 0;
        let is_acked = stage.broker.truth(&id).fate == Fate::Acked;
        assert_eq!(is_acked, has_succeeded, "case {case}");
        assert_eq!(
            branch_failures(&stage).len(),
            case.count_ones() as usize,
            "case {case}"
        );
    }
}

#[test]
fn branches_run_side_by_side() {
    let (stage, id) = one_message();
    let _ = once(&stage, async |delivery| {
        FanOut::new(delivery)
            .branch("restart", sleep(&stage, 3 * SECOND))
            .branch("record", sleep(&stage, 2 * SECOND))
            .join()
            .await
            .verdict()
    });

    assert_eq!(stage.settlements(&id), [(3 * SECOND, SettleKind::Ack)]);
}

#[test]
fn the_siblings_of_a_failed_branch_run_to_their_end() {
    let (stage, id) = one_message();
    let recorded_at = Cell::new(None);
    let _ = once(&stage, async |delivery| {
        FanOut::new(delivery)
            .branch("restart", async { Err(BranchError::dead("no such host")) })
            .branch("record", async {
                stage.clock.sleep(SECOND).await;
                recorded_at.set(Some(stage.elapsed()));
                Ok(())
            })
            .join()
            .await
            .verdict()
    });

    assert_eq!(recorded_at.get(), Some(SECOND));
    assert_eq!(stage.settlements(&id), [(SECOND, SettleKind::Dead)]);
    let failed_at = stage.first(|event| matches!(event, Event::BranchFailed { .. }));
    assert_eq!(
        failed_at,
        Some(Duration::ZERO),
        "it is reported while its siblings run"
    );
}

#[test]
fn a_failed_optional_branch_is_reported_and_the_message_is_acked() {
    let (stage, id) = one_message();
    let _ = once(&stage, async |delivery| {
        FanOut::new(delivery)
            .branch("restart", async { Ok(()) })
            .optional("notify", async { Err(BranchError::dead("nobody listens")) })
            .join()
            .await
            .verdict()
    });

    assert_eq!(
        branch_failures(&stage),
        [("notify", "nobody listens".to_owned())]
    );
    assert_eq!(stage.broker.truth(&id).fate, Fate::Acked);
}

#[test]
fn the_kind_of_the_error_decides_what_happens_to_the_message() {
    let settled = |error: fn() -> BranchError| {
        let (stage, id) = one_message();
        let _ = once(&stage, async |delivery| {
            FanOut::new(delivery)
                .branch("restart", async { Err(error()) })
                .branch("record", async { Ok(()) })
                .join()
                .await
                .verdict()
        });
        stage.settlements(&id)[0].1
    };

    let retry = settled(|| BranchError::retry_after(2 * SECOND, "busy"));
    let (after, counted) = (2 * SECOND, true);
    assert_eq!(retry, SettleKind::Nack { after, counted });
    let postpone = settled(|| BranchError::postpone(3 * SECOND, "cooling down"));
    let (after, counted) = (3 * SECOND, false);
    assert_eq!(postpone, SettleKind::Nack { after, counted });
    assert_eq!(
        settled(|| BranchError::dead("no such host")),
        SettleKind::Dead
    );
}

#[test]
fn a_dead_letter_says_which_branch_gave_it_up_and_why() {
    let (stage, id) = one_message();
    let _ = once(&stage, async |delivery| {
        FanOut::new(delivery)
            .branch("restart", async { Err(BranchError::dead("no such host")) })
            .branch("record", async { Ok(()) })
            .join()
            .await
            .verdict()
    });

    let reason = "restart: no such host".to_owned();
    assert_eq!(stage.broker.truth(&id).fate, Fate::Dead { reason });
}

#[test]
fn no_branch_outlives_a_cancelled_handler() {
    let held = Rc::new(());
    cancel_two_branches(&held, async |delivery: &Delivery| {
        FanOut::new(delivery)
            .branch("restart", holding(&held, std::future::pending()))
            .branch("record", holding(&held, std::future::pending()))
            .join()
            .await
            .verdict()
    });
}

const SECOND: Duration = Duration::from_secs(1);
