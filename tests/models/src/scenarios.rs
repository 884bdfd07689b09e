//! Scenarios of the whole bridge, each run under many schedules.
//!
//! What a thread does next is drawn too, from the checker's own generator: a schedule that failed
//! holds the draws as well, and replays them.

mod everything;
mod handles;
mod pool;
mod stream;

use everything::a_service_from_start_to_end;
use handles::a_portal_in_many_hands;
use pool::a_pool_in_many_hands;
use shuttle::rand::{Rng, thread_rng};
use stream::a_stream_in_many_hands;

use crate::catalog::{Model, models};

pub(crate) const SCENARIOS: &[Model] = models![
    a_service_from_start_to_end,
    a_stream_in_many_hands,
    a_portal_in_many_hands,
    a_pool_in_many_hands,
];

/// One of `0..count`.
fn pick(count: usize) -> usize {
    thread_rng().gen_range(0..count)
}
