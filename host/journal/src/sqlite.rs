//! The journal in SQLite: one writer that commits for all runs together, readers beside it.

mod audit;
mod look;
mod parked;
mod retain;
mod triggers;

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use docket_engine::{
    Appending, Counts, Durability, EventStore, NewItem, Prune, Ready, Reclaimed, Rest, RunFilter,
    RunSummary, SignInNeeded, StoreError, TriggerRecord, Verdict, WaitFilter, Waiting,
};
use docket_model::{Account, Digest, Event, RunId, RunResult};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use crate::append::Append;
use crate::codec;
use crate::queue::Work;
use crate::schema::{self, failed};
use crate::writer::Writer;
pub use look::{JournalView, Looked};
use parked::Raw;

/// How many connections for reading are kept open.
const IDLE_READERS: usize = 8;

/// A journal in a database file.
///
/// One process at a time: the file beside it, named like it and ending in `.lock`, stays locked
/// while the journal is open. Dropping it waits until everything that was appended is on the disk.
pub struct SqliteStore {
    writer: Writer,
    readers: Arc<Readers>,
    blobs: Mutex<KnownBlobs>,
    /// Dropped last, so that the next owner finds the writer at rest.
    _lock: File,
}

/// Blobs that were there when somebody last looked, since the last prune.
#[derive(Default)]
struct KnownBlobs {
    digests: HashSet<Digest>,
    /// How often a prune began or ended.
    prunes: u64,
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
            blobs: Mutex::default(),
            readers: Arc::new(Readers {
                path: path.to_owned(),
                idle: Mutex::default(),
            }),
            _lock: lock,
        })
    }

    /// Writes a copy of the database as it is now into a file that does not exist yet. Runs go on
    /// meanwhile.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) async fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        self.settle().await;
        let file = file.to_string_lossy().into_owned();
        self.read(move |connection| {
            connection.execute("VACUUM INTO ?1", [file])?;
            Ok(())
        })
        .await
    }

    /// Waits until everything that was queued is committed. A writer that failed has nothing left
    /// to wait for, and what it committed before can be read.
    async fn settle(&self) {
        let _ = self.writer.write(Work::Barrier).await;
    }

    /// Waits until everything that was queued of this run is committed.
    async fn settle_run(&self, run: &RunId) {
        if !self.writer.has_all_of(run) {
            self.settle().await;
        }
    }

    fn blobs(&self) -> MutexGuard<'_, KnownBlobs> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that a blob is there, unless there was a prune since so many.
    fn know_blob(&self, digest: Digest, prunes: u64) {
        let mut blobs = self.blobs();
        if blobs.prunes == prunes {
            blobs.digests.insert(digest);
        }
    }

    fn forget_blobs(&self) {
        let mut blobs = self.blobs();
        blobs.prunes += 1;
        blobs.digests.clear();
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.readers);
        let result = tokio::task::spawn_blocking(move || readers.with(query)).await;
        let result = result.map_err(|error| StoreError::Io(error.to_string()))?;
        Ok(result?)
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

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Sqlite(error) => failed(&error),
            ReadError::Store(error) => error,
        }
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

/// The file beside a database whose lock makes its holder the owner.
fn lock_file(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

/// Locks the file beside the database; the system lets go of it when the process ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let beside = lock_file(path);
    let failed = |error: std::io::Error| StoreError::Io(format!("{}: {error}", beside.display()));
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            // For people alone, who look for the owner: the lock counts without it.
            let _ = file
                .set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(in_use(path))),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// What to say of a journal that another process has open.
fn in_use(path: &Path) -> String {
    let path_text = path.display();
    let owner = std::fs::read_to_string(lock_file(path)).ok();
    match owner.and_then(|text| text.trim().parse::<u32>().ok()) {
        Some(id) => format!("{path_text} (process {id})"),
        None => path_text.to_string(),
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn submit(
        &self,
        run: &RunId,
        first: u64,
        events: &[Event],
        durability: Durability,
    ) -> Result<Appending, StoreError> {
        let append = Append::new(run, first, events, durability)?;
        let done = self.writer.submit(Work::Append(Box::new(append))).await?;
        Ok(Box::pin(done))
    }

    async fn events_from(&self, run: &RunId, first: u64) -> Result<Vec<Event>, StoreError> {
        self.settle_run(run).await;
        let run = run.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT seq, format, body FROM events \
                 WHERE run = (SELECT number FROM runs WHERE id = ?1) AND seq >= ?2 ORDER BY seq",
            )?;
            // What is beyond all numbers is beyond all events.
            let from = i64::try_from(first).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![run.as_str(), from])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                let seq = row.get::<_, i64>(0)?.cast_unsigned();
                let next = first + events.len() as u64;
                if seq != next {
                    let what = format!("event {next} of run {run} is missing");
                    return Err(StoreError::Damaged(what).into());
                }
                let body = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
                events.push(codec::decode(&run, seq, row.get(1)?, body)?);
            }
            Ok(events)
        })
        .await
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunSummary>, StoreError> {
        self.settle_run(run).await;
        let run = run.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{SUMMARY} WHERE id = ?1"))?;
            let mut rows = statement.query([run.as_str()])?;
            rows.next()?.map(summary).transpose()
        })
        .await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunSummary>, StoreError> {
        self.settle().await;
        self.read(move |connection| runs(connection, &filter)).await
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        let prunes = {
            let blobs = self.blobs();
            if blobs.digests.contains(&digest) {
                return Ok(digest);
            }
            blobs.prunes
        };
        // Blobs are committed with a sync before anybody can see them: one that is there is durable.
        if self
            .read(move |connection| has_blob(connection, digest))
            .await?
        {
            self.know_blob(digest, prunes);
            return Ok(digest);
        }
        let put = self.writer.change(Durability::Synced, move |transaction| {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO blobs (digest, body) VALUES (?1, ?2) \
                 ON CONFLICT (digest) DO UPDATE SET unused = 0",
            )?;
            insert.execute(params![digest.as_bytes(), bytes])
        });
        put.await?;
        self.know_blob(digest, prunes);
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

    async fn park(&self, run: &RunId, events: u64, rest: &Rest) -> Result<bool, StoreError> {
        let (wake_at, steps) = parked::stored(rest)?;
        let run = run.clone();
        let park = self.writer.change(Durability::Ordered, move |transaction| {
            parked::park(transaction, &run, events, wake_at, &steps)
        });
        park.await
    }

    async fn waiting(&self, filter: WaitFilter) -> Result<Vec<Waiting>, StoreError> {
        self.settle().await;
        self.read(move |connection| parked::waiting(connection, &filter))
            .await
    }

    async fn sign_ins_needed(&self, of: Option<&Account>) -> Result<Vec<SignInNeeded>, StoreError> {
        self.settle().await;
        let of = of.cloned();
        self.read(move |connection| parked::sign_ins_needed(connection, of.as_ref()))
            .await
    }

    async fn ready(&self) -> Result<Vec<Ready>, StoreError> {
        self.settle().await;
        self.read(|connection| parked::ready(connection, false))
            .await
    }

    async fn parked_in_groups(&self) -> Result<Vec<Ready>, StoreError> {
        self.settle().await;
        self.read(|connection| parked::ready(connection, true))
            .await
    }

    async fn wake(&self, now: Timestamp, limit: u32) -> Result<Vec<Ready>, StoreError> {
        let wake = self.writer.change(Durability::Ordered, move |transaction| {
            parked::wake(transaction, now, limit)
        });
        Raw::all(wake.await?)
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.settle().await;
        self.read(parked::next_wake).await
    }

    async fn signed_in(&self, account: &Account) -> Result<(u64, Vec<Ready>), StoreError> {
        let account = account.clone();
        let change = self.writer.change(Durability::Synced, move |transaction| {
            parked::signed_in(transaction, &account)
        });
        let (count, ready) = change.await?;
        Ok((count, Raw::all(ready)?))
    }

    async fn sign_ins(&self, account: &Account) -> Result<u64, StoreError> {
        self.settle().await;
        let account = account.clone();
        self.read(move |connection| parked::sign_ins(connection, &account))
            .await
    }

    async fn verify(&self, run: &RunId) -> Result<Verdict, StoreError> {
        self.settle().await;
        let run = run.clone();
        self.read(move |connection| audit::verify(connection, &run))
            .await
    }

    async fn trigger(&self, trigger: &str) -> Result<TriggerRecord, StoreError> {
        self.settle().await;
        let trigger = trigger.to_owned();
        self.read(move |connection| triggers::record(connection, &trigger))
            .await
    }

    async fn item(&self, trigger: &str, key: &str) -> Result<Option<RunId>, StoreError> {
        self.settle().await;
        let (trigger, key) = (trigger.to_owned(), key.to_owned());
        self.read(move |connection| triggers::item(connection, &trigger, &key))
            .await
    }

    async fn reset_trigger(&self, trigger: &str) -> Result<bool, StoreError> {
        let trigger = trigger.to_owned();
        let reset = self.writer.change(Durability::Synced, move |transaction| {
            triggers::reset(transaction, &trigger)
        });
        reset.await
    }

    async fn take_items(
        &self,
        trigger: &str,
        cursor: Option<&str>,
        items: Vec<NewItem>,
    ) -> Result<Vec<Ready>, StoreError> {
        let items = items
            .into_iter()
            .map(|NewItem { key, run, events }| {
                let append = match events.is_empty() {
                    true => None,
                    false => Some(Append::new(&run, 0, &events, Durability::Synced)?),
                };
                Ok((key, run, append))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let (trigger, cursor) = (trigger.to_owned(), cursor.map(str::to_owned));
        let change = self.writer.change(Durability::Synced, move |transaction| {
            triggers::take(transaction, &trigger, cursor.as_deref(), items)
        });
        change.await
    }

    async fn prune(&self, filter: Prune) -> Result<u64, StoreError> {
        self.forget_blobs();
        let prune = self.writer.change(Durability::Synced, move |transaction| {
            retain::prune(transaction, &filter)
        });
        let pruned = prune.await;
        self.forget_blobs();
        pruned
    }

    async fn uses_document(&self, digest: Digest) -> Result<bool, StoreError> {
        self.settle().await;
        self.read(move |connection| retain::uses_document(connection, digest.as_bytes()))
            .await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.settle().await;
        self.read(parked::counts).await
    }

    async fn reclaim(&self) -> Result<Reclaimed, StoreError> {
        retain::reclaim(self).await
    }
}

const SUMMARY: &str = "SELECT id, workflow, started_at, finished_at, result, events, head, parked, \
                       group_key, group_max FROM runs";

fn runs(connection: &Connection, filter: &RunFilter) -> Result<Vec<RunSummary>, ReadError> {
    let limit = filter.limit.map_or(-1, i64::from);
    let mut statement = connection.prepare_cached(&runs_sql(filter))?;
    let before = filter.before.as_ref().map(RunId::as_str);
    let mut rows = statement.query(params![filter.workflow, limit, before])?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        runs.push(summary(row)?);
    }
    Ok(runs)
}

/// Constant conditions, so that each combination has its index.
fn runs_sql(filter: &RunFilter) -> String {
    let unfinished = match filter.only_unfinished {
        true => "finished_at IS NULL",
        false => "TRUE",
    };
    let workflow = match filter.workflow {
        Some(_) => "workflow = ?1",
        None => "?1 IS NULL",
    };
    let before = match filter.before {
        Some(_) => "number < (SELECT number FROM runs WHERE id = ?3)",
        None => "?3 IS NULL",
    };
    format!(
        "{SUMMARY} WHERE {unfinished} AND {workflow} AND {before} ORDER BY number DESC LIMIT ?2"
    )
}

fn has_blob(connection: &Connection, digest: Digest) -> Result<bool, ReadError> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM blobs WHERE digest = ?1 AND unused = 0")?;
    Ok(statement.exists([digest.as_bytes()])?)
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
        events: row.get::<_, i64>(5)?.cast_unsigned(),
        head: Digest::from_bytes(row.get(6)?),
        is_parked: row.get(7)?,
        group: parked::group(row.get(8)?, row.get(9)?),
    })
}

#[cfg(test)]
mod tests;
