//! Handlers that panic on purpose, for `mandrill demo --chaos`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// One request in so many has a handler that panics, at its first attempt only.
const ONE_IN: u64 = 6;

/// Decides which handlers panic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chaos;

impl Chaos {
    /// Panics when this request was picked.
    ///
    /// # Panics
    ///
    /// That is what it is for.
    pub(super) fn maybe_panic(self, id: &str, attempt: u32) {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let is_picked = hasher.finish().is_multiple_of(ONE_IN);
        assert!(
            !is_picked || attempt > 1,
            "chaos: this handler was asked to panic"
        );
    }
}
