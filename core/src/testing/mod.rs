//! A hand-turned world for core's own tests: a clock, a broker with faults, and a driver that polls
//! only what was woken.

mod broker;
mod clock;
mod handlers;
mod rig;
mod tasks;

pub(crate) use broker::{Fault, TestBroker};
pub(crate) use clock::ManualClock;
pub(crate) use handlers::{Touchy, Turns, ack, endless, sleeper};
pub(crate) use rig::{LocalSpawn, Rig, SpawnedRig, Unhandled, Unspawned, millis, seconds};
