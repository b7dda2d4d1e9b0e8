//! Whether a run's record is what was written.

use docket_engine::Verdict;
use docket_model::{Event, EventKind, RunId, RunResult};
use rusqlite::{Connection, OptionalExtension};

use super::ReadError;
use crate::{chain, codec};

/// What a run's row says.
struct Claims {
    number: i64,
    workflow: String,
    started_at: String,
    finished_at: Option<String>,
    result: Option<Vec<u8>>,
    events: i64,
    head: Vec<u8>,
    plan: Option<Vec<u8>>,
}

pub(super) fn verify(connection: &Connection, run: &RunId) -> Result<Verdict, ReadError> {
    let Some(claims) = claims(connection, run)? else {
        return Ok(Verdict::Unknown);
    };
    let broken = |event: u64, why: &str| {
        Ok(Verdict::Broken {
            event,
            why: why.to_owned(),
        })
    };
    let mut statement = connection
        .prepare_cached("SELECT seq, format, body, hash FROM events WHERE run = ?1 ORDER BY seq")?;
    let mut rows = statement.query([claims.number])?;
    let mut head = chain::start(run);
    let mut count = 0_u64;
    let mut last = None;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(0)?.cast_unsigned() != count {
            return broken(count, "it is missing");
        }
        let (format, body): (u32, Vec<u8>) = (row.get(1)?, row.get(2)?);
        head = chain::next(head, format, &body);
        if row.get::<_, Option<Vec<u8>>>(3)?.as_deref() != Some(head.as_bytes().as_slice()) {
            return broken(count, "it is not what was written, or not in its place");
        }
        let Ok(event) = codec::decode(run, count, format, &body) else {
            return broken(count, "it cannot be read");
        };
        if count == 0 && !claims.fit_start(&event) {
            return broken(0, "the run's row says something else of its start");
        }
        last = Some(event);
        count += 1;
    }
    if count != claims.events.cast_unsigned() {
        let first = count.min(claims.events.cast_unsigned());
        let why = match count < claims.events.cast_unsigned() {
            true => "it is missing",
            false => "it was added",
        };
        return broken(first, why);
    }
    let at = count.saturating_sub(1);
    if claims.head != head.as_bytes() {
        return broken(at, "the chain ends otherwise than the run's row says");
    }
    if !last.is_some_and(|event| claims.fit_end(&event)) {
        return broken(at, "the run's row says something else of its end");
    }
    Ok(Verdict::Intact {
        events: count,
        head,
    })
}

fn claims(connection: &Connection, run: &RunId) -> Result<Option<Claims>, ReadError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, workflow, started_at, finished_at, result, events, head, plan \
         FROM runs WHERE id = ?1",
    )?;
    let claims = statement.query_row([run.as_str()], |row| {
        Ok(Claims {
            number: row.get(0)?,
            workflow: row.get(1)?,
            started_at: row.get(2)?,
            finished_at: row.get(3)?,
            result: row.get(4)?,
            events: row.get(5)?,
            head: row.get(6)?,
            plan: row.get(7)?,
        })
    });
    Ok(claims.optional()?)
}

impl Claims {
    fn fit_start(&self, event: &Event) -> bool {
        let EventKind::RunStarted { workflow, plan, .. } = &event.kind else {
            return false;
        };
        *workflow == self.workflow
            && self.started_at == event.at.to_string()
            && self.plan.as_deref() == Some(plan.as_bytes().as_slice())
    }

    fn fit_end(&self, event: &Event) -> bool {
        let EventKind::RunFinished { result } = &event.kind else {
            return self.finished_at.is_none() && self.result.is_none();
        };
        let claimed = self
            .result
            .as_deref()
            .map(serde_json::from_slice::<RunResult>);
        let is_same = matches!(claimed, Some(Ok(claimed)) if claimed == *result);
        is_same && self.finished_at == Some(event.at.to_string())
    }
}
