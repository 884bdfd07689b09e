//! Threads that are known by their names alone, or not at all.

use super::os::{cut, os_name, started_at};
use super::{ThreadInfo, ThreadKind, ThreadState};
use crate::sync::plain::Mutex;
use crate::sync::unique_id;

/// A claim on every thread whose name begins with `prefix`.
#[derive(Debug)]
struct Named {
    id: u64,
    prefix: String,
    owner: String,
}

/// Claims threads by name; the id is for [`end_names`].
pub(super) fn claim_names(prefix: String, owner: String) -> u64 {
    let id = unique_id();
    CLAIMS.lock().push(Named { id, prefix, owner });
    id
}

pub(super) fn end_names(id: u64) {
    CLAIMS.lock().retain(|claim| claim.id != id);
}

/// A thread of which only the operating system knows.
pub(super) fn unclaimed(os_id: u32) -> ThreadInfo {
    ThreadInfo {
        name: os_name(os_id),
        owner: "unclaimed".to_owned(),
        kind: ThreadKind::Unclaimed,
        job: None,
        os_id: Some(os_id).filter(|os_id| *os_id != 0),
        state: ThreadState::Unknown,
        since: None,
    }
}

/// An unclaimed thread, with the owner that its name gives it, if any.
pub(super) fn named(mut thread: ThreadInfo) -> ThreadInfo {
    let claims = CLAIMS.lock();
    let matching = claims
        .iter()
        .filter(|claim| thread.name.starts_with(cut(&claim.prefix)));
    // The longest prefix knows best; of equal ones the latest.
    let Some(best) = matching.max_by_key(|claim| claim.prefix.len()) else {
        return thread;
    };
    thread.owner.clone_from(&best.owner);
    drop(claims);
    thread.kind = ThreadKind::Vendor;
    thread.since = thread.os_id.and_then(started_at);
    thread
}

static CLAIMS: Mutex<Vec<Named>> = Mutex::new(Vec::new());
