//! The contract of a clock and a spawner, and one consumer, on every executor.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mayhem_core::{Consumer, Delivery, Report, Verdict};
use mayhem_sim::{SimBroker, SimSettings};
use mayhem_smol::SmolClock;
use mayhem_tokio::TokioClock;

macro_rules! on_runtime {
    ($runtime:ident: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                contract::$name::<contract::$runtime>();
            }
        )*
    };
}

macro_rules! executor_contract {
    ($($module:ident: $runtime:ident)*) => {
        $(
            mod $module {
                use mayhem_tests::contract;

                on_runtime! { $runtime:
                    the_clock_never_goes_back
                    a_sleep_is_never_early
                    a_sleep_of_several_steps_is_never_early
                    a_sleep_in_the_past_resolves_at_once
                    a_dropped_sleep_wakes_nobody
                    a_sleep_wakes_its_latest_waker
                    sleeps_end_in_the_order_of_their_instants
                    a_spawned_task_runs
                    tasks_take_turns
                    a_task_spawns_a_task
                    a_dropped_handle_ends_its_task
                    a_forgotten_handle_lets_it_run
                    inline_handlers_settle_every_message
                    spawned_handlers_settle_every_message
                    batched_handlers_settle_every_message
                }
            }
        )*
    };
}

executor_contract! {
    smol_global: SmolGlobal
    smol_own: SmolOwn
    tokio_current_thread: TokioCurrentThread
    tokio_multi_thread: TokioMultiThread
    futures_local_pool: LocalPoolRuntime
    futures_thread_pool: ThreadPoolRuntime
    simulation: SimRuntime
}

/// Neither smol nor the thread that waits for it is a tokio runtime.
#[test]
fn tokios_clock_serves_a_consumer_that_another_executor_drives() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("one thread can be started");
    let clock = TokioClock::on(runtime.handle().clone());
    smol::block_on(async {
        use mayhem_core::Clock;
        let deadline = clock.now() + Duration::from_millis(3);
        clock.sleep_until(deadline).await;
        assert!(clock.now() >= deadline);
    });
}

/// A consumer whose handler is `Send` is a task like any other, on both runtimes.
#[test]
fn a_whole_consumer_can_be_spawned() {
    let report = smol::block_on(smol::spawn(one_message()));
    assert_eq!(report.totals.acked, 1);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("two threads can be started");
    let report = runtime.block_on(runtime.spawn(one_message()));
    assert_eq!(report.expect("the consumer does not panic").totals.acked, 1);
}

fn one_message() -> BoxFuture<'static, Report> {
    let broker = SimBroker::on_clock(Arc::new(SmolClock), 1, SimSettings::default());
    broker.publish("hello");
    broker.finish();
    let consumer = Consumer::builder()
        .broker(broker)
        .clock(SmolClock)
        .handler(async |_: &Delivery| Verdict::Ack)
        .build();
    Box::pin(consumer.run())
}
