//! One request at a time per target.
//!
//! The journal allows one open intent per target, durably. This is the same rule inside the
//! process: it covers the moment between reading a target's identity and writing the intent, so
//! that the identity in the intent is the one the restart is fenced on.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::target::Target;

/// The targets that a handler is working on.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<HashSet<Target>>>);

impl Claims {
    /// Takes `target`, unless somebody has it; it is free again when the claim is dropped.
    pub(super) fn try_claim(&self, target: &Target) -> Option<Claim> {
        let is_free = self.0.lock().insert(target.clone());
        is_free.then(|| Claim {
            claims: self.clone(),
            target: target.clone(),
        })
    }
}

/// The right to work on one target.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Claims,
    target: Target,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.lock().remove(&self.target);
    }
}
