//! Events of a run on their way into the tables.

use std::collections::BTreeSet;

use docket_engine::{Durability, StoreError};
use docket_model::{Digest, Event, EventKind, FORMAT, RunGroup, RunId};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::{chain, codec, references};

/// Events of a run in their stored form.
pub(crate) struct Append {
    pub(crate) run: RunId,
    pub(crate) first: u64,
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) durability: Durability,
    /// With a run's first event.
    pub(crate) started: Option<Started>,
    /// Whether the first event lets an ended run go on.
    pub(crate) is_resumed: bool,
    /// With a run's last event.
    pub(crate) finished: Option<Finished>,
    /// The documents that the events name.
    pub(crate) documents: BTreeSet<Digest>,
}

/// What a run's row says from its start on.
pub(crate) struct Started {
    pub(crate) workflow: String,
    /// RFC 3339.
    pub(crate) at: String,
    pub(crate) plan: Digest,
    pub(crate) group: Option<RunGroup>,
}

/// What a run's row says once it has ended.
pub(crate) struct Finished {
    pub(crate) at: Timestamp,
    pub(crate) state: &'static str,
    /// JSON.
    pub(crate) result: Vec<u8>,
}

impl Append {
    /// The stored form of a run's events from `first` on.
    pub(crate) fn new(
        run: &RunId,
        first: u64,
        events: &[Event],
        durability: Durability,
    ) -> Result<Self, StoreError> {
        let started = match events.first() {
            Some(Event {
                at,
                kind:
                    EventKind::RunStarted {
                        workflow,
                        plan,
                        group,
                        ..
                    },
            }) => Some(Started {
                workflow: workflow.clone(),
                at: at.to_string(),
                plan: *plan,
                group: group.clone(),
            }),
            _ => None,
        };
        let finished = match events.last() {
            Some(Event {
                at,
                kind: EventKind::RunFinished { result },
            }) => {
                let stored = serde_json::to_vec(result);
                Some(Finished {
                    at: *at,
                    state: codec::state(result),
                    result: stored.map_err(|error| StoreError::Io(error.to_string()))?,
                })
            }
            _ => None,
        };
        let mut documents = BTreeSet::new();
        for event in events {
            references::collect(event, &mut documents);
        }
        let first_kind = events.first().map(|event| &event.kind);
        Ok(Self {
            run: run.clone(),
            first,
            bodies: events.iter().map(codec::encode).collect::<Result<_, _>>()?,
            durability,
            started,
            is_resumed: matches!(first_kind, Some(EventKind::RunResumed)),
            finished,
            documents,
        })
    }
}

/// Writes an append unless it conflicts.
pub(crate) fn write(transaction: &Transaction<'_>, append: &Append) -> rusqlite::Result<bool> {
    let Some(place) = place(transaction, append)? else {
        return Ok(false);
    };
    let mut head = place.head;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO events (run, seq, format, body, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut next = append.first;
    for body in &append.bodies {
        head = chain::next(head, FORMAT, body);
        let seq = next.cast_signed();
        insert.execute(params![place.number, seq, FORMAT, body, head.as_bytes()])?;
        next += 1;
    }
    let advance = match place.is_parked {
        true => {
            "UPDATE runs SET events = ?2, head = ?3, parked = 0, wake_at = NULL WHERE number = ?1"
        }
        // Columns that no index has, so that no page of an index is written.
        false => "UPDATE runs SET events = ?2, head = ?3 WHERE number = ?1",
    };
    transaction.prepare_cached(advance)?.execute(params![
        place.number,
        next.cast_signed(),
        head.as_bytes()
    ])?;
    if place.is_parked {
        transaction
            .prepare_cached("DELETE FROM waits WHERE run = ?1")?
            .execute([place.number])?;
    }
    if !append.documents.is_empty() {
        let mut insert = transaction
            .prepare_cached("INSERT OR IGNORE INTO documents (digest, run) VALUES (?1, ?2)")?;
        for digest in &append.documents {
            insert.execute(params![digest.as_bytes(), place.number])?;
        }
    }
    if append.finished.is_some() || append.is_resumed {
        let finished = append.finished.as_ref();
        transaction
            .prepare_cached(
                "UPDATE runs SET finished_at = ?2, result = ?3, state = ?4, ended = ?5 \
                 WHERE number = ?1",
            )?
            .execute(params![
                place.number,
                finished.map(|finished| finished.at.to_string()),
                finished.map(|finished| &finished.result),
                finished.map(|finished| finished.state),
                finished.map(|finished| finished.at.as_microsecond()),
            ])?;
    }
    Ok(true)
}

/// Where an append goes.
struct Place {
    number: i64,
    head: Digest,
    is_parked: bool,
}

/// The place of the append, if its first event is the run's next.
fn place(transaction: &Transaction<'_>, append: &Append) -> rusqlite::Result<Option<Place>> {
    let id = append.run.as_str();
    if append.first == 0 {
        let Some(started) = &append.started else {
            return Ok(None);
        };
        let group = started.group.as_ref();
        let added = transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO runs (id, workflow, started_at, plan, group_key, group_max) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                id,
                started.workflow,
                started.at,
                started.plan.as_bytes(),
                group.map(|group| &group.key),
                group.map(|group| group.max),
            ])?;
        return Ok((added > 0).then(|| Place {
            number: transaction.last_insert_rowid(),
            head: chain::start(&append.run),
            is_parked: false,
        }));
    }
    transaction
        .prepare_cached(
            "SELECT number, head, parked FROM runs \
             WHERE id = ?1 AND events = ?2 AND (finished_at IS NULL) <> ?3",
        )?
        .query_row(
            params![id, append.first.cast_signed(), append.is_resumed],
            |row| {
                Ok(Place {
                    number: row.get(0)?,
                    head: Digest::from_bytes(row.get(1)?),
                    is_parked: row.get(2)?,
                })
            },
        )
        .optional()
}
