//! What commands print with `--json` and what the server answers: the same documents from the same
//! places.

use docket_connections::{Connections, VaultError};
use docket_engine::{EventStore, RunFilter, RunSummary, StoreError, WaitFilter, Waiting};
use docket_model::{Event, RunId, RunResult, WaitFor};
use jiff::Timestamp;
use serde_json::{Value, json};

/// How a run ended, in a word.
pub(crate) const fn result_word(result: &RunResult) -> &'static str {
    match result {
        RunResult::Succeeded { .. } => "succeeded",
        RunResult::Failed { .. } => "failed",
        RunResult::Cancelled => "cancelled",
    }
}

/// How a run stands, in a word.
const fn state(run: &RunSummary) -> &'static str {
    match &run.result {
        Some(result) => result_word(result),
        None if run.is_parked => "waiting",
        None => "unfinished",
    }
}

/// Runs in a list, the last started first, each with what it waits for.
pub(crate) async fn runs(store: &dyn EventStore, filter: RunFilter) -> Result<Value, StoreError> {
    let mut list = Vec::new();
    for run in store.runs(filter).await? {
        list.push(summary(store, &run).await?);
    }
    Ok(json!({"runs": list}))
}

/// One run with its events, without the first `after` of them; `None` where there is none.
pub(crate) async fn run(
    store: &dyn EventStore,
    run: &RunId,
    after: u64,
) -> Result<Option<Value>, StoreError> {
    let Some(about) = store.run(run).await? else {
        return Ok(None);
    };
    let mut events: Vec<Event> = store.events(run).await?;
    let after = usize::try_from(after).unwrap_or(usize::MAX);
    events.drain(..after.min(events.len()));
    let mut found = summary(store, &about).await?;
    if let Some(fields) = found.as_object_mut() {
        fields.insert("result".to_owned(), json!(about.result));
        fields.insert("events".to_owned(), json!(events));
    }
    Ok(Some(found))
}

/// One run without its events.
pub(crate) async fn summary(store: &dyn EventStore, run: &RunSummary) -> Result<Value, StoreError> {
    let mut waits = Vec::new();
    if run.is_parked {
        let filter = WaitFilter {
            run: Some(run.id.clone()),
            ..WaitFilter::default()
        };
        waits.extend(store.waiting(filter).await?.iter().map(wait));
    }
    Ok(json!({
        "id": run.id, "workflow": run.workflow, "state": state(run),
        "started-at": run.started_at, "finished-at": run.finished_at,
        "waits-for": waits,
    }))
}

/// What parked runs wait for, the longest first.
pub(crate) async fn waiting(
    store: &dyn EventStore,
    filter: WaitFilter,
) -> Result<Value, StoreError> {
    let waiting = store.waiting(filter).await?;
    let list: Vec<Value> = waiting
        .iter()
        .map(|one| {
            let mut found = wait(one);
            if let Some(fields) = found.as_object_mut() {
                fields.insert("run".to_owned(), json!(one.run));
                fields.insert("workflow".to_owned(), json!(one.workflow));
            }
            found
        })
        .collect();
    Ok(json!({"waiting": list}))
}

fn wait(waiting: &Waiting) -> Value {
    let step = &waiting.step;
    let mut found = json!({
        "step": step.path.to_string(), "kind": step.wait.on.kind(), "for": step.wait.on.to_string(),
        "since": step.since, "until": step.wait.until,
    });
    let Some(fields) = found.as_object_mut() else {
        return found;
    };
    match &step.wait.on {
        WaitFor::SignIn {
            account, failure, ..
        } => {
            fields.insert("connection".to_owned(), json!(account.connection));
            fields.insert("user".to_owned(), json!(account.user));
            fields.insert("message".to_owned(), json!(failure.message));
            fields.insert("help".to_owned(), json!(failure.remedy));
        }
        WaitFor::Retry { failure } => {
            fields.insert("message".to_owned(), json!(failure.message));
            fields.insert("help".to_owned(), json!(failure.remedy));
        }
        WaitFor::Approval { message, approvers } => {
            fields.insert("message".to_owned(), json!(message));
            fields.insert("approvers".to_owned(), json!(approvers));
        }
        WaitFor::Event { name } => {
            fields.insert("event".to_owned(), json!(name));
        }
        WaitFor::Timer => {}
    }
    found
}

/// How the connections are, and what of them ends within 30 days. Blocks on the disk.
pub(crate) fn connections(connections: &Connections, now: Timestamp) -> Result<Value, VaultError> {
    Ok(json!({"connections": connections.status()?, "forecast": connections.forecast(now)?}))
}
