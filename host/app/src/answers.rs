//! What commands print with `--json` and what the server answers: the same documents from the same
//! places.

use docket_connections::{Connections, HookSecret, VaultError};
use docket_engine::{
    EventStore, RunFilter, RunSummary, StoreError, TriggerState, TriggerStatus, WaitFilter, Waiting,
};
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
    let events: Vec<Event> = store.events_from(run, after).await?;
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
    Ok(waits(&store.waiting(filter).await?))
}

/// The same of a list that was read.
pub(crate) fn waits(waiting: &[Waiting]) -> Value {
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
    json!({"waiting": list})
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

/// How the triggers are. `url` is where this process answers. Blocks on the disk.
pub(crate) fn triggers(
    triggers: &[TriggerStatus],
    connections: &Connections,
    url: &str,
) -> Result<Value, VaultError> {
    let mut list = Vec::with_capacity(triggers.len());
    for one in triggers {
        let mut found = json!({
            "name": one.name, "workflow": one.workflow, "id": one.id, "kind": one.kind,
            "state": one.state.as_str(), "started": one.started,
            "last-started-at": one.last_started_at, "next-at": one.next_at,
        });
        let Some(fields) = found.as_object_mut() else {
            continue;
        };
        let mut add = |name: &str, value: Value| {
            fields.insert(name.to_owned(), value);
        };
        match &one.state {
            TriggerState::Waiting | TriggerState::Polling => {}
            TriggerState::Failing { since, failure }
            | TriggerState::SignInNeeded { since, failure, .. } => {
                add("since", json!(since));
                add("message", json!(failure.message));
                add("help", json!(failure.remedy));
            }
        }
        if let TriggerState::SignInNeeded {
            account: Some(account),
            ..
        } = &one.state
        {
            add("connection", json!(account.connection));
            add("user", json!(account.user));
        }
        if one.kind == "webhook" {
            add("url", json!(format!("{url}{}", hook_path(&one.workflow))));
            add("secrets", json!(connections.hook_secrets(&one.workflow)?));
        }
        list.push(found);
    }
    Ok(json!({"triggers": list}))
}

/// Where a workflow's webhook is.
pub(crate) fn hook_path(workflow: &str) -> String {
    let mut url = String::from("/hooks/");
    for byte in workflow.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                url.push(char::from(byte));
            }
            other => url += &format!("%{other:02X}"),
        }
    }
    url
}

/// Gives a webhook a secret; one is made, and given back, where none is given. Blocks on the disk.
pub(crate) fn set_secret(
    connections: &Connections,
    workflow: &str,
    given: Option<HookSecret>,
    overlap: std::time::Duration,
) -> Result<Option<HookSecret>, VaultError> {
    let overlap = jiff::SignedDuration::try_from(overlap).unwrap_or(jiff::SignedDuration::MAX);
    match given {
        Some(secret) => {
            connections.set_hook_secret(workflow, &secret, overlap)?;
            Ok(None)
        }
        None => {
            let made = HookSecret::generate()?;
            connections.set_hook_secret(workflow, &made, overlap)?;
            Ok(Some(made))
        }
    }
}
