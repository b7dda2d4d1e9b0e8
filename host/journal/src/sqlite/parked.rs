//! Runs that wait, and runs that are ready: rows, each found by an index.

use std::collections::{BTreeMap, BTreeSet};

use docket_engine::{
    Counts, Ready, Rest, RestingStep, SignInNeeded, StoreError, WaitFilter, Waiting, shows_begun,
};
use docket_model::{Account, Failure, RunGroup, RunId, StepPath, Wait, WaitFor};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::ReadError;
use crate::codec;

const READY: &str = "SELECT id, workflow, group_key, group_max, number, events FROM runs";

/// A step that waits, in its stored form.
pub(super) struct Stored {
    path: String,
    kind: &'static str,
    account: Option<Account>,
    seen: Option<i64>,
    since: i64,
    body: Vec<u8>,
}

pub(super) fn stored(rest: &Rest) -> Result<(Option<i64>, Vec<Stored>), StoreError> {
    let steps = rest.steps.iter().map(|step| {
        let body = serde_json::to_vec(&(&step.path, &step.wait));
        let seen = match &step.wait.on {
            WaitFor::SignIn { seen, .. } => Some(seen.cast_signed()),
            _ => None,
        };
        Ok(Stored {
            path: step.path.to_string(),
            kind: step.wait.on.kind(),
            account: step.wait.on.account().cloned(),
            seen,
            since: step.since.as_microsecond(),
            body: body.map_err(|error| StoreError::Io(error.to_string()))?,
        })
    });
    // Rounded up: nothing is woken before its time.
    let latest = Timestamp::MAX.as_microsecond();
    let micros = |at: Timestamp| at.as_microsecond().saturating_add(1).min(latest);
    let wake_at = rest.wake_at.map(micros);
    Ok((wake_at, steps.collect::<Result<_, StoreError>>()?))
}

pub(super) fn park(
    transaction: &Transaction<'_>,
    run: &RunId,
    events: u64,
    wake_at: Option<i64>,
    steps: &[Stored],
) -> rusqlite::Result<bool> {
    let number: Option<i64> = transaction
        .prepare_cached(
            "SELECT number FROM runs WHERE id = ?1 AND events = ?2 AND finished_at IS NULL",
        )?
        .query_row(params![run.as_str(), events.cast_signed()], |row| {
            row.get(0)
        })
        .optional()?;
    let Some(number) = number else {
        return Ok(false);
    };
    for step in steps {
        if let Some((account, seen)) = step.account.as_ref().zip(step.seen)
            && count_with_all(transaction, account)? > seen
        {
            return Ok(false);
        }
    }
    transaction
        .prepare_cached("DELETE FROM waits WHERE run = ?1")?
        .execute([number])?;
    transaction
        .prepare_cached("UPDATE runs SET parked = 1, wake_at = ?2 WHERE number = ?1")?
        .execute(params![number, wake_at])?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO waits (run, path, kind, account, seen, since, body) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for step in steps {
        let Stored {
            path,
            kind,
            account,
            seen,
            since,
            body,
        } = step;
        let account = account.as_ref().map(ToString::to_string);
        insert.execute(params![number, path, kind, account, seen, since, body])?;
    }
    Ok(true)
}

fn count(connection: &Connection, account: &str) -> rusqlite::Result<i64> {
    let count = connection
        .prepare_cached("SELECT count FROM sign_ins WHERE account = ?1")?
        .query_row([account], |row| row.get(0))
        .optional()?;
    Ok(count.unwrap_or(0))
}

/// The sign-ins of an account and those of its whole connection.
fn count_with_all(connection: &Connection, account: &Account) -> rusqlite::Result<i64> {
    let own = count(connection, &account.to_string())?;
    Ok(match account.user {
        Some(_) => own + count(connection, &account.of_connection().to_string())?,
        None => own,
    })
}

pub(super) fn sign_ins(connection: &Connection, account: &Account) -> Result<u64, ReadError> {
    Ok(count(connection, &account.to_string())?.cast_unsigned())
}

pub(super) fn signed_in(
    transaction: &Transaction<'_>,
    account: &Account,
) -> rusqlite::Result<(u64, Vec<Raw>)> {
    let name = account.to_string();
    transaction
        .prepare_cached(
            "INSERT INTO sign_ins (account, count) VALUES (?1, 1) \
             ON CONFLICT (account) DO UPDATE SET count = count + 1",
        )?
        .execute([&name])?;
    let count = count(transaction, &name)?.cast_unsigned();
    let numbers = {
        let mut statement = transaction.prepare_cached(match account.user {
            Some(_) => WAIT_FOR_ONE,
            None => WAIT_FOR_ANY,
        })?;
        let rows = statement.query_map([&name], |row| row.get(0))?;
        // A run has a row for each of its steps.
        rows.collect::<rusqlite::Result<BTreeSet<i64>>>()?
    };
    Ok((count, make_ready(transaction, numbers)?))
}

const WAIT_FOR_ONE: &str = "SELECT run FROM waits WHERE account = ?1";
/// An account is written as its connection, and its user after a space; `!` comes next to that.
const WAIT_FOR_ANY: &str = "SELECT run FROM waits WHERE account = ?1 \
                            UNION ALL SELECT run FROM waits \
                            WHERE account >= ?1 || ' ' AND account < ?1 || '!'";

pub(super) fn wake(
    transaction: &Transaction<'_>,
    now: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<Raw>> {
    let numbers = {
        let mut statement = transaction.prepare_cached(TO_WAKE)?;
        let rows = statement.query_map(params![now.as_microsecond(), limit], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<i64>>>()?
    };
    make_ready(transaction, numbers)
}

const TO_WAKE: &str =
    "SELECT number FROM runs WHERE wake_at IS NOT NULL AND wake_at <= ?1 ORDER BY wake_at LIMIT ?2";

fn make_ready(
    transaction: &Transaction<'_>,
    numbers: impl IntoIterator<Item = i64>,
) -> rusqlite::Result<Vec<Raw>> {
    let mut update = transaction
        .prepare_cached("UPDATE runs SET parked = 0, wake_at = NULL WHERE number = ?1")?;
    let mut delete = transaction.prepare_cached("DELETE FROM waits WHERE run = ?1")?;
    let mut select = transaction.prepare_cached(&format!("{READY} WHERE number = ?1"))?;
    let mut ready = Vec::new();
    for number in numbers {
        update.execute([number])?;
        delete.execute([number])?;
        let raw = select.query_row([number], Raw::of)?;
        // What waited was driven before.
        ready.push(Raw {
            has_begun: true,
            ..raw
        });
    }
    Ok(ready)
}

pub(super) fn next_wake(connection: &Connection) -> Result<Option<Timestamp>, ReadError> {
    let mut statement = connection.prepare_cached(NEXT_WAKE)?;
    let next: Option<i64> = statement.query_row([], |row| row.get(0))?;
    // The last moment of all has no whole microsecond.
    Ok(next.map(|next| Timestamp::from_microsecond(next).unwrap_or(Timestamp::MAX)))
}

const NEXT_WAKE: &str = "SELECT min(wake_at) FROM runs WHERE wake_at IS NOT NULL";

pub(super) fn ready(connection: &Connection, is_parked: bool) -> Result<Vec<Ready>, ReadError> {
    let mut statement =
        connection.prepare_cached(&format!("{READY} WHERE {}", which(is_parked)))?;
    let rows = statement.query_map([], Raw::of)?;
    let mut rows = rows.collect::<rusqlite::Result<Vec<Raw>>>()?;
    for raw in &mut rows {
        raw.has_begun = match raw.max {
            _ if is_parked => true,
            // A hundred thousand may stand aside, and of those that only started nothing is read.
            Some(_) if raw.events > 1 => has_begun(connection, raw)?,
            _ => raw.events > 1,
        };
    }
    Ok(Raw::all(rows)?)
}

/// Whether a run was driven since it was started or resumed, by its last events.
fn has_begun(connection: &Connection, raw: &Raw) -> Result<bool, ReadError> {
    let run: RunId = raw.run()?;
    let mut statement = connection.prepare_cached(LAST_EVENTS)?;
    let mut rows = statement.query([raw.number])?;
    while let Some(row) = rows.next()? {
        let seq = row.get::<_, i64>(0)?.cast_unsigned();
        let body = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let event = codec::decode(&run, seq, row.get(1)?, body)?;
        if let Some(has_begun) = shows_begun(&event.kind) {
            return Ok(has_begun);
        }
    }
    Ok(false)
}

const LAST_EVENTS: &str = "SELECT seq, format, body FROM events WHERE run = ?1 ORDER BY seq DESC";

const fn which(is_parked: bool) -> &'static str {
    match is_parked {
        false => "finished_at IS NULL AND parked = 0 ORDER BY number",
        true => "finished_at IS NULL AND parked = 1 AND group_max IS NOT NULL ORDER BY number",
    }
}

/// A run that is ready, as its row has it.
pub(super) struct Raw {
    id: String,
    workflow: String,
    key: Option<String>,
    max: Option<u32>,
    number: i64,
    events: i64,
    has_begun: bool,
}

impl Raw {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            workflow: row.get(1)?,
            key: row.get(2)?,
            max: row.get(3)?,
            number: row.get(4)?,
            events: row.get(5)?,
            has_begun: false,
        })
    }

    fn run(&self) -> Result<RunId, StoreError> {
        let damaged = |error| StoreError::Damaged(format!("the run {}: {error}", self.id));
        self.id.parse().map_err(damaged)
    }

    pub(super) fn all(rows: Vec<Self>) -> Result<Vec<Ready>, StoreError> {
        let one = |raw: Self| {
            Ok(Ready {
                run: raw.run()?,
                workflow: raw.workflow,
                group: group(raw.key, raw.max),
                has_begun: raw.has_begun,
            })
        };
        rows.into_iter().map(one).collect()
    }
}

pub(super) fn group(key: Option<String>, max: Option<u32>) -> Option<RunGroup> {
    let key = key.unwrap_or_default();
    max.map(|max| RunGroup { key, max })
}

pub(super) fn waiting(
    connection: &Connection,
    filter: &WaitFilter,
) -> Result<Vec<Waiting>, ReadError> {
    let mut statement = connection.prepare_cached(&waiting_sql(filter))?;
    let account = filter.account.as_ref().map(ToString::to_string);
    let limit = filter.limit.map_or(-1, i64::from);
    let run = filter.run.as_ref().map(RunId::as_str);
    let mut rows = statement.query(params![run, filter.kind, account, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let damaged = |what: &dyn std::fmt::Display| {
            StoreError::Damaged(format!("what the run {id} waits for: {what}"))
        };
        let body: Vec<u8> = row.get(3)?;
        let (path, wait): (StepPath, Wait) =
            serde_json::from_slice(&body).map_err(|error| damaged(&error))?;
        let since = Timestamp::from_microsecond(row.get(2)?).map_err(|error| damaged(&error))?;
        found.push(Waiting {
            run: id.parse().map_err(|error| damaged(&error))?,
            workflow: row.get(1)?,
            step: RestingStep { path, since, wait },
        });
    }
    Ok(found)
}

pub(super) fn sign_ins_needed(
    connection: &Connection,
    of: Option<&Account>,
) -> Result<Vec<SignInNeeded>, ReadError> {
    let mut statement = connection.prepare_cached(&needed_sql(of.is_some()))?;
    let name = of.map(ToString::to_string);
    let mut rows = match &name {
        Some(name) => statement.query([name])?,
        None => statement.query([])?,
    };
    let mut found: Vec<SignInNeeded> = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let account = match name.split_once(' ') {
            Some((connection, user)) => Account::new(connection, Some(user)),
            None => Account::new(&name, None),
        };
        let (workflow, runs) = (row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned());
        let moment = |error: jiff::Error| {
            StoreError::Damaged(format!("what waits for the sign-in of {name}: {error}"))
        };
        let since = Timestamp::from_microsecond(row.get(3)?).map_err(moment)?;
        let until: Option<String> = row.get(4)?;
        let until = until.map(|until| format!("{until}Z").parse()).transpose();
        let until: Option<Timestamp> = until.map_err(moment)?;
        // The rows of an account come together.
        let is_new = found.last().is_none_or(|last| last.account != account);
        if is_new {
            found.push(SignInNeeded {
                failure: longest(connection, &name)?,
                account,
                since,
                until: None,
                runs: BTreeMap::new(),
            });
        }
        if let Some(one) = found.last_mut() {
            one.since = one.since.min(since);
            one.until = [one.until, until].into_iter().flatten().min();
            one.runs.insert(workflow, runs);
        }
    }
    found.sort_by_key(|one| one.since);
    Ok(found)
}

/// What the wait for an account was told that waits longest.
fn longest(connection: &Connection, account: &str) -> Result<Failure, ReadError> {
    let body: Vec<u8> = connection
        .prepare_cached(LONGEST)?
        .query_row([account], |row| row.get(0))?;
    match serde_json::from_slice(&body) {
        Ok((
            StepPath { .. },
            Wait {
                on: WaitFor::SignIn { failure, .. },
                ..
            },
        )) => Ok(failure),
        Ok(_) => Err(StoreError::Damaged(format!("a wait for {account} is none")).into()),
        Err(error) => Err(StoreError::Damaged(format!("a wait for {account}: {error}")).into()),
    }
}

const LONGEST: &str = "SELECT body FROM waits WHERE account = ?1 ORDER BY since LIMIT 1";

/// The moments in bodies are in UTC, and without the `Z` at their ends the earlier ones come first.
fn needed_sql(is_of_one: bool) -> String {
    let which = match is_of_one {
        true => "waits.account = ?1",
        false => "waits.account IS NOT NULL",
    };
    format!(
        "SELECT waits.account, runs.workflow, count(DISTINCT waits.run), min(waits.since), \
         min(rtrim(json_extract(CAST(waits.body AS TEXT), '$[1].until'), 'Z')) \
         FROM waits JOIN runs ON runs.number = waits.run WHERE {which} \
         GROUP BY waits.account, runs.workflow"
    )
}

pub(super) fn counts(connection: &Connection) -> Result<Counts, ReadError> {
    let ready: i64 = connection
        .prepare_cached(COUNT_READY)?
        .query_row([], |row| row.get(0))?;
    let mut statement = connection.prepare_cached(COUNT_WAITS)?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
    })?;
    Ok(Counts {
        ready: ready.cast_unsigned(),
        waiting: rows.collect::<rusqlite::Result<_>>()?,
    })
}

const COUNT_READY: &str = "SELECT count(*) FROM runs WHERE finished_at IS NULL AND parked = 0";
const COUNT_WAITS: &str = "SELECT kind, count(*) FROM waits GROUP BY kind";

fn waiting_sql(filter: &WaitFilter) -> String {
    // Constant conditions, so that each combination has its index.
    let of = |is_asked, condition: &'static str, parameter: &str| match is_asked {
        true => condition.to_owned(),
        false => format!("{parameter} IS NULL"),
    };
    format!(
        "SELECT runs.id, runs.workflow, waits.since, waits.body FROM waits \
         JOIN runs ON runs.number = waits.run \
         WHERE {} AND {} AND {} ORDER BY waits.since LIMIT ?4",
        of(
            filter.run.is_some(),
            "waits.run = (SELECT number FROM runs WHERE id = ?1)",
            "?1"
        ),
        of(filter.kind.is_some(), "waits.kind = ?2", "?2"),
        of(filter.account.is_some(), "waits.account = ?3", "?3"),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Those that group what the index of accounts finds, in a table of their own.
    pub(crate) fn grouping() -> [String; 2] {
        [needed_sql(true), needed_sql(false)]
    }

    /// Each question with the index that must answer it.
    pub(crate) fn plans() -> Vec<(String, &'static str)> {
        let all = WaitFilter::default;
        vec![
            (TO_WAKE.to_owned(), "runs_to_wake"),
            (NEXT_WAKE.to_owned(), "runs_to_wake"),
            (format!("{READY} WHERE {}", which(false)), "runs_ready"),
            (format!("{READY} WHERE {}", which(true)), "runs_in_groups"),
            (COUNT_READY.to_owned(), "runs_ready"),
            (COUNT_WAITS.to_owned(), "waits_by_kind"),
            (WAIT_FOR_ONE.to_owned(), "waits_by_account"),
            (WAIT_FOR_ANY.to_owned(), "waits_by_account"),
            (LONGEST.to_owned(), "waits_by_account"),
            (waiting_sql(&all()), "waits_by_age"),
            (
                waiting_sql(&WaitFilter {
                    kind: Some("approval".to_owned()),
                    ..all()
                }),
                "waits_by_kind",
            ),
            (
                waiting_sql(&WaitFilter {
                    account: Some(Account::new("c", None)),
                    ..all()
                }),
                "waits_by_account",
            ),
        ]
    }
}
