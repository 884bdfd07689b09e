//! The store thread: the handle's one writer, with group commit and the latch.
//!
//! ```text
//! caller ─job→ queue ─→ BEGIN IMMEDIATE · job · job · job · COMMIT (fsync) ─→ each caller's answer
//! ```
//!
//! All jobs that wait when the thread gets to them share one transaction and one fsync. After any
//! error but a busy file the handle has latched: what the disk holds is unknown then, and an fsync
//! that is tried again may report success without having written anything.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::connection::{classify, open_ready, open_writer};
use crate::file::unusable;
use crate::queue::Queue;
use crate::time::Times;
use crate::{Error, Options};

/// One open file: its writer thread, a reader, and whether it still works.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    options: Options,
    times: Times,
    first_error: OnceLock<Arc<Error>>,
    closed: AtomicBool,
    jobs: Mutex<Option<Sender<Box<dyn Job>>>>,
    reader: Mutex<Option<Connection>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the file and starts the store thread.
    pub(crate) fn open(path: &Path, options: Options, times: Times) -> Result<Arc<Self>, Error> {
        let path = std::path::absolute(path).map_err(|error| unusable(path, error.to_string()))?;
        let connection = open_writer(&path, &options)?;
        // The writer waits by itself, see `begin`.
        connection
            .busy_timeout(Duration::ZERO)
            .map_err(|error| classify(&path, Duration::ZERO, &error))?;
        let reader = open_ready(&path, options.busy_timeout)?;
        let (jobs, queue) = bounded(JOB_COUNT_MAX);
        let store = Arc::new(Self {
            path,
            options,
            times,
            first_error: OnceLock::new(),
            closed: AtomicBool::new(false),
            jobs: Mutex::new(Some(jobs)),
            reader: Mutex::new(Some(reader)),
            thread: Mutex::new(None),
        });
        let writer = Writer {
            store: Arc::clone(&store),
            connection,
            queue,
        };
        let thread = thread::Builder::new()
            .name("sdk-store".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| unusable(store.path(), format!("no thread: {error}")))?;
        *store.thread.lock() = Some(thread);
        Ok(store)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn times(&self) -> &Times {
        &self.times
    }

    /// Runs `work` on the store thread; returns when its transaction is durable.
    ///
    /// `work` must leave the tables alone when it fails for a reason of its own: its neighbours'
    /// transaction is committed all the same.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Queue<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.check()?;
        let (reply, answer) = bounded(1);
        let job = Box::new(Work {
            work: Some(work),
            result: None,
            reply,
        });
        let jobs = self
            .jobs
            .lock()
            .clone()
            .ok_or_else(|| self.closed_error())?;
        jobs.send(job).map_err(|_| self.closed_error())?;
        drop(jobs);
        // The thread answers every job that it took; without it the handle has been closed.
        answer.recv().unwrap_or_else(|_| Err(self.closed_error()))
    }

    /// Runs `look` on the handle's reader connection, on the calling thread.
    pub(crate) fn read<T>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        self.check()?;
        let reader = self.reader.lock();
        let connection = reader.as_ref().ok_or_else(|| self.closed_error())?;
        look(connection).map_err(|error| self.sort(Duration::ZERO, &error))
    }

    /// One more reader connection, for a thread that looks often.
    pub(crate) fn connect_reader(&self) -> Result<Connection, Error> {
        self.check()?;
        open_ready(&self.path, self.options.busy_timeout)
    }

    /// Sorts an error and latches, unless the file was only busy.
    pub(crate) fn sort(&self, waited: Duration, error: &rusqlite::Error) -> Error {
        let error = classify(&self.path, waited, error);
        if !error.is_retryable() {
            // Ignored when it fails: another thread's error was first.
            let _ = self.first_error.set(Arc::new(error.clone()));
        }
        error
    }

    /// Why nothing more can be done, if so.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_latch()?;
        // Acquire pairs with the Release in `shut`; a late reader finds the queue gone anyway.
        if self.closed.load(Ordering::Acquire) {
            Err(self.closed_error())
        } else {
            Ok(())
        }
    }

    /// Takes no more jobs; those taken are still done. Does not wait.
    pub(crate) fn shut(&self) {
        self.closed.store(true, Ordering::Release);
        // The reader first: the log is moved into the database by the last connection that closes,
        // and by neither when both close at the same moment.
        drop(self.reader.lock().take());
        drop(self.jobs.lock().take());
    }

    /// Waits until the store thread has closed the file.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // Ignored: a panic of the store thread has been printed by the hook, and the callers
            // it left got `Closed`.
            let _ = thread.join();
        }
    }

    fn check_latch(&self) -> Result<(), Error> {
        let Some(first) = self.first_error.get() else {
            return Ok(());
        };
        Err(Error::Latched {
            first: Arc::clone(first),
        })
    }

    fn closed_error(&self) -> Error {
        Error::Closed {
            path: self.path.clone(),
        }
    }
}

/// Work for the store thread.
trait Job: Send {
    fn execute(&mut self, queue: &Queue<'_>) -> rusqlite::Result<()>;

    /// Tells the caller; `Ok` when the transaction is durable.
    fn answer(self: Box<Self>, outcome: Result<(), Error>);
}

struct Work<T, F> {
    work: Option<F>,
    result: Option<T>,
    reply: Sender<Result<T, Error>>,
}

impl<T: Send, F: FnOnce(&Queue<'_>) -> rusqlite::Result<T> + Send> Job for Work<T, F> {
    fn execute(&mut self, queue: &Queue<'_>) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.result = Some(work(queue)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Error>) {
        let answer = match (outcome, self.result) {
            (Ok(()), Some(result)) => Ok(result),
            (Err(error), _) => Err(error),
            (Ok(()), None) => unreachable!("a committed job was executed"),
        };
        // Ignored: the caller's thread is gone, so nobody waits for the answer.
        let _ = self.reply.send(answer);
    }
}

impl fmt::Debug for dyn Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// What the store thread owns.
struct Writer {
    store: Arc<Store>,
    connection: Connection,
    queue: Receiver<Box<dyn Job>>,
}

impl Writer {
    fn run(self) {
        let session = session();
        let mut group = Vec::new();
        while let Ok(first) = self.queue.recv() {
            group.push(first);
            group.extend(self.queue.try_iter().take(GROUP_COUNT_MAX - 1));
            let outcome = self
                .store
                .check_latch()
                .and_then(|()| self.commit(session, &mut group));
            for job in group.drain(..) {
                job.answer(outcome.clone());
            }
            if outcome.is_ok() {
                self.checkpoint();
            }
            if self.store.check_latch().is_err() {
                return self.refuse_all();
            }
        }
    }

    /// Lets go of the file and answers every later job with the error that latched.
    fn refuse_all(self) {
        let Self {
            store,
            connection,
            queue,
        } = self;
        // A checkpoint at the close could write what a failed sync has left in doubt; the next
        // open reads the log again.
        // Ignored: at worst that open has less to read.
        let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        drop(connection);
        for job in queue {
            job.answer(store.check_latch());
        }
    }

    /// Does the group in one transaction, all or nothing.
    fn commit(&self, session: i64, group: &mut [Box<dyn Job>]) -> Result<(), Error> {
        self.begin()?;
        let queue = Queue {
            connection: &self.connection,
            times: &self.store.times,
            session,
        };
        let done = group
            .iter_mut()
            .try_for_each(|job| job.execute(&queue))
            .and_then(|()| self.statement("COMMIT"));
        done.map_err(|error| {
            let error = self.store.sort(Duration::ZERO, &error);
            if !self.connection.is_autocommit() {
                // Ignored: the handle has latched, and the next open rolls back.
                let _ = self.statement("ROLLBACK");
            }
            error
        })
    }

    /// Waits for the file's one writer lock.
    ///
    /// In short random steps: SQLite's own grow to 100 ms, and a process that waits so is starved
    /// by one that commits without a pause.
    fn begin(&self) -> Result<(), Error> {
        let begin = Instant::now();
        loop {
            let Err(error) = self.statement("BEGIN IMMEDIATE") else {
                return Ok(());
            };
            let waited = begin.elapsed();
            let error = self.store.sort(waited, &error);
            if !error.is_retryable() || waited >= self.store.options.busy_timeout {
                return Err(error);
            }
            let step_micros = 100 + u64::from(waited.subsec_nanos()) % 900;
            thread::sleep(Duration::from_micros(step_micros));
        }
    }

    /// Moves the log into the database once it is long enough.
    fn checkpoint(&self) {
        let checkpointed = self
            .log_pages("PRAGMA wal_checkpoint(NOOP)")
            .and_then(|pages| {
                if pages >= LOG_PAGES_MAX {
                    self.log_pages("PRAGMA wal_checkpoint(PASSIVE)")?;
                }
                Ok(())
            });
        if let Err(error) = checkpointed {
            // Latches unless another process is at it; the callers hear it with their next call.
            let error = self.store.sort(Duration::ZERO, &error);
            log::warn!("checkpoint: {error}");
        }
    }

    /// Runs a checkpoint statement to its end; returns how many pages the log holds that are not
    /// in the database yet.
    fn log_pages(&self, sql: &str) -> rusqlite::Result<i64> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut pages = 0;
        while let Some(row) = rows.next()? {
            pages = row.get::<_, i64>(1)? - row.get::<_, i64>(2)?;
        }
        Ok(pages)
    }

    fn statement(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// A number that no other handle on the file has: the random half of an id.
fn session() -> i64 {
    let (_, random) = uuid::Uuid::now_v7().as_u64_pair();
    i64::from_ne_bytes(random.to_ne_bytes())
}

/// Jobs that may wait; each is a blocked caller, so more than these are more threads than a
/// process should have.
const JOB_COUNT_MAX: usize = 1024;
/// Jobs in one transaction: bounds how long the file is locked for other processes.
const GROUP_COUNT_MAX: usize = 256;
/// Log pages (4 KiB) before a checkpoint: 16 MiB, four times SQLite's default, since a checkpoint
/// costs two syncs that every writer waits for.
const LOG_PAGES_MAX: i64 = 4000;
