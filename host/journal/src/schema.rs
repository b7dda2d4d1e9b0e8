//! The database's tables, and how older ones become today's.

use std::path::Path;

use docket_engine::StoreError;
use rusqlite::{Connection, ErrorCode};

/// What `PRAGMA application_id` says: "Dckt".
const APPLICATION: i32 = 0x4463_6b74;

/// One script for each version; the n-th makes version n out of n - 1. Never changed once released.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE runs (
        number      INTEGER PRIMARY KEY AUTOINCREMENT,
        id          TEXT NOT NULL UNIQUE,
        workflow    TEXT NOT NULL,
        started_at  INTEGER NOT NULL, -- microseconds since the Unix epoch
        finished_at INTEGER,
        result      BLOB,             -- JSON, once the run has ended
        events      INTEGER NOT NULL  -- how many there are: the next one's number
    ) STRICT;
    CREATE INDEX runs_unfinished ON runs (number) WHERE finished_at IS NULL;
    CREATE INDEX runs_by_workflow ON runs (workflow, number);
    CREATE TABLE events (
        run    INTEGER NOT NULL REFERENCES runs (number),
        seq    INTEGER NOT NULL,
        format INTEGER NOT NULL,
        body   BLOB NOT NULL,
        PRIMARY KEY (run, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE blobs (
        digest BLOB PRIMARY KEY,
        body   BLOB NOT NULL
    ) STRICT;
"];

/// Opens the database with what durability needs, and brings it up to date.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).map_err(|error| failed(&error))?;
    prepare(&mut connection).map_err(|error| match error {
        Failed::Sqlite(error) => failed(&error),
        Failed::Store(error) => error,
    })?;
    Ok(connection)
}

enum Failed {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn prepare(connection: &mut Connection) -> Result<(), Failed> {
    // WAL with FULL: a commit is on the disk when it returns, at the price of one sync.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 =
        transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let newest = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if version > 0 && application != APPLICATION {
        return Err(Failed::Store(StoreError::Damaged(
            "the database is not one of Docket's".to_owned(),
        )));
    }
    if version > newest {
        return Err(Failed::Store(StoreError::Newer {
            found: version,
            supported: newest,
        }));
    }
    for script in MIGRATIONS.iter().skip(version as usize) {
        transaction.execute_batch(script)?;
    }
    transaction.pragma_update(None, "user_version", newest)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.commit()?;
    Ok(())
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
