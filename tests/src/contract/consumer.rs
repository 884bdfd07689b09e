//! One consumer, unchanged on every runtime.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{FutureExt, join_all};
use mayhem_core::{
    Backoff, Batched, BranchError, Clock, Consumer, Delivery, FanOut, Report, Verdict,
};
use mayhem_sim::{SimBroker, SimSettings};

use super::Runtime;

/// Handlers inside the consumer's own future.
pub fn inline_handlers_settle_every_message<R: Runtime>() {
    let mut runtime = R::default();
    let (clock, broker) = (runtime.clock(), filled_broker(&runtime));
    let handler_clock = Arc::clone(&clock);
    let consumer = Consumer::builder()
        .broker(broker.clone())
        .clock(clock)
        .handler(async |delivery: &Delivery| handle(delivery, &*handler_clock).await)
        .concurrency(32)
        .backoff(no_backoff())
        .build();
    check(&mut runtime, &broker, consumer.run());
}

/// Handlers as tasks of the executor.
pub fn spawned_handlers_settle_every_message<R: Runtime>() {
    let mut runtime = R::default();
    let (clock, broker) = (runtime.clock(), filled_broker(&runtime));
    let handler_clock = Arc::clone(&clock);
    let consumer = Consumer::builder()
        .broker(broker.clone())
        .clock(clock)
        .spawned_handler(runtime.spawner(), move |delivery: &Delivery| {
            let clock = Arc::clone(&handler_clock);
            async move { handle(delivery, &*clock).await }.boxed()
        })
        .concurrency(32)
        .backoff(no_backoff())
        .build();
    check(&mut runtime, &broker, consumer.run());
}

/// Handlers as tasks of the executor, ten of which at a time share one call.
pub fn batched_handlers_settle_every_message<R: Runtime>() {
    let mut runtime = R::default();
    let (clock, broker) = (runtime.clock(), filled_broker(&runtime));
    let handler_clock = Arc::clone(&clock);
    let within = Duration::from_millis(1);
    let batched = Batched::new(10, within, move |deliveries: Vec<Delivery>| {
        let clock = Arc::clone(&handler_clock);
        async move {
            let handled = deliveries.iter().map(|delivery| handle(delivery, &*clock));
            join_all(handled).await
        }
    });
    let consumer = Consumer::builder()
        .broker(broker.clone())
        .clock(clock)
        .spawned_handler(runtime.spawner(), move |delivery| {
            batched.handle(delivery).boxed()
        })
        .concurrency(32)
        .backoff(no_backoff())
        .build();
    check(&mut runtime, &broker, consumer.run());
}

/// Two branches of a millisecond; the first attempt at every seventh message fails.
async fn handle(delivery: &Delivery, clock: &dyn Clock) -> Verdict {
    let is_flaky = delivery.payload()[0].is_multiple_of(7) && delivery.attempt() == 1;
    FanOut::new(delivery)
        .branch("restart", async {
            clock
                .sleep_until(clock.now() + Duration::from_millis(1))
                .await;
            if is_flaky {
                return Err(BranchError::retry("not this time"));
            }
            Ok(())
        })
        .branch("record", async {
            clock
                .sleep_until(clock.now() + Duration::from_millis(1))
                .await;
            Ok(())
        })
        .join()
        .await
        .verdict()
}

fn filled_broker(runtime: &impl Runtime) -> SimBroker {
    let broker = SimBroker::on_clock(runtime.clock(), 1, SimSettings::default());
    for number in 1..=MESSAGES {
        broker.publish([number]);
    }
    broker.finish();
    broker
}

/// Runs a consumer to its end, and sees that the broker is empty and the report adds up.
fn check(runtime: &mut impl Runtime, broker: &SimBroker, run: impl Future<Output = Report>) {
    let mut report = None;
    runtime.block_on(run.map(|ended| report = Some(ended)).boxed_local());
    let report = report.expect("it ran to its end");
    let messages = u64::from(MESSAGES);
    assert!(report.is_balanced(), "{report:?}");
    assert!(report.error.is_none(), "{report:?}");
    assert_eq!(report.totals.acked, messages);
    assert_eq!(report.totals.retried, messages / 7);
    assert!(broker.is_drained());
}

fn no_backoff() -> Backoff {
    Backoff {
        base: Duration::ZERO,
        ..Backoff::default()
    }
}

/// Fits a byte, which is the payload.
const MESSAGES: u8 = 210;
