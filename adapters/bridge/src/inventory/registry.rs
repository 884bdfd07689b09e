//! The records behind the inventory: one per thread that any part of the bridge has met.
//!
//! A record is made by the first claim on a thread and ends with the thread (by the destructor of a
//! thread-local). It is written by its own thread and read by whoever takes the inventory, each
//! under a lock of the record's own, so that threads do not meet here.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::names::{named, unclaimed};
use super::os::{current_os_id, cut, os_ids, os_name};
use super::presence::polls;
use super::{ThreadInfo, ThreadKind, ThreadState};
use crate::sync::plain::atomic::{AtomicU32, Ordering};
use crate::sync::plain::{Instant, Mutex};
use crate::sync::{Arc, thread, thread_local, unique_id};

/// How long an ended thread is still recognised, for it leaves `/proc` a little after its record.
const ENDED_KNOWN_FOR: Duration = Duration::from_secs(1);
/// How many ended threads are remembered.
const ENDED_COUNT_MAX: usize = 256;
/// How many streams one thread's record remembers to have pushed into.
const STREAMS_COUNT_MAX: usize = 16;

/// What is known of one thread.
#[derive(Debug)]
pub(crate) struct Record {
    key: u64,
    os_id: AtomicU32,
    name: Option<String>,
    claims: Mutex<Claims>,
}

#[derive(Debug, Default)]
struct Claims {
    worker: Option<(ThreadKind, Claim)>,
    /// What a worker runs: a job, and inside it any that it runs while it waits.
    jobs: Vec<(u64, Claim)>,
    drivers: Vec<(u64, Claim)>,
    vendor: Option<Claim>,
    streams: VecDeque<u64>,
}

#[derive(Clone, Debug)]
struct Claim {
    owner: Arc<str>,
    job: Option<Cow<'static, str>>,
    state: ThreadState,
    since: Instant,
}

impl Claim {
    fn new(owner: Arc<str>, job: Option<Cow<'static, str>>, state: ThreadState) -> Self {
        Self {
            owner,
            job,
            state,
            since: Instant::now(),
        }
    }
}

/// A thread that one of our parts is about to start: known before it runs.
#[derive(Debug)]
pub(crate) struct Worker {
    record: Arc<Record>,
}

/// Announces a thread of ours before it is spawned; the thread itself then calls
/// [`Worker::begin`]. Dropping the announcement takes it back.
pub(crate) fn announce(kind: ThreadKind, name: String, owner: Arc<str>) -> Worker {
    let claims = Claims {
        worker: Some((kind, Claim::new(owner, None, ThreadState::Idle))),
        ..Claims::default()
    };
    let record = Arc::new(Record {
        key: unique_id(),
        os_id: AtomicU32::new(0),
        name: Some(name),
        claims: Mutex::new(claims),
    });
    REGISTRY
        .lock()
        .records
        .insert(record.key, Arc::clone(&record));
    Worker { record }
}

impl Worker {
    /// Binds the announcement to the thread that calls; from now on the thread's end ends it.
    pub(crate) fn begin(&self) {
        self.record.os_id.store(current_os_id(), Ordering::Relaxed);
        // Ignored: a thread that has just begun has its locals.
        let _ = CURRENT.try_with(|current| current.0.replace(Some(Arc::clone(&self.record))));
    }

    /// The thread runs the job with this id from now on, inside any that it runs already.
    pub(crate) fn begin_job(&self, id: u64, label: Cow<'static, str>) {
        let mut claims = self.record.claims.lock();
        let Some((_, claim)) = &claims.worker else {
            return;
        };
        let owner = Arc::clone(&claim.owner);
        let claim = Claim::new(owner, Some(label), ThreadState::Running);
        claims.jobs.push((id, claim));
    }

    /// The thread has ended the job with this id.
    pub(crate) fn end_job(&self, id: u64) {
        let mut claims = self.record.claims.lock();
        claims.jobs.retain(|(job, _)| *job != id);
        if claims.jobs.is_empty()
            && let Some((_, claim)) = &mut claims.worker
        {
            claim.since = Instant::now();
        }
    }

    /// The owner of the job with this id waits for it no longer.
    pub(crate) fn abandon_job(&self, id: u64) {
        let mut claims = self.record.claims.lock();
        if let Some((_, claim)) = claims.jobs.iter_mut().find(|(job, _)| *job == id) {
            (claim.state, claim.since) = (ThreadState::Abandoned, Instant::now());
        }
    }

    /// Without a job, the thread waits for leave to take one, or is idle again.
    pub(crate) fn set_blocked(&self, is_blocked: bool) {
        let state = match is_blocked {
            true => ThreadState::Blocked,
            false => ThreadState::Idle,
        };
        if let Some((_, claim)) = &mut self.record.claims.lock().worker {
            (claim.state, claim.since) = (state, Instant::now());
        }
    }

    pub(crate) fn is_current(&self) -> bool {
        self.record.os_id.load(Ordering::Relaxed) != 0
            && CURRENT
                .try_with(|current| current.0.borrow().as_ref().map(|record| record.key))
                .is_ok_and(|key| key == Some(self.record.key))
    }

    pub(crate) fn describe(&self) -> ThreadInfo {
        self.record.describe(&BTreeMap::new())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        REGISTRY.lock().end(&self.record);
    }
}

/// Claims the current thread for a stream, at its first push into it.
#[inline]
pub(crate) fn note_vendor(stream: u64, name: &Arc<str>) {
    if LAST_STREAM.with(Cell::get) != stream {
        note_vendor_slow(stream, name);
    }
}

#[cold]
fn note_vendor_slow(stream: u64, name: &Arc<str>) {
    LAST_STREAM.with(|last| last.set(stream));
    let Some(record) = current() else { return };
    let mut claims = record.claims.lock();
    if claims.streams.contains(&stream) {
        return;
    }
    if claims.streams.len() == STREAMS_COUNT_MAX {
        claims.streams.pop_front();
    }
    claims.streams.push_back(stream);
    claims.vendor = Some(Claim::new(Arc::clone(name), None, ThreadState::Unknown));
}

/// Marks the current thread as waiting for room, until the guard drops.
pub(crate) fn mark_blocked() -> Blocked {
    let record = current();
    if let Some(record) = &record {
        record.set_vendor_state(ThreadState::Blocked);
    }
    Blocked(record)
}

/// Ends the mark of [`mark_blocked`].
#[derive(Debug)]
pub(crate) struct Blocked(Option<Arc<Record>>);

impl Drop for Blocked {
    fn drop(&mut self) {
        if let Some(record) = &self.0 {
            record.set_vendor_state(ThreadState::Unknown);
        }
    }
}

/// Claims the current thread as a driver; the id is for [`end_driver`].
pub(crate) fn with_driver(owner: Arc<str>) -> u64 {
    let id = unique_id();
    if let Some(record) = current() {
        let claim = Claim::new(owner, None, ThreadState::Unknown);
        record.claims.lock().drivers.push((id, claim));
    }
    id
}

pub(super) fn end_driver(id: u64) {
    if let Some(record) = current() {
        record
            .claims
            .lock()
            .drivers
            .retain(|(driver, _)| *driver != id);
    }
}

impl Record {
    fn set_vendor_state(&self, state: ThreadState) {
        if let Some(claim) = &mut self.claims.lock().vendor {
            claim.state = state;
            claim.since = Instant::now();
        }
    }

    /// What the record says; `polls` are the portals being polled, by the key of the thread.
    fn describe(&self, polls: &BTreeMap<u64, Claim>) -> ThreadInfo {
        let os_id = Some(self.os_id.load(Ordering::Relaxed)).filter(|os_id| *os_id != 0);
        let poll = polls.get(&self.key).cloned();
        let claims = self.claims.lock();
        let best = match (&claims.worker, claims.drivers.last(), &claims.vendor) {
            (Some((kind, claim)), _, _) => {
                let job = claims.jobs.last().map_or(claim, |(_, job)| job);
                Some((*kind, job.clone()))
            }
            (None, Some((_, claim)), _) => Some((ThreadKind::Driver, claim.clone())),
            (None, None, Some(claim)) => Some((ThreadKind::Vendor, claim.clone())),
            (None, None, None) => None,
        };
        drop(claims);

        let (kind, claim) = match (best, poll) {
            // A driver thread that polls a portal: the thread's own name, and the portal as job.
            (Some((ThreadKind::Driver, mut claim)), Some(poll)) => {
                claim.job = Some(Cow::Owned(format!("portal {}", poll.owner)));
                (claim.state, claim.since) = (poll.state, poll.since);
                (ThreadKind::Driver, claim)
            }
            // What it does now outranks that it has pushed once.
            (None | Some((ThreadKind::Vendor, _)), Some(poll)) => (ThreadKind::Driver, poll),
            (Some(best), _) => best,
            (None, None) => {
                let mut info = unclaimed(os_id.unwrap_or(0));
                info.name = self.name.clone().unwrap_or(info.name);
                return info;
            }
        };
        ThreadInfo {
            name: self
                .name
                .clone()
                .unwrap_or_else(|| os_name(os_id.unwrap_or(0))),
            owner: claim.owner.to_string(),
            kind,
            job: claim.job.map(Cow::into_owned),
            os_id,
            state: claim.state,
            since: Some(claim.since),
        }
    }
}

/// Everything the process knows of its threads.
struct Registry {
    records: BTreeMap<u64, Arc<Record>>,
    ended: VecDeque<(u32, Instant)>,
}

impl Registry {
    fn end(&mut self, record: &Record) {
        let os_id = record.os_id.load(Ordering::Relaxed);
        if self.records.remove(&record.key).is_none() || os_id == 0 {
            return;
        }
        if self.ended.len() == ENDED_COUNT_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back((os_id, Instant::now()));
    }
}

pub(super) fn snapshot() -> Vec<ThreadInfo> {
    // Before the lock: a thread that ends between the two lists is then recognised as ended, and
    // one that starts is in ours only.
    let mut os_ids = os_ids();
    let records: Vec<_> = {
        let mut registry = REGISTRY.lock();
        registry
            .ended
            .retain(|(_, at)| at.elapsed() < ENDED_KNOWN_FOR);
        os_ids.retain(|os_id| registry.ended.iter().all(|(ended, _)| ended != os_id));
        registry.records.values().cloned().collect()
    };

    let polls: BTreeMap<u64, Claim> = polls()
        .into_iter()
        .map(|(key, owner, since)| {
            let mut claim = Claim::new(owner, None, ThreadState::Running);
            claim.since = since;
            (key, claim)
        })
        .collect();
    let mut threads: Vec<_> = records
        .iter()
        .map(|record| record.describe(&polls))
        .collect();
    // Known only from a claim that has ended, such as a dropped driver guard: listed below.
    threads.retain(ThreadInfo::is_claimed);

    let starting: Vec<String> = threads
        .iter()
        .filter(|thread| thread.os_id.is_none())
        .map(|thread| cut(&thread.name).to_owned())
        .collect();
    os_ids.retain(|os_id| threads.iter().all(|thread| thread.os_id != Some(*os_id)));
    os_ids.sort_unstable();
    let rest = os_ids.into_iter().map(unclaimed);
    // A worker of ours that has its name but has not yet bound its record is not listed twice.
    // Without a name it has ended since it was listed.
    let is_other = |it: &ThreadInfo| !it.name.is_empty() && !starting.contains(&it.name);
    threads.extend(rest.filter(is_other).map(named));
    threads.sort_by_key(|thread| (!thread.is_claimed(), thread.os_id));
    threads
}

/// The key of the current thread's record; `None` while the thread is ending.
pub(super) fn current_key() -> Option<u64> {
    // Without counting a reference: asked at every poll of a portal.
    let known = CURRENT.try_with(|current| current.0.borrow().as_ref().map(|record| record.key));
    match known {
        Ok(Some(key)) => Some(key),
        _ => current().map(|record| record.key),
    }
}

/// The record of the current thread, made on first use; `None` while the thread is ending.
fn current() -> Option<Arc<Record>> {
    CURRENT
        .try_with(|current| {
            if let Some(record) = current.0.borrow().as_ref() {
                return Arc::clone(record);
            }
            let record = Arc::new(Record {
                key: unique_id(),
                os_id: AtomicU32::new(current_os_id()),
                name: thread::current().name().map(str::to_owned),
                claims: Mutex::new(Claims::default()),
            });
            REGISTRY
                .lock()
                .records
                .insert(record.key, Arc::clone(&record));
            current.0.replace(Some(Arc::clone(&record)));
            record
        })
        .ok()
}

/// The thread's hold on its record; the thread's end drops it.
struct Current(RefCell<Option<Arc<Record>>>);

impl Drop for Current {
    fn drop(&mut self) {
        if let Some(record) = self.0.get_mut().take() {
            REGISTRY.lock().end(&record);
        }
    }
}

thread_local! {
    static CURRENT: Current = Current(RefCell::new(None));
    // Apart and without a destructor: read at every push.
    static LAST_STREAM: Cell<u64> = Cell::new(0);
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    records: BTreeMap::new(),
    ended: VecDeque::new(),
});
