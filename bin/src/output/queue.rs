//! Lines that wait for their reader on a thread of their own.
//!
//! A reader that pauses (a pager, a stopped pipe) must not stop the service: its leases would run
//! out. So the service's lines go into a bounded queue; when the reader is that far behind, further
//! lines are dropped and counted. What they told is in the journal.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use super::Shared;

/// The lines on their way.
pub(super) struct Queue {
    sender: SyncSender<Job>,
    dropped: AtomicU64,
    /// Whether it is the log itself, in which nothing can be said about it.
    is_log: bool,
}

impl Queue {
    /// Starts the thread; `None` when the system has none to spare.
    pub(super) fn start(shared: Arc<Shared>) -> Option<Self> {
        let (sender, jobs) = sync_channel(LINES_MAX);
        let is_log = shared.is_log();
        std::thread::Builder::new()
            .name(if is_log { "stderr" } else { "stdout" }.to_owned())
            .spawn(move || write_all(&shared, &jobs))
            .ok()?;
        let dropped = AtomicU64::new(0);
        Some(Self {
            sender,
            dropped,
            is_log,
        })
    }

    /// Never waits.
    pub(super) fn push(&self, lines: &str) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Job::Lines(lines.to_owned())) {
            // Relaxed: a counter on its own.
            if self.dropped.fetch_add(1, Ordering::Relaxed) == 0 && !self.is_log {
                log::warn!("standard output is not being read: its lines are dropped from now on");
            }
        }
    }

    /// Waits until all lines so far are written, at most for `within`; tells whether all were.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let (done, finished) = sync_channel(1);
        let mut job = Job::Flush(done);
        // A full queue has no room for the question either.
        while let Err(error) = self.sender.try_send(job) {
            match error {
                TrySendError::Full(back) if Instant::now() < deadline => job = back,
                _ => return false,
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let is_flushed = finished.recv_timeout(left) != Err(RecvTimeoutError::Timeout);
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 && !self.is_log {
            log::warn!("{dropped} lines were dropped because standard output was not read");
        }
        is_flushed && dropped == 0
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

enum Job {
    Lines(String),
    Flush(SyncSender<()>),
}

fn write_all(shared: &Shared, jobs: &Receiver<Job>) {
    let _registered = mayhem_bridge::register_driver("mandrill");
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Lines(lines) => shared.write(&lines),
            // Ignored: who asked has stopped waiting.
            Job::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Some megabytes of events, minutes of a busy service.
const LINES_MAX: usize = 16_384;
/// How often a full queue is looked at again at the very end.
const LOOK_EVERY: Duration = Duration::from_millis(5);
