//! SQLite connections: opened the one right way, and their errors sorted once.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::file::{self, CreationLock, unusable};
use crate::{Error, Options, schema};

/// Opens the file, making and identifying it first, and returns the writer connection.
pub(crate) fn open_writer(path: &Path, options: &Options) -> Result<Connection, Error> {
    let _lock = CreationLock::acquire(path, options.busy_timeout)?;
    file::create(path)?;
    prepare_file(path, options)?;
    let writer = open_ready(path, options.busy_timeout)?;
    if let Some(bytes) = options.bytes_max {
        limit_bytes(&writer, bytes).map_err(|error| while_opening(path, &error))?;
    }
    file::sync_folder(path)?;
    Ok(writer)
}

/// Opens one more connection on a file that [`open_writer`] has prepared.
pub(crate) fn open_ready(path: &Path, busy_timeout: Duration) -> Result<Connection, Error> {
    let connection = connect(path, busy_timeout).map_err(|error| while_opening(path, &error))?;
    verify_durability(path, &connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_COUNT_MAX);
    Ok(connection)
}

/// Sorts an error of a call on an open file.
pub(crate) fn classify(path: &Path, waited: Duration, error: &rusqlite::Error) -> Error {
    let path = path.to_owned();
    let detail = one_line(error);
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Locked { path, waited },
            ErrorCode::DiskFull => Error::Full { path, detail },
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Error::Corrupt { path, detail },
            _ => Error::Io { path, detail },
        },
        // A value that is not what the schema says.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => Error::Corrupt { path, detail },
        _ => Error::Io { path, detail },
    }
}

/// Runs a statement to its end. `query_row` and `execute_batch` stop at the first row or hide an
/// error that comes with the last step: an EIO on the sync of `journal_mode=WAL` was lost so.
pub(crate) fn step_to_end(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Identifies the file, switches it to WAL and gives a new one its tables.
fn prepare_file(path: &Path, options: &Options) -> Result<(), Error> {
    let sorted = |error: rusqlite::Error| while_opening(path, &error);
    let connection = connect(path, options.busy_timeout).map_err(sorted)?;
    if connection.is_readonly("main").map_err(sorted)? {
        return Err(unusable(path, "it is read-only"));
    }
    // Its close would swallow the errors of a checkpoint; what it leaves in the log is durable.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(sorted)?;
    let found = schema::identify(&connection).map_err(sorted)?;
    match found {
        schema::Found::Foreign => return Err(unusable(path, "it is another program's database")),
        schema::Found::Version(found) if found != schema::VERSION => {
            let expected = schema::VERSION;
            return Err(Error::WrongVersion {
                path: path.to_owned(),
                found,
                expected,
            });
        }
        schema::Found::Empty | schema::Found::Version(_) => {}
    }
    // Only now: before, it may have been somebody else's file.
    file::restrict(path)?;
    step_to_end(&connection, "PRAGMA journal_mode = WAL").map_err(sorted)?;
    if matches!(found, schema::Found::Empty) {
        schema::create(&connection).map_err(sorted)?;
    }
    Ok(())
}

fn connect(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    // Without CREATE: the file was made with its permissions before.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    step_to_end(&connection, "PRAGMA synchronous = FULL")?;
    // Checkpoints are the store's, which sees their errors; SQLite's own swallow them.
    step_to_end(&connection, "PRAGMA wal_autocheckpoint = 0")?;
    step_to_end(&connection, "PRAGMA mmap_size = 0")?;
    step_to_end(&connection, "PRAGMA cache_size = -16000")?;
    // A log grown by one long transaction is cut back to this when it starts again.
    step_to_end(&connection, "PRAGMA journal_size_limit = 67108864")?;
    Ok(connection)
}

/// Reads back, on a connection that has set nothing of the kind, what the file's mode is.
fn verify_durability(path: &Path, connection: &Connection) -> Result<(), Error> {
    let sorted = |error: rusqlite::Error| while_opening(path, &error);
    let mode: String = connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .map_err(sorted)?;
    let synchronous: i64 = connection
        .query_row("PRAGMA synchronous", [], |row| row.get(0))
        .map_err(sorted)?;
    if mode != "wal" || synchronous != SYNCHRONOUS_FULL {
        let detail = format!("it cannot be made durable: mode {mode}, synchronous {synchronous}");
        return Err(unusable(path, detail));
    }
    Ok(())
}

fn limit_bytes(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    let page: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let pages = (bytes / u64::from(page.max(1))).clamp(1, u64::from(u32::MAX - 1));
    step_to_end(connection, &format!("PRAGMA max_page_count = {pages}"))
}

/// Sorts an error met before the handle exists.
fn while_opening(path: &Path, error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => unusable(path, "it is not a database"),
        Some(ErrorCode::ReadOnly) => unusable(path, "it is read-only"),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            unusable(path, one_line(error))
        }
        _ => classify(path, Duration::ZERO, error),
    }
}

/// SQLite's words and its extended result code, without line ends.
fn one_line(error: &rusqlite::Error) -> String {
    let text = match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            let code = failure.extended_code;
            match message {
                Some(message) => format!("{message} (SQLite code {code})"),
                None => format!("{failure} (SQLite code {code})"),
            }
        }
        other => other.to_string(),
    };
    text.replace(['\n', '\r'], " ")
}

/// What `PRAGMA synchronous` answers for FULL.
const SYNCHRONOUS_FULL: i64 = 2;
/// More than the statements that exist, so that none is prepared twice.
const STATEMENT_COUNT_MAX: usize = 48;

#[cfg(test)]
mod tests;
