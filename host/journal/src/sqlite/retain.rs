//! What is kept, and what may go.

use docket_engine::Prune;
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params_from_iter};

use super::ReadError;

/// Removes runs, and then the plans that none has. A plan goes with the second pruning that finds it
/// unused, since a run of it may be about to start.
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
    let unused = "NOT EXISTS (SELECT 1 FROM runs WHERE runs.plan = blobs.digest)";
    transaction.execute_batch(&format!(
        "DELETE FROM blobs WHERE unused = 1 AND {unused};
         UPDATE blobs SET unused = {unused};"
    ))?;
    Ok(numbers.len() as u64)
}

fn question(filter: &Prune) -> (String, Vec<Value>) {
    let mut values = vec![
        Value::Integer(filter.ended_before.as_microsecond()),
        Value::Integer(filter.limit.into()),
    ];
    let mut sql = "SELECT number FROM runs WHERE ended IS NOT NULL AND ended < ?1".to_owned();
    if let Some(workflow) = &filter.workflow {
        values.push(Value::Text(workflow.clone()));
        sql += &format!(" AND workflow = ?{}", values.len());
    }
    let mut places = Vec::new();
    for state in &filter.states {
        values.push(Value::Text(state.clone()));
        places.push(format!("?{}", values.len()));
    }
    sql += &format!(
        " AND +state IN ({}) ORDER BY ended LIMIT ?2",
        places.join(", ")
    );
    (sql, values)
}

pub(super) fn uses_document(connection: &Connection, digest: &[u8]) -> Result<bool, ReadError> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM documents WHERE digest = ?1 LIMIT 1")?;
    Ok(statement.exists([digest])?)
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
