//! The database's tables, and how older ones become today's.

use std::path::Path;
use std::time::Duration;

use docket_engine::StoreError;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

/// What `PRAGMA application_id` says: "Dckt".
const APPLICATION: i32 = 0x4463_6b74;

/// One script for each version; the n-th makes version n out of n - 1, and after it what SQL cannot
/// do. Never changed once released.
const MIGRATIONS: [(&str, Fill); 4] = [
    (FIRST, |_| Ok(())),
    (SECOND, crate::migrate::second),
    (THIRD, |_| Ok(())),
    (FOURTH, |_| Ok(())),
];

/// Fills what a script has made room for.
type Fill = fn(&Transaction<'_>) -> Result<(), StoreError>;

const FIRST: &str = "
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
";

/// What runs wait for, their chains, the documents that they use, and what triggers have seen.
/// Moments in whole numbers are microseconds since 1970.
const SECOND: &str = "
    ALTER TABLE runs ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN head BLOB NOT NULL DEFAULT x'';   -- of the chain
    ALTER TABLE runs ADD COLUMN plan BLOB;
    ALTER TABLE runs ADD COLUMN group_key TEXT;
    ALTER TABLE runs ADD COLUMN group_max INTEGER;
    ALTER TABLE runs ADD COLUMN parked INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN wake_at INTEGER;                  -- of a parked run
    ALTER TABLE runs ADD COLUMN state TEXT;                       -- how it ended
    ALTER TABLE runs ADD COLUMN ended INTEGER;                    -- when
    ALTER TABLE events ADD COLUMN hash BLOB;
    ALTER TABLE blobs ADD COLUMN unused INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX runs_ready ON runs (number) WHERE finished_at IS NULL AND parked = 0;
    CREATE INDEX runs_to_wake ON runs (wake_at) WHERE wake_at IS NOT NULL;
    CREATE INDEX runs_in_groups ON runs (number)
        WHERE finished_at IS NULL AND parked = 1 AND group_max IS NOT NULL;
    CREATE INDEX runs_ended ON runs (ended) WHERE ended IS NOT NULL;
    CREATE INDEX runs_by_plan ON runs (plan);
    CREATE TABLE waits (
        run     INTEGER NOT NULL REFERENCES runs (number),
        path    TEXT NOT NULL,
        kind    TEXT NOT NULL,
        account TEXT,                                  -- with kind sign-in
        seen    INTEGER,                               -- its sign-ins before
        since   INTEGER NOT NULL,
        body    BLOB NOT NULL,                         -- JSON
        PRIMARY KEY (run, path)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX waits_by_age ON waits (since);
    CREATE INDEX waits_by_kind ON waits (kind, since);
    CREATE INDEX waits_by_account ON waits (account, since) WHERE account IS NOT NULL;
    CREATE TABLE sign_ins (
        account TEXT PRIMARY KEY,
        count   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE documents (
        digest BLOB NOT NULL,
        run    INTEGER NOT NULL REFERENCES runs (number),
        PRIMARY KEY (digest, run)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX documents_by_run ON documents (run);
    CREATE TABLE cursors (
        name   TEXT PRIMARY KEY,
        cursor TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE items (
        name TEXT NOT NULL,                            -- of the trigger
        key  TEXT NOT NULL,
        run  TEXT NOT NULL,
        PRIMARY KEY (name, key)
    ) STRICT, WITHOUT ROWID;
";

/// How many runs triggers have started, and when the last one.
const THIRD: &str = "
    ALTER TABLE cursors ADD COLUMN started INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE cursors ADD COLUMN last_started_at INTEGER;       -- microseconds since 1970
    UPDATE cursors SET started = (SELECT count(*) FROM items WHERE items.name = cursors.name);
";

/// Events in the order of their appends, which is how they come: those of many runs fill a few pages
/// at the table's end, where each run's own page had to be written before.
const FOURTH: &str = "
    CREATE TABLE appended (
        run    INTEGER NOT NULL REFERENCES runs (number),
        seq    INTEGER NOT NULL,                       -- from 0
        format INTEGER NOT NULL,
        body   BLOB NOT NULL,
        hash   BLOB,
        PRIMARY KEY (run, seq)
    ) STRICT;
    INSERT INTO appended SELECT run, seq, format, body, hash FROM events ORDER BY run, seq;
    DROP TABLE events;
    ALTER TABLE appended RENAME TO events;
";

/// The version that this host writes.
pub(crate) const NEWEST: u32 = MIGRATIONS.len() as u32;

/// How long another process may keep the database locked before the journal gives up.
const LONGEST_LOCK: Duration = Duration::from_secs(60);

/// Opens the database for its one writer, and brings it up to date. A database that is not Docket's
/// or is newer is left as it was.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).map_err(|error| failed(&error))?;
    version(&connection, path)?;
    prepare(&mut connection)?;
    Ok(connection)
}

/// The version of a journal, 0 of a new one.
///
/// # Errors
/// [`StoreError::Damaged`] where it is no journal, [`StoreError::Newer`], and the disk's.
pub(crate) fn version(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    match state(connection).map_err(|error| failed(&error))? {
        State::Empty => Ok(0),
        State::Foreign => Err(StoreError::Damaged(format!(
            "{} is a database of something else",
            path.display()
        ))),
        State::Version(found) if found > NEWEST => Err(StoreError::Newer {
            found,
            supported: NEWEST,
        }),
        State::Version(found) => Ok(found),
    }
}

/// Looks a database over that nobody has open, and brings it up to date.
///
/// # Errors
/// As [`open`]; [`StoreError::Damaged`] where SQLite's own check finds something.
pub(crate) fn check(path: &Path) -> Result<(), StoreError> {
    let connection = open(path)?;
    let sql = |error: rusqlite::Error| failed(&error);
    let found: String = connection
        .pragma_query_value(None, "quick_check", |row| row.get(0))
        .map_err(sql)?;
    if found != "ok" {
        return Err(StoreError::Damaged(format!("{}: {found}", path.display())));
    }
    // One file again, with nothing in a log beside it.
    connection
        .pragma_update(None, "journal_mode", "DELETE")
        .map_err(sql)
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

fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    set_up(connection).map_err(|error| failed(&error))?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| failed(&error))?;
    migrate(&transaction)?;
    transaction.commit().map_err(|error| failed(&error))
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    // Room that was given up goes back to the disk in pieces. Counts from a database's first page or
    // its next VACUUM on.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit is on the disk when it returns. The writer lowers this where nobody waits for it.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Where the system's own sync does not reach the platter (macOS).
    connection.pragma_update(None, "fullfsync", "ON")?;
    connection.pragma_update(None, "checkpoint_fullfsync", "ON")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // Something else that looks at the file, a backup tool perhaps, is waited for.
    connection.busy_timeout(LONGEST_LOCK)
}

fn migrate(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let sql = |error: rusqlite::Error| failed(&error);
    let version: u32 = transaction
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(sql)?;
    for (script, fill) in MIGRATIONS.iter().skip(version as usize) {
        transaction.execute_batch(script).map_err(sql)?;
        fill(transaction)?;
    }
    if version < NEWEST {
        let set = |name, value: &dyn rusqlite::ToSql| transaction.pragma_update(None, name, value);
        set("application_id", &APPLICATION).map_err(sql)?;
        set("user_version", &NEWEST).map_err(sql)?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_triggers_started_before_is_counted() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(FIRST).unwrap();
        connection.execute_batch(SECOND).unwrap();
        connection
            .execute_batch(
                "INSERT INTO cursors VALUES ('w/source', 'c'), ('w/other', NULL);
                 INSERT INTO items VALUES ('w/source', 'a', 'r-1'), ('w/source', 'b', 'r-2');
                 PRAGMA user_version = 2;",
            )
            .unwrap();
        let transaction = connection.transaction().unwrap();
        migrate(&transaction).unwrap();
        transaction.commit().unwrap();
        let started: Vec<(String, i64, Option<i64>)> = connection
            .prepare("SELECT name, started, last_started_at FROM cursors ORDER BY name")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let expected = [("w/other", 0), ("w/source", 2)];
        assert_eq!(
            started,
            expected.map(|(name, count)| (name.to_owned(), count, None))
        );
    }
}
