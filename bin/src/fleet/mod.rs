//! The hosts: what they are now, how one is restarted, and how that is proven.
//!
//! Absent on purpose: policy, intents and retries, which the service decides, and a supervisor that
//! starts again what died by itself, which would hide the failure that the operator asked about.

mod error;
mod identity;

pub use self::error::{FleetError, RestartError, VerifyError};
pub use self::identity::{HostState, Identity, Liveness};
