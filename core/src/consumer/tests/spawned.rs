//! The same specs once more, with every handler a task of its own.

/// What the specs find under this name runs handlers as tasks.
mod testing {
    pub(super) use crate::testing::{
        Fault, LocalSpawn, ManualClock, SpawnedRig as Rig, Touchy, Turns, Unspawned as Unhandled,
        ack, endless, millis, seconds, sleeper,
    };
}

macro_rules! specs {
    ($($name:ident)*) => {
        $(
            mod $name {
                include!(concat!(stringify!($name), ".rs"));
            }
        )*
    };
}

specs! {
    adaptive batched batched_storms combined extremes failures flow hooks leases long_polls
    observing ordering ordering_pauses ordering_sheds ordering_storms pace parking pauses poison
    settlements shields shutdown storms timeouts verdicts
}
