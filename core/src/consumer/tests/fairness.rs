//! For handlers inside `run()` only: between tasks it is their executor that is fair.

use super::testing::Rig;
use crate::{Delivery, Verdict};

#[test]
fn a_handler_that_always_wakes_itself_starves_nobody() {
    let mut rig = Rig::new();
    rig.broker.publish(["busy", "calm"]);
    let handler = async |delivery: &Delivery| {
        if delivery.id().as_str() == "busy" {
            for _ in 0..2_000 {
                let mut yielded = false;
                futures::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    match std::mem::replace(&mut yielded, true) {
                        true => std::task::Poll::Ready(()),
                        false => std::task::Poll::Pending,
                    }
                })
                .await;
            }
        }
        Verdict::Ack
    };

    let report = rig.run(rig.builder().handler(handler).build().run());

    assert_eq!(report.totals.acked, 2);
    assert_eq!(rig.broker.settled()[0].0, "calm");
}
