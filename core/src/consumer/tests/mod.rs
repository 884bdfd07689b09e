//! The consumer end to end, in hand-turned time.

mod failures;
mod leases;
mod shutdown;
mod verdicts;
