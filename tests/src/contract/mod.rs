//! The duties of core's ports as tests that any adapter can be put through.
//!
//! A suite is a set of plain functions over a runtime under test; a test file names each of them
//! once per runtime.

mod consumer;
mod executor;
mod runtimes;
pub mod single;
mod stage;

pub use consumer::{
    batched_handlers_settle_every_message, inline_handlers_settle_every_message,
    spawned_handlers_settle_every_message,
};
pub use executor::{
    a_dropped_handle_ends_its_task, a_dropped_sleep_wakes_nobody, a_forgotten_handle_lets_it_run,
    a_sleep_in_the_past_resolves_at_once, a_sleep_is_never_early,
    a_sleep_of_several_steps_is_never_early, a_sleep_wakes_its_latest_waker, a_spawned_task_runs,
    a_task_spawns_a_task, sleeps_end_in_the_order_of_their_instants, tasks_take_turns,
    the_clock_never_goes_back,
};
pub use runtimes::{
    LocalPoolRuntime, Runtime, SimRuntime, SmolGlobal, SmolOwn, ThreadPoolRuntime,
    TokioCurrentThread, TokioMultiThread,
};
pub use stage::Stage;
