//! The tables, and how a file is recognised.

use rusqlite::Connection;

/// The version that this SDK reads and writes.
pub(crate) const VERSION: i64 = 1;

/// The states of a message, as stored.
pub(crate) const READY: i64 = 0;
pub(crate) const DELAYED: i64 = 1;
pub(crate) const LEASED: i64 = 2;

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing yet.
    Empty,
    /// A queue of this version.
    Version(i64),
    /// Another program's database.
    Foreign,
}

/// Looks at the file's header and tables.
pub(crate) fn identify(connection: &Connection) -> rusqlite::Result<Found> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(match application {
        APPLICATION_ID => Found::Version(version),
        0 if version == 0 && tables == 0 => Found::Empty,
        _ => Found::Foreign,
    })
}

/// Creates the tables, all or none.
pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    let header =
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};");
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} {header} COMMIT;"))
}

/// "VSDK".
const APPLICATION_ID: i64 = 0x5653_444b;

/// - `state`: 0 ready, 1 delayed, 2 leased, 3 dead.
/// - `seq` is never used again (AUTOINCREMENT), so that `(seq, deliveries)` names a lease for ever.
/// - `due_at`, `delayed_at`: wall time; `deadline`: boot time, of the boot `boot_id`. All in ns.
/// - The indexes are partial: each holds only the messages in its state, a small one mostly.
const TABLES: &str = "
CREATE TABLE topics (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    subscription TEXT
) STRICT;
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    topic INTEGER NOT NULL,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    expiries INTEGER NOT NULL,
    due_at INTEGER,
    delayed_at INTEGER,
    deadline INTEGER,
    holder INTEGER,
    boot_id BLOB,
    published_at INTEGER NOT NULL,
    id BLOB NOT NULL UNIQUE,
    reason TEXT,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX messages_ready ON messages (topic) WHERE state = 0;
CREATE INDEX messages_due ON messages (topic, due_at) WHERE state = 1;
CREATE INDEX messages_delayed ON messages (delayed_at) WHERE state = 1;
CREATE INDEX messages_leased ON messages (topic, deadline) WHERE state = 2;
CREATE INDEX messages_dead ON messages (topic) WHERE state = 3;
";
