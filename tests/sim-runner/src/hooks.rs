//! What the consumers of a life do after their stop: in time, or not; well, or not.

use std::future::pending;
use std::time::Duration;

use mayhem_core::{Builder, Cause};
use mayhem_sim::{Checker, Dice, SimClock};

use crate::handler::panic_as_planned;

/// Adds so many hooks to a consumer.
pub(crate) fn add_hooks<B, C, H>(
    mut builder: Builder<B, C, H>,
    count: usize,
    (dice, clock, checker): (&Dice, &SimClock, &Checker),
) -> Builder<B, C, H> {
    for name in NAMES.into_iter().take(count) {
        let within = dice.pick("hook within", &[1, 5, 20]) * SECOND;
        let kind = dice.choose("hook", 8);
        let (dice, clock) = (dice.clone(), clock.clone());
        let work = async move {
            let length = match kind {
                0 => Duration::ZERO,
                1..6 => dice.duration("hook takes", within),
                6 => within + SECOND,
                _ => pending().await,
            };
            clock.sleep(length).await;
            match kind {
                3 => Err(Cause::from("planned")),
                4 => panic_as_planned(),
                _ => Ok(()),
            }
        };
        builder = builder.after_stop(name, within, checker.hook(name, within, work));
    }
    builder
}

/// As many as a life may have.
pub(crate) const NAMES: [&str; 3] = ["flush", "close", "farewell"];

const SECOND: Duration = Duration::from_secs(1);
