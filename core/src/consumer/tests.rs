use std::sync::Arc;

use futures::FutureExt;
use futures::task::Spawn;

use crate::{BranchError, Broker, Clock, Consumer, Delivery, FanOut, Verdict};

fn is_send(_: impl Send) {}

fn check(broker: Arc<dyn Broker>, clock: Arc<dyn Clock>, spawn: impl Spawn + Send + Sync) {
    let builder = || {
        Consumer::builder()
            .broker(broker.clone())
            .clock(clock.clone())
    };
    let name = String::from("x");
    let closure = async move |delivery: &Delivery| {
        let branch = async {
            if delivery.id().as_str() == name {
                return Err(BranchError::retry("no"));
            }
            Ok(())
        };
        FanOut::new(delivery)
            .branch("a", branch)
            .optional("b", async { Ok(()) })
            .join()
            .await
            .verdict()
    };
    is_send(builder().handler(closure).build().run());
    is_send(
        builder()
            .handler(async |_: &Delivery| Verdict::Ack)
            .build()
            .run(),
    );
    let spawned = builder().spawned_handler(spawn, |delivery: &Delivery| {
        async move {
            let one = FanOut::new(delivery)
                .branch("a", async { Ok(()) })
                .join()
                .await;
            one.verdict()
        }
        .boxed()
    });
    is_send(spawned.build().run());
}
