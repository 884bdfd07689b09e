//! What mandrill must not forget: every request, what was decided about it, and what became of it.
//!
//! One SQLite file, mandrill's own, apart from the queue. A request travels through it like this:
//! [`Journal::admit`] writes its row and the decision in one transaction, and when it may start
//! also the *intent* with the identity of the target before anything is done to it; the intent is
//! on disk when the call returns. [`Journal::finish`] writes the final outcome; the first one
//! stays, whoever comes later. After a crash the intents without an outcome are found again, and
//! `admit` hands them back as [`Admission::Resume`].
//!
//! All methods block on the disk and on other processes' locks: call them from a pool thread. They
//! take the time as an argument and read no clock. After the first error of the disk a journal
//! latches: every later call repeats that error, since nobody knows what the file holds now.
//!
//! Deliberately absent: who may ask (the queue's file mode decides), and whether a target exists.

mod admission;
mod creation;
mod error;
mod history;
mod store;
mod verdict;

pub use admission::{Admission, Intent};
pub use error::{StoreError, StoreErrorKind};
pub use history::{HistoryFilter, HistoryRow, Outcome, TargetRow};
pub use verdict::{Refusal, Verdict};

use std::path::Path;
use std::sync::Arc;

use store::Store;

/// Where a test may have the process killed: before and after each commit that matters.
pub const FAULT_POINTS: &[&str] = &[
    "journal.admit.before-commit",
    "journal.admit.after-commit",
    "journal.started.before-commit",
    "journal.started.after-commit",
    "journal.finish.before-commit",
    "journal.finish.after-commit",
    "journal.refuse.before-commit",
    "journal.refuse.after-commit",
    "journal.record.before-commit",
    "journal.record.after-commit",
    "journal.resume.before-commit",
    "journal.resume.after-commit",
];

/// The journal of one daemon, or of a command beside it.
///
/// Clones share one connection; its transactions run one at a time.
#[derive(Clone, Debug)]
pub struct Journal {
    store: Arc<Store>,
}

impl Journal {
    /// Opens the journal at `path`, and makes it when there is none.
    ///
    /// # Blocking
    ///
    /// On the disk, and up to 10 s on another process that has the file locked.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the file is not ours, of another schema, or cannot be written durably.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let store = Arc::new(Store::open(path)?);
        Ok(Self { store })
    }

    /// Opens the journal at `path` for reading; `None` when there is none. Makes nothing.
    ///
    /// # Blocking
    ///
    /// As [`Journal::open`].
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the file is not ours, of another schema, or cannot be read.
    pub fn open_existing_read(path: &Path) -> Result<Option<Self>, StoreError> {
        let store = Store::open_existing_read(path)?;
        Ok(store.map(|store| Self {
            store: Arc::new(store),
        }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// Closes the file, for all clones; later calls fail with [`StoreErrorKind::Closed`].
    ///
    /// Closing twice is fine. Dropping the last clone closes it too, without telling errors.
    ///
    /// # Blocking
    ///
    /// Until the running call has ended and the write-ahead log is copied into the file.
    ///
    /// # Errors
    ///
    /// What SQLite says. Everything committed is safe all the same.
    pub fn close(&self) -> Result<(), StoreError> {
        self.store.close()
    }
}

#[cfg(test)]
mod tests;
