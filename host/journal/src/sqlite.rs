//! The journal in SQLite: one writer that commits for all runs together, readers beside it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use docket_engine::{Durability, EventStore, RunFilter, RunSummary, StoreError};
use docket_model::{Digest, Event, EventKind, RunId, RunResult};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use crate::codec;
use crate::schema::{self, failed};
use crate::writer::{Append, Work, Writer};

/// How many connections for reading are kept open.
const IDLE_READERS: usize = 8;

/// A journal in a database file.
///
/// One process at a time: the file beside it, named like it and ending in `.lock`, stays locked
/// while the journal is open. Dropping it waits until everything that was appended is on the disk.
pub struct SqliteStore {
    writer: Writer,
    readers: Arc<Readers>,
    /// Dropped last, so that the next owner finds the writer at rest.
    _lock: File,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl SqliteStore {
    /// Opens the journal, and makes it where there is none. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another process has it open, [`StoreError::Newer`] where a newer
    /// Docket wrote it, [`StoreError::Damaged`] where it is no journal, and the disk's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, |_connection| Ok(()))
    }

    /// The same with a last word on the writer's connection.
    fn open_with(
        path: &Path,
        prepare: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let connection = schema::open(path)?;
        prepare(&connection).map_err(|error| failed(&error))?;
        Ok(Self {
            writer: Writer::start(connection)?,
            readers: Arc::new(Readers {
                path: path.to_owned(),
                idle: Mutex::default(),
            }),
            _lock: lock,
        })
    }

    /// Waits until everything that was queued is committed. A writer that failed has nothing left
    /// to wait for, and what it committed before can be read.
    async fn settle(&self) {
        let _ = self.writer.write(Work::Barrier).await;
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.readers);
        let result = tokio::task::spawn_blocking(move || readers.with(query)).await;
        match result.map_err(|error| StoreError::Io(error.to_string()))? {
            Ok(value) => Ok(value),
            Err(ReadError::Sqlite(error)) => Err(failed(&error)),
            Err(ReadError::Store(error)) => Err(error),
        }
    }
}

enum ReadError {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Readers {
    fn with<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => Connection::open_with_flags(
                &self.path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?,
        };
        let result = query(&connection);
        let mut idle = idle();
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        result
    }
}

/// Locks the file beside the database; the system lets go of it when the process ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let beside = path.with_extension("lock");
    let failed = |error: std::io::Error| StoreError::Io(format!("{}: {error}", beside.display()));
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.display().to_string())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(
        &self,
        run: &RunId,
        first: u64,
        events: &[Event],
        durability: Durability,
    ) -> Result<(), StoreError> {
        let append = stored(run, first, events, durability)?;
        self.writer.write(Work::Append(append)).await
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, StoreError> {
        self.settle().await;
        let run = run.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT seq, format, body FROM events \
                 WHERE run = (SELECT number FROM runs WHERE id = ?1) ORDER BY seq",
            )?;
            let mut rows = statement.query([run.as_str()])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                let seq = row.get::<_, i64>(0)?.cast_unsigned();
                if seq != events.len() as u64 {
                    let what = format!("event {} of run {run} is missing", events.len());
                    return Err(StoreError::Damaged(what).into());
                }
                let body = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
                events.push(codec::decode(&run, seq, row.get(1)?, body)?);
            }
            Ok(events)
        })
        .await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunSummary>, StoreError> {
        self.settle().await;
        self.read(move |connection| {
            // Constant conditions, so that each combination has its index.
            let sql = format!(
                "SELECT id, workflow, started_at, finished_at, result FROM runs \
                 WHERE {} AND {} ORDER BY number DESC LIMIT ?2",
                match filter.only_unfinished {
                    true => "finished_at IS NULL",
                    false => "TRUE",
                },
                match filter.workflow {
                    Some(_) => "workflow = ?1",
                    None => "?1 IS NULL",
                },
            );
            let limit = filter.limit.map_or(-1, i64::from);
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![filter.workflow, limit])?;
            let mut runs = Vec::new();
            while let Some(row) = rows.next()? {
                runs.push(summary(row)?);
            }
            Ok(runs)
        })
        .await
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        // Blobs are committed with a sync before anybody can see them: one that is there is durable.
        if !self
            .read(move |connection| has_blob(connection, digest))
            .await?
        {
            self.writer.write(Work::Blob(digest, bytes)).await?;
        }
        Ok(digest)
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes: Option<Vec<u8>> = self
            .read(move |connection| {
                let mut statement =
                    connection.prepare_cached("SELECT body FROM blobs WHERE digest = ?1")?;
                Ok(statement
                    .query_row([digest.as_bytes()], |row| row.get(0))
                    .optional()?)
            })
            .await?;
        match bytes {
            Some(bytes) if Digest::of(&bytes) != digest => Err(StoreError::Damaged(format!(
                "the blob {digest} is not what was stored"
            ))),
            bytes => Ok(bytes),
        }
    }
}

fn has_blob(connection: &Connection, digest: Digest) -> Result<bool, ReadError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM blobs WHERE digest = ?1")?;
    Ok(statement.exists([digest.as_bytes()])?)
}

fn stored(
    run: &RunId,
    first: u64,
    events: &[Event],
    durability: Durability,
) -> Result<Append, StoreError> {
    let started = match events.first() {
        Some(Event {
            at,
            kind: EventKind::RunStarted { workflow, .. },
        }) => Some((workflow.clone(), at.to_string())),
        _ => None,
    };
    let finished = match events.last() {
        Some(Event {
            at,
            kind: EventKind::RunFinished { result },
        }) => {
            let result = serde_json::to_vec(result);
            let result = result.map_err(|error| StoreError::Io(error.to_string()))?;
            Some((at.to_string(), result))
        }
        _ => None,
    };
    Ok(Append {
        run: run.clone(),
        first,
        bodies: events.iter().map(codec::encode).collect::<Result<_, _>>()?,
        durability,
        started,
        finished,
    })
}

fn summary(row: &Row<'_>) -> Result<RunSummary, ReadError> {
    let id: String = row.get(0)?;
    let damaged = |what: &dyn std::fmt::Display| {
        StoreError::Damaged(format!("the run {id} cannot be listed: {what}"))
    };
    let time = |text: String| text.parse().map_err(|error: jiff::Error| damaged(&error));
    let result: Option<Vec<u8>> = row.get(4)?;
    let result = result.as_deref().map(serde_json::from_slice::<RunResult>);
    Ok(RunSummary {
        id: id.parse().map_err(|error| damaged(&error))?,
        workflow: row.get(1)?,
        started_at: time(row.get(2)?)?,
        finished_at: row.get::<_, Option<String>>(3)?.map(time).transpose()?,
        result: result.transpose().map_err(|error| damaged(&error))?,
    })
}

#[cfg(test)]
mod tests;
