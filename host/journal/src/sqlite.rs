//! The journal in SQLite: one writer that commits for all runs together, readers beside it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use docket_engine::{Durability, EventStore, RunFilter, RunSummary, StoreError};
use docket_model::{Digest, Event, EventKind, RunId, RunResult};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use tokio::sync::oneshot;

use crate::codec;
use crate::schema::{self, failed};
use crate::writer::{Append, Job, Writer};

/// A journal in a database file.
///
/// One process at a time: the file beside it, named like it and ending in `.lock`, stays locked
/// while the journal is open. Dropping it waits until everything that was appended is on the disk.
pub struct SqliteStore {
    writer: Writer,
    readers: Arc<Readers>,
    /// The next event's number, for the runs that were appended to since the start; `None` once a
    /// run's end is queued. Numbers are taken under this lock, so that they are queued in order.
    heads: Mutex<HashMap<RunId, Option<u64>>>,
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
            heads: Mutex::default(),
            _lock: lock,
        })
    }

    /// The run's next number; `None` where it has ended.
    async fn head(&self, run: &RunId) -> Result<Option<u64>, StoreError> {
        let known = self
            .heads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(run)
            .copied();
        if let Some(known) = known {
            return Ok(known);
        }
        self.settle().await?;
        let id = run.clone();
        self.read(move |connection| {
            let row: Option<(i64, Option<i64>)> = connection
                .prepare_cached("SELECT events, finished_at FROM runs WHERE id = ?1")?
                .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            Ok(match row {
                None => Some(0),
                Some((events, None)) => Some(events.cast_unsigned()),
                Some((_, Some(_))) => None,
            })
        })
        .await
    }

    /// Waits until everything that was queued is committed.
    async fn settle(&self) -> Result<(), StoreError> {
        let (ack, done) = oneshot::channel();
        self.writer.place().await?.send(Job::Barrier(ack));
        done.await.map_err(|_gone| self.writer.gone())?
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.readers);
        let result = tokio::task::spawn_blocking(move || readers.with(query)).await;
        result
            .map_err(|error| StoreError::Io(error.to_string()))?
            .map_err(|error| failed(&error))
    }
}

impl Readers {
    fn with<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = match idle {
            Some(connection) => connection,
            None => Connection::open_with_flags(
                &self.path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?,
        };
        let result = query(&connection);
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        result
    }
}

/// Locks the file beside the database; the system lets go of it when the process ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let beside = path.with_extension("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside);
    let file = file.map_err(|error| StoreError::Io(format!("{}: {error}", beside.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(StoreError::InUse(path.display().to_string()))
        }
        Err(std::fs::TryLockError::Error(error)) => {
            Err(StoreError::Io(format!("{}: {error}", beside.display())))
        }
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
        let append = stored(run, first, events)?;
        let has_ended = append.finished.is_some();
        let conflict = || StoreError::Conflict(run.clone());
        let head = self.head(run).await?;
        let place = self.writer.place().await?;
        let (ack, done) = match durability {
            Durability::Ordered => (None, None),
            Durability::Synced => {
                let (ack, done) = oneshot::channel();
                (Some(ack), Some(done))
            }
        };
        {
            let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
            if *heads.get(run).unwrap_or(&head) != Some(first) {
                return Err(conflict());
            }
            let next = first + events.len() as u64;
            heads.insert(run.clone(), (!has_ended).then_some(next));
            place.send(Job::Append(append, ack));
        }
        if let Some(done) = done {
            done.await.map_err(|_gone| self.writer.gone())??;
            if has_ended {
                self.heads
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(run);
            }
        }
        Ok(())
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, StoreError> {
        self.settle().await?;
        let id = run.clone();
        let rows: Vec<(u32, Vec<u8>)> = self
            .read(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT format, body FROM events \
                         WHERE run = (SELECT number FROM runs WHERE id = ?1) ORDER BY seq",
                    )?
                    .query_map([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .await?;
        rows.iter()
            .map(|(format, body)| codec::decode(*format, body))
            .collect()
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunSummary>, StoreError> {
        self.settle().await?;
        let rows: Vec<StoredRun> = self
            .read(move |connection| {
                let sql = format!(
                    "SELECT id, workflow, started_at, finished_at, result FROM runs \
                     WHERE {} AND {} ORDER BY number DESC LIMIT ?2",
                    if filter.only_unfinished {
                        "finished_at IS NULL"
                    } else {
                        "TRUE"
                    },
                    if filter.workflow.is_some() {
                        "workflow = ?1"
                    } else {
                        "?1 IS NULL"
                    },
                );
                let limit = filter.limit.map_or(-1, i64::from);
                connection
                    .prepare_cached(&sql)?
                    .query_map(params![filter.workflow, limit], StoredRun::read)?
                    .collect()
            })
            .await?;
        rows.into_iter().map(StoredRun::into_summary).collect()
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        let (ack, done) = oneshot::channel();
        self.writer
            .place()
            .await?
            .send(Job::Blob(digest, bytes, ack));
        done.await.map_err(|_gone| self.writer.gone())??;
        Ok(digest)
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes: Option<Vec<u8>> = self
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT body FROM blobs WHERE digest = ?1")?
                    .query_row([digest.as_bytes()], |row| row.get(0))
                    .optional()
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

fn stored(run: &RunId, first: u64, events: &[Event]) -> Result<Append, StoreError> {
    let started = match events.first() {
        Some(Event {
            at,
            kind: EventKind::RunStarted { workflow, .. },
        }) if first == 0 => Some((workflow.clone(), at.as_microsecond())),
        _ if first == 0 => return Err(StoreError::Conflict(run.clone())),
        _ => None,
    };
    let finished = match events.last() {
        Some(Event {
            at,
            kind: EventKind::RunFinished { result },
        }) => {
            let result = serde_json::to_vec(result);
            let result = result.map_err(|error| StoreError::Io(error.to_string()))?;
            Some((at.as_microsecond(), result))
        }
        _ => None,
    };
    Ok(Append {
        run: run.clone(),
        first,
        bodies: events.iter().map(codec::encode).collect::<Result<_, _>>()?,
        started,
        finished,
    })
}

struct StoredRun {
    id: String,
    workflow: String,
    started_at: i64,
    finished_at: Option<i64>,
    result: Option<Vec<u8>>,
}

impl StoredRun {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            workflow: row.get(1)?,
            started_at: row.get(2)?,
            finished_at: row.get(3)?,
            result: row.get(4)?,
        })
    }

    fn into_summary(self) -> Result<RunSummary, StoreError> {
        let damaged = |what: &dyn std::fmt::Display| {
            StoreError::Damaged(format!("the run {} cannot be read: {what}", self.id))
        };
        let time = |micros| Timestamp::from_microsecond(micros).map_err(|error| damaged(&error));
        let result = self
            .result
            .as_deref()
            .map(serde_json::from_slice::<RunResult>)
            .transpose();
        Ok(RunSummary {
            id: self.id.parse().map_err(|error| damaged(&error))?,
            started_at: time(self.started_at)?,
            finished_at: self.finished_at.map(time).transpose()?,
            result: result.map_err(|error| damaged(&error))?,
            workflow: self.workflow.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind) -> Event {
        Event {
            at: Timestamp::UNIX_EPOCH,
            kind,
        }
    }

    fn started(size: usize) -> Event {
        event(EventKind::RunStarted {
            workflow: "w".to_owned(),
            plan: Digest::of(b"plan"),
            inputs: serde_json::Value::String("x".repeat(size)),
        })
    }

    #[tokio::test]
    async fn a_full_disk_loses_nothing_that_was_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let full = SqliteStore::open_with(&path, |connection| {
            connection.pragma_update(None, "max_page_count", 40)
        })
        .unwrap();
        let mut kept = Vec::new();
        let error = loop {
            let run: RunId = format!("r-{}", kept.len()).parse().unwrap();
            match full
                .append(&run, 0, &[started(10_000)], Durability::Synced)
                .await
            {
                Ok(()) => kept.push(run),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full(_)), "{error:?}");
        assert!(!kept.is_empty());
        let run = &"r-0".parse().unwrap();
        let later = full
            .append(run, 1, &[started(1)], Durability::Ordered)
            .await;
        assert!(
            matches!(later, Err(StoreError::Full(_))),
            "no gap may be left: {later:?}"
        );
        drop(full);

        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(
            store.runs(RunFilter::default()).await.unwrap().len(),
            kept.len()
        );
        for run in &kept {
            assert_eq!(store.events(run).await.unwrap(), [started(10_000)]);
        }
        store
            .append(run, 1, &[started(1)], Durability::Synced)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_newer_or_foreign_or_broken_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, change: &dyn Fn(&Path), expected: &str| {
            let path = folder.path().join(name);
            drop(SqliteStore::open(&path).unwrap());
            change(&path);
            let error = SqliteStore::open(&path).err().expect(name);
            assert!(error.to_string().contains(expected), "{name}: {error}");
        };
        let pragma = |name: &'static str, value: i32| {
            move |path: &Path| {
                Connection::open(path)
                    .unwrap()
                    .pragma_update(None, name, value)
                    .unwrap();
            }
        };
        check(
            "newer.db",
            &pragma("user_version", 99),
            "newer version of Docket",
        );
        check(
            "foreign.db",
            &pragma("application_id", 7),
            "not one of Docket's",
        );
        check(
            "broken.db",
            &|path| std::fs::write(path, [7; 9000]).unwrap(),
            "damaged",
        );
    }

    #[tokio::test]
    async fn a_second_owner_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let first = SqliteStore::open(&path).unwrap();
        assert!(matches!(
            SqliteStore::open(&path),
            Err(StoreError::InUse(_))
        ));
        drop(first);
        assert!(SqliteStore::open(&path).is_ok());
    }

    #[tokio::test]
    async fn a_damaged_event_is_an_error_and_a_newer_one_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let run: RunId = "r-1".parse().unwrap();
        let store = SqliteStore::open(&path).unwrap();
        store
            .append(&run, 0, &[started(1)], Durability::Synced)
            .await
            .unwrap();
        let other = Connection::open(&path).unwrap();
        other
            .execute("UPDATE events SET body = '{'", [])
            .unwrap_err();
        other.execute("UPDATE events SET body = x'7b'", []).unwrap();
        assert!(matches!(
            store.events(&run).await,
            Err(StoreError::Damaged(_))
        ));
        other.execute("UPDATE events SET format = 99", []).unwrap();
        assert!(matches!(
            store.events(&run).await,
            Err(StoreError::Newer { found: 99, .. })
        ));
    }
}
