//! What the bridge promises, on every executor unchanged.
//!
//! The suites know an executor only as a function that runs tasks to their end. A wake may poll the
//! woken task there and then, so a task that blocks until a foreign thread has done something must
//! not be woken by that thread.

#[path = "bridge_contract/calling.rs"]
mod calling;
#[path = "bridge_contract/executors.rs"]
mod executors;
#[path = "bridge_contract/hostile.rs"]
mod hostile;
#[path = "bridge_contract/lending.rs"]
mod lending;
#[path = "bridge_contract/pool.rs"]
mod pool;
#[path = "bridge_contract/portal.rs"]
mod portal;
#[path = "bridge_contract/room.rs"]
mod room;
#[path = "bridge_contract/stream.rs"]
mod stream;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use executors::Run;

/// The contract on one executor.
macro_rules! contract {
    ($executor:ident: $($suite:ident::{$($promise:ident),* $(,)?}),* $(,)?) => {
        mod $executor {
            $($(
                #[test]
                fn $promise() {
                    crate::ends(crate::$suite::$promise, crate::executors::$executor);
                }
            )*)*
        }
    };
}

/// The contract on each executor.
macro_rules! contracts {
    ($($executor:ident),* $(,)?) => {
        $(contract! {
            $executor:
            stream::{
                every_value_arrives_once_in_the_order_of_its_producer,
                every_value_is_received_or_handed_back_once_under_every_policy,
                the_capacity_is_exact_however_many_sinks_there_are,
                a_blocked_push_goes_on_when_the_consumer_takes_one,
                a_blocked_push_is_woken_by_the_close,
                a_dropped_stream_gives_values_back,
                the_close_hook_runs_off_the_executor,
            },
            room::{
                async_producers_wait_for_room_beside_their_consumer,
                a_thread_that_must_not_wait_is_told_of_room,
                the_sdk_is_paused_and_resumed_in_turns,
                a_callback_is_awaited_once_and_never_in_vain,
            },
            portal::{
                many_threads_call_async_code_and_get_their_own_results,
                a_wait_that_times_out_gives_the_handle_back_and_a_cancel_is_heard,
                a_panic_is_carried_to_the_waiting_thread,
                waiting_for_ones_own_portal_is_detected,
                a_blocking_push_from_a_job_is_refused_when_it_would_wait,
                a_dropped_driver_fails_every_waiter,
                a_result_is_awaited_on_the_executor_itself,
            },
            calling::{
                a_cancel_that_was_waited_for_has_dropped_the_future,
                a_callback_has_run_when_the_waiter_goes_on,
                a_starter_hears_of_the_start_or_of_the_end,
                a_submission_waits_for_room_as_long_as_it_was_told,
                callers_that_spin_get_their_own_results,
            },
            pool::{
                blocking_work_waits_for_room_and_stays_within_its_bounds,
                a_panic_in_a_job_is_carried_to_the_task,
                a_cancelled_job_tells_its_task,
                accepted_jobs_run_or_are_named_by_the_shutdown,
                the_inventory_lists_every_thread_with_its_owner,
            },
            lending::{
                a_full_pools_job_reaches_that_pool_through_the_executor,
                a_given_up_job_frees_its_task_and_keeps_its_permit,
                a_task_awaits_the_end_of_a_pool,
                a_push_is_refused_on_a_driving_thread_only_if_it_would_wait,
            },
        })*
    };
}

contracts![
    futures_block_on,
    futures_local_pool,
    futures_thread_pool,
    smol_global,
    tokio_current_thread,
    tokio_multi_thread,
    async_executor_alone,
    hostile_executor,
];

/// Runs one promise on one executor, and fails if that hangs.
fn ends(promise: fn(Run), run: Run) {
    let (told, was_told) = channel();
    let test = std::thread::spawn(move || {
        promise(run);
        // Ignored: too late, the test has failed.
        let _ = told.send(());
    });
    let hangs = was_told.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
    assert!(!hangs, "the promise hangs");
    if let Err(panic) = test.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Waits until `condition` holds; fails the test if it does not in time.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        // Only to leave the processor to others; the condition decides.
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// How long anything may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(90);
