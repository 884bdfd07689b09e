//! The consumer end to end, in hand-turned time.

mod adaptive;
mod failures;
mod hooks;
mod leases;
mod observing;
mod pace;
mod parking;
mod pauses;
mod poison;
mod settlements;
mod shields;
mod shutdown;
mod storms;
mod timeouts;
mod verdicts;
