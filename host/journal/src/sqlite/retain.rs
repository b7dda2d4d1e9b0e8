//! What is kept, and what may go.

use docket_engine::{Durability, Prune, Reclaimed, StoreError};
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params_from_iter};

use super::{ReadError, SqliteStore};
use crate::queue::Work;

/// Removes runs, and, once there are no more to remove, the plans that none has. A plan goes with the
/// second pruning that finds it unused, since a run of it may be about to start.
pub(super) fn prune(transaction: &Transaction<'_>, filter: &Prune) -> rusqlite::Result<u64> {
    let (sql, values) = question(filter);
    let numbers = {
        let mut statement = transaction.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<i64>>>()?
    };
    for table in ["events", "waits", "documents"] {
        let mut delete =
            transaction.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?1"))?;
        for number in &numbers {
            delete.execute([number])?;
        }
    }
    let mut delete = transaction.prepare_cached("DELETE FROM runs WHERE number = ?1")?;
    for number in &numbers {
        delete.execute([number])?;
    }
    let count = numbers.len() as u64;
    if count < u64::from(filter.limit) {
        let unused = "NOT EXISTS (SELECT 1 FROM runs WHERE runs.plan = blobs.digest)";
        transaction.execute_batch(&format!(
            "DELETE FROM blobs WHERE unused = 1 AND {unused};
             UPDATE blobs SET unused = {unused} WHERE unused <> {unused};"
        ))?;
    }
    Ok(count)
}

fn question(filter: &Prune) -> (String, Vec<Value>) {
    // As one value: a statement has no room for any number of them.
    let states = serde_json::Value::from(filter.states.clone());
    let mut values = vec![
        Value::Integer(filter.ended_before.as_microsecond()),
        Value::Integer(filter.limit.into()),
        Value::Text(states.to_string()),
    ];
    let mut sql = "SELECT number FROM runs WHERE ended IS NOT NULL AND ended < ?1".to_owned();
    if let Some(workflow) = &filter.workflow {
        values.push(Value::Text(workflow.clone()));
        sql += " AND workflow = ?4";
    }
    sql += " AND +state IN (SELECT value FROM json_each(?3)) ORDER BY ended LIMIT ?2";
    (sql, values)
}

pub(super) fn uses_document(connection: &Connection, digest: &[u8]) -> Result<bool, ReadError> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM documents WHERE digest = ?1 LIMIT 1")?;
    Ok(statement.exists([digest])?)
}

/// How many pages go back to the disk in one transaction.
const PIECE: u32 = 2_000;

/// Gives free pages back to the disk.
pub(super) async fn reclaim(store: &SqliteStore) -> Result<Reclaimed, StoreError> {
    store.settle().await;
    let look = || store.read(|connection| Ok(room(connection)?));
    let before = look().await?;
    if before.free == 0 {
        return Ok(Reclaimed::default());
    }
    if before.is_incremental {
        let mut free = before.free;
        loop {
            let piece = store.writer.change(Durability::Ordered, give_back);
            let left = piece.await?.free;
            // There is nothing more, or nothing more can be given back.
            if left == 0 || left >= free {
                break;
            }
            free = left;
        }
        store.writer.write(Work::Checkpoint).await?;
    } else {
        // An older journal learns to do it in pieces by being written anew, once.
        store.writer.write(Work::Vacuum).await?;
    }
    let after = look().await?;
    Ok(Reclaimed {
        freed: before.size().saturating_sub(after.size()),
        free: after.free.saturating_mul(after.page),
    })
}

/// The room that a database takes, in pages.
struct Room {
    pages: u64,
    /// Of these, the ones without anything in them.
    free: u64,
    /// The bytes of a page.
    page: u64,
    /// Whether free pages can be given back piece by piece.
    is_incremental: bool,
}

impl Room {
    /// In bytes.
    const fn size(&self) -> u64 {
        self.pages.saturating_mul(self.page)
    }
}

fn room(connection: &Connection) -> rusqlite::Result<Room> {
    let read = |name: &str| -> rusqlite::Result<u64> {
        let number: i64 = connection.pragma_query_value(None, name, |row| row.get(0))?;
        Ok(number.cast_unsigned())
    };
    Ok(Room {
        pages: read("page_count")?,
        free: read("freelist_count")?,
        page: read("page_size")?,
        is_incremental: read("auto_vacuum")? == 2,
    })
}

/// Gives some of the free pages back, and says what is left.
fn give_back(transaction: &Transaction<'_>) -> rusqlite::Result<Room> {
    let mut statement = transaction.prepare(&format!("PRAGMA incremental_vacuum({PIECE})"))?;
    // Each step gives back one page.
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    room(transaction)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn plan() -> (String, &'static str) {
        let filter = Prune {
            ended_before: jiff::Timestamp::UNIX_EPOCH,
            states: vec!["failed".to_owned()],
            workflow: None,
            limit: 1,
        };
        (question(&filter).0, "runs_ended")
    }
}
