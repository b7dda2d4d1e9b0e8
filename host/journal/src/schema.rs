//! The database's tables, and how older ones become today's.

use std::path::Path;

use docket_engine::StoreError;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

/// What `PRAGMA application_id` says: "Dckt".
const APPLICATION: i32 = 0x4463_6b74;

/// One script for each version; the n-th makes version n out of n - 1. Never changed once released.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE runs (
        number      INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of their starts
        id          TEXT NOT NULL UNIQUE,
        workflow    TEXT NOT NULL,
        started_at  TEXT NOT NULL,                     -- RFC 3339
        finished_at TEXT,
        result      BLOB                               -- JSON, once the run has ended
    ) STRICT;
    CREATE INDEX runs_unfinished ON runs (number) WHERE finished_at IS NULL;
    CREATE INDEX runs_by_workflow ON runs (workflow, number);
    CREATE TABLE events (
        run    INTEGER NOT NULL REFERENCES runs (number),
        seq    INTEGER NOT NULL,                       -- from 0
        format INTEGER NOT NULL,
        body   BLOB NOT NULL,
        PRIMARY KEY (run, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE blobs (
        digest BLOB PRIMARY KEY,
        body   BLOB NOT NULL
    ) STRICT;
"];

/// The version that this host writes.
const NEWEST: u32 = MIGRATIONS.len() as u32;

/// Opens the database for its one writer, and brings it up to date. A database that is not Docket's
/// or is newer is left as it was.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).map_err(|error| failed(&error))?;
    match state(&connection).map_err(|error| failed(&error))? {
        State::Empty => {}
        State::Foreign => {
            return Err(StoreError::Damaged(format!(
                "{} is a database of something else",
                path.display()
            )));
        }
        State::Version(found) if found > NEWEST => {
            return Err(StoreError::Newer {
                found,
                supported: NEWEST,
            });
        }
        State::Version(_) => {}
    }
    prepare(&mut connection).map_err(|error| failed(&error))?;
    Ok(connection)
}

enum State {
    Empty,
    Version(u32),
    Foreign,
}

fn state(connection: &Connection) -> rusqlite::Result<State> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, version, tables) {
        (0, 0, 0) => State::Empty,
        (APPLICATION, version, _) => State::Version(version),
        _ => State::Foreign,
    })
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit is on the disk when it returns. The writer lowers this where nobody waits for it.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Where the system's own sync does not reach the platter (macOS).
    connection.pragma_update(None, "fullfsync", "ON")?;
    connection.pragma_update(None, "checkpoint_fullfsync", "ON")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for script in MIGRATIONS.iter().skip(version as usize) {
        transaction.execute_batch(script)?;
    }
    if version < NEWEST {
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", NEWEST)?;
    }
    transaction.commit()
}

/// What an error of SQLite's means for whoever called.
pub(crate) fn failed(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(error.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::InUse(error.to_string())
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged(error.to_string())
        }
        _ => StoreError::Io(error.to_string()),
    }
}
