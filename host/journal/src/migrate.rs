//! What becomes of the events of older databases: their chains, and what the newer columns hold.

use std::collections::BTreeSet;

use docket_engine::StoreError;
use docket_model::{Digest, EventKind, RunId};
use rusqlite::{Transaction, params};

use crate::schema::failed;
use crate::{chain, codec, references};

/// Chains the events of every run, and notes its plan and documents.
pub(crate) fn second(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    for (number, run) in runs(transaction).map_err(|error| failed(&error))? {
        let run: RunId = run
            .parse()
            .map_err(|error| StoreError::Damaged(format!("run {run}: {error}")))?;
        one(transaction, number, &run)?;
    }
    Ok(())
}

fn runs(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut statement = transaction.prepare("SELECT number, id FROM runs ORDER BY number")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn one(transaction: &Transaction<'_>, number: i64, run: &RunId) -> Result<(), StoreError> {
    let sql = |error: rusqlite::Error| failed(&error);
    let mut head = chain::start(run);
    let mut count = 0_u64;
    let mut plan: Option<Digest> = None;
    let mut ended = None;
    let mut documents = BTreeSet::new();
    let stored = {
        let mut statement = transaction
            .prepare_cached("SELECT seq, format, body FROM events WHERE run = ?1 ORDER BY seq")
            .map_err(sql)?;
        let rows = statement
            .query_map([number], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get(1)?,
                    row.get::<_, Vec<u8>>(2)?,
                ))
            })
            .map_err(sql)?;
        rows.collect::<rusqlite::Result<Vec<(i64, u32, Vec<u8>)>>>()
            .map_err(sql)?
    };
    for (seq, format, body) in stored {
        head = chain::next(head, format, &body);
        transaction
            .prepare_cached("UPDATE events SET hash = ?3 WHERE run = ?1 AND seq = ?2")
            .and_then(|mut update| update.execute(params![number, seq, head.as_bytes()]))
            .map_err(sql)?;
        let event = codec::decode(run, seq.cast_unsigned(), format, &body)?;
        references::collect(&event, &mut documents);
        match &event.kind {
            EventKind::RunStarted { plan: digest, .. } => plan = Some(*digest),
            EventKind::RunFinished { result } => {
                ended = Some((codec::state(result), event.at.as_microsecond()));
            }
            _ => {}
        }
        count += 1;
    }
    let (state, at) = ended.unzip();
    let plan = plan.map(|plan| plan.as_bytes().to_vec());
    transaction
        .prepare_cached(
            "UPDATE runs SET events = ?2, head = ?3, plan = ?4, state = ?5, ended = ?6 \
             WHERE number = ?1",
        )
        .and_then(|mut update| {
            let (count, head) = (count.cast_signed(), head.as_bytes());
            update.execute(params![number, count, head, plan, state, at])
        })
        .map_err(sql)?;
    for digest in documents {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO documents (digest, run) VALUES (?1, ?2)")
            .and_then(|mut insert| insert.execute(params![digest.as_bytes(), number]))
            .map_err(sql)?;
    }
    Ok(())
}
