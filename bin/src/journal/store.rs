//! The SQLite file: how it is made, opened and checked, and how transactions are run on it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::FAULT_POINTS;
use super::creation::CreationLock;
use super::error::{StoreError, StoreErrorKind};
use crate::fault;

/// How long a call waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What stands in the header of the file: "mndj".
const APPLICATION_ID: i32 = 0x6d6e_646a;

/// The version of the schema below.
const SCHEMA_VERSION: i32 = 1;

/// One connection, or the reason why there is none any more.
pub(super) struct Store {
    path: PathBuf,
    state: Mutex<State>,
}

enum State {
    Open(Connection),
    Latched(StoreError),
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // A process loses its SQLite locks on a file when it closes any descriptor of it. The one
        // that makes the file is such a descriptor, so nobody else here may be opening meanwhile.
        let _alone = OPENING.lock();
        let mut lock = None;
        if !is_present(path)? {
            lock = Some(CreationLock::take(path)?);
            create_file(path)?;
        }
        let sqlite = |error| StoreError::from_sqlite(path, &error);
        let mut connection = connect(path)?;
        if connection.is_readonly("main").map_err(sqlite)? {
            let cause = "it can only be read";
            return Err(StoreError::new(path, StoreErrorKind::ReadOnly, cause));
        }
        if inspect(path, &connection)? == Contents::Nothing {
            // Found by us, but whoever made it may still be at it, or died there.
            if lock.is_none() {
                lock = Some(CreationLock::take(path)?);
            }
            create_schema(&mut connection).map_err(sqlite)?;
            inspect(path, &connection)?;
            sync_folder(path).map_err(|error| StoreError::from_io(path, &error))?;
        }
        drop(lock);
        restrict(path).map_err(|error| StoreError::from_io(path, &error))?;
        // Whoever opens a journal will write: better refused here than at the first request.
        prove_writable(&mut connection).map_err(sqlite)?;
        check_durable(path, &connection)?;
        // The journal mode is a property of the file; a fresh connection tells what the next
        // process will find, whatever this one was told.
        check_durable(path, &connect(path)?)?;
        Ok(Self::with(path, connection))
    }

    pub(super) fn open_existing_read(path: &Path) -> Result<Option<Self>, StoreError> {
        let _alone = OPENING.lock();
        if !is_present(path)? {
            return Ok(None);
        }
        let connection = connect(path)?;
        if inspect(path, &connection)? == Contents::Nothing {
            return Ok(None);
        }
        connection
            .pragma_update(None, "query_only", true)
            .map_err(|error| StoreError::from_sqlite(path, &error))?;
        Ok(Some(Self::with(path, connection)))
    }

    fn with(path: &Path, connection: Connection) -> Self {
        Self {
            path: path.to_owned(),
            state: Mutex::new(State::Open(connection)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn close(&self) -> Result<(), StoreError> {
        let closed = StoreError::new(&self.path, StoreErrorKind::Closed, "it is closed");
        let state = std::mem::replace(&mut *self.state.lock(), State::Latched(closed));
        match state {
            State::Latched(_) => Ok(()),
            State::Open(connection) => connection
                .close()
                .map_err(|(_, error)| StoreError::from_sqlite(&self.path, &error)),
        }
    }

    /// Runs a transaction that writes; what it did is on disk when this returns.
    pub(super) fn write<T>(
        &self,
        step: &Step,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        debug_assert!(FAULT_POINTS.contains(&step.before_commit));
        debug_assert!(FAULT_POINTS.contains(&step.after_commit));
        self.run(|connection| {
            // Immediate: a transaction that reads first and then wants to write could not wait.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            fault::point(step.before_commit);
            transaction.commit()?;
            fault::point(step.after_commit);
            Ok(result)
        })
    }

    /// Runs queries on one state of the file.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.run(|connection| work(&connection.transaction()?))
    }

    /// Runs `work` on the connection, and latches when it failed for good.
    pub(super) fn run<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut state = self.state.lock();
        let connection = match &mut *state {
            State::Open(connection) => connection,
            State::Latched(error) => return Err(error.clone()),
        };
        let error = match work(connection) {
            Ok(result) => return Ok(result),
            Err(error) => StoreError::from_sqlite(&self.path, &error),
        };
        if error.latches() {
            // A failed sync must not be tried again on the same descriptor, and copying the log
            // into the file on close would. Ignored: at worst it is copied, which loses nothing.
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            *state = State::Latched(error.clone());
        }
        Err(error)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The fault points around one kind of commit.
pub(super) struct Step {
    pub(super) before_commit: &'static str,
    pub(super) after_commit: &'static str,
}

/// A moment as the file holds it: microseconds since 1970.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The moment that the file holds in `column`.
pub(super) fn timestamp(
    row: &rusqlite::Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?
        .map(|micros| Timestamp::from_microsecond(micros).map_err(|error| bad(column, error)))
        .transpose()
}

/// A value that we cannot have written.
pub(super) fn bad(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

#[derive(PartialEq, Eq)]
enum Contents {
    Nothing,
    Journal,
}

fn is_present(path: &Path) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(true),
        Ok(metadata) => {
            let cause = match metadata.is_dir() {
                true => "it is a folder",
                false => "it is a device, pipe or socket",
            };
            Err(StoreError::new(path, StoreErrorKind::Unopenable, cause))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::from_io(path, &error)),
    }
}

/// Makes the file, empty and with the right mode, which SQLite then gives to its neighbours too.
fn create_file(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        // Somebody was faster; the lock was his.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::from_io(path, &error)),
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
        .and_then(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            Ok(connection)
        })
        .map_err(|error| StoreError::from_sqlite(path, &error))
}

fn inspect(path: &Path, connection: &Connection) -> Result<Contents, StoreError> {
    // One transaction, one state of the file: another process may be making it at this moment.
    let header = connection.unchecked_transaction().and_then(|transaction| {
        let number = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let count = "SELECT count(*) FROM sqlite_schema";
        // First, since this is what fixes the state that the transaction sees.
        let tables: i64 = transaction.query_row(count, [], |row| row.get(0))?;
        Ok((number("application_id")?, number("user_version")?, tables))
    });
    let (application, version, tables) =
        header.map_err(|error| StoreError::from_sqlite(path, &error))?;
    match (application, version) {
        (APPLICATION_ID, SCHEMA_VERSION) => Ok(Contents::Journal),
        (APPLICATION_ID, _) => {
            let cause = format!("its schema is {version}, this mandrill knows {SCHEMA_VERSION}");
            Err(StoreError::new(path, StoreErrorKind::Version, cause))
        }
        (0, 0) if tables == 0 => Ok(Contents::Nothing),
        _ => {
            let cause = "it is the database of another program";
            Err(StoreError::new(path, StoreErrorKind::Foreign, cause))
        }
    }
}

fn create_schema(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known: i32 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    // Whoever had the creation lock before us may have finished it.
    if known != APPLICATION_ID {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    transaction.commit()
}

/// Writes what is there already.
fn prove_writable(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// Refuses a connection whose commits could be lost: both settings are read back, never assumed.
fn check_durable(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    let synchronous = connection.pragma_query_value(None, "synchronous", |row| row.get(0));
    let settings = mode.and_then(|mode| Ok((mode, synchronous?)));
    let (mode, synchronous): (String, i32) =
        settings.map_err(|error| StoreError::from_sqlite(path, &error))?;
    if mode == "wal" && synchronous == SYNCHRONOUS_FULL {
        return Ok(());
    }
    let cause = format!("journal_mode is {mode} and synchronous is {synchronous}");
    Err(StoreError::new(path, StoreErrorKind::NotDurable, cause))
}

/// Takes the file away from everybody but its owner, should somebody have opened it up; and its
/// neighbours too, which SQLite makes with the mode of the file.
fn restrict(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let mut permissions = match fs::metadata(&name) {
            Ok(metadata) => metadata.permissions(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if permissions.mode() & 0o077 != 0 {
            permissions.set_mode(0o600);
            fs::set_permissions(&name, permissions)?;
        }
    }
    Ok(())
}

/// Makes the name of a new file durable. SQLite syncs the folder too, but swallows the error.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

static OPENING: Mutex<()> = Mutex::new(());

/// `PRAGMA synchronous` answers with a number.
const SYNCHRONOUS_FULL: i32 = 2;

const SCHEMA: &str = include_str!("schema.sql");
