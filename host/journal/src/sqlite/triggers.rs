//! What is known of triggers: how far each has come, and the items that it has seen.

use docket_engine::{Ready, StoreError, TriggerRecord};
use docket_model::RunId;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::ReadError;
use crate::append::{self, Append};

pub(super) fn record(connection: &Connection, name: &str) -> Result<TriggerRecord, ReadError> {
    let mut statement = connection
        .prepare_cached("SELECT cursor, started, last_started_at FROM cursors WHERE name = ?1")?;
    let found = statement
        .query_row([name], |row| {
            Ok(TriggerRecord {
                cursor: row.get(0)?,
                started: row.get::<_, i64>(1)?.cast_unsigned(),
                last_started_at: row
                    .get::<_, Option<i64>>(2)?
                    .and_then(|at| Timestamp::from_microsecond(at).ok()),
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

pub(super) fn item(
    connection: &Connection,
    name: &str,
    key: &str,
) -> Result<Option<RunId>, ReadError> {
    let mut statement =
        connection.prepare_cached("SELECT run FROM items WHERE name = ?1 AND key = ?2")?;
    let run: Option<String> = statement
        .query_row([name, key], |row| row.get(0))
        .optional()?;
    let run = run.map(|run| {
        let damaged = |error| StoreError::Damaged(format!("an item of {name}: {error}"));
        run.parse().map_err(damaged)
    });
    Ok(run.transpose()?)
}

pub(super) fn reset(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<bool> {
    let removed = transaction
        .prepare_cached("UPDATE cursors SET cursor = NULL WHERE name = ?1 AND cursor IS NOT NULL")?
        .execute([name])?;
    Ok(removed > 0)
}

pub(super) fn take(
    transaction: &Transaction<'_>,
    name: &str,
    cursor: Option<&str>,
    items: Vec<(Option<String>, RunId, Option<Append>)>,
) -> rusqlite::Result<Vec<Ready>> {
    let mut note = transaction
        .prepare_cached("INSERT OR IGNORE INTO items (name, key, run) VALUES (?1, ?2, ?3)")?;
    let mut ready = Vec::new();
    let (mut started, mut last): (i64, Option<i64>) = (0, None);
    for (key, run, append) in items {
        let is_new = match key {
            Some(key) => note.execute(params![name, key, run.as_str()])? > 0,
            None => true,
        };
        let Some(append) = append.filter(|_| is_new) else {
            continue;
        };
        if !append::write(transaction, &append)? {
            continue;
        }
        started += 1;
        let has_begun = append.bodies.len() > 1;
        let Some(of_run) = append.started else {
            continue;
        };
        let at: Option<Timestamp> = of_run.at.parse().ok();
        last = last.max(at.map(Timestamp::as_microsecond));
        ready.push(Ready {
            run: append.run,
            workflow: of_run.workflow,
            group: of_run.group,
            has_begun,
        });
    }
    transaction
        .prepare_cached(
            "INSERT INTO cursors (name, cursor, started, last_started_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (name) DO UPDATE SET cursor = ?2, started = started + ?3, \
             last_started_at = coalesce(?4, last_started_at)",
        )?
        .execute(params![name, cursor, started, last])?;
    Ok(ready)
}
