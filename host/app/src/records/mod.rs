//! What the records of runs prove and hold: read here where a command owns the data folder, and by the
//! serving process for commands where that one does.

mod replay;

use std::collections::BTreeMap;
use std::time::Duration;

use docket_engine::{Retention, RunFilter, Verdict};
use docket_model::{DocumentRef, Event, EventKind, RunId, StepResult, parse_duration};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::replay::{Replacement, replay};
use crate::exit::{Exit, Failed};
use crate::host::{Host, engine_failed, store_failed};

/// What to say of a run that does not exist.
pub(crate) fn unknown(id: &str) -> Failed {
    Failed::new(Exit::Invalid, format!("there is no run {id}"))
        .with_help("`docket runs list` shows them")
}

/// How many runs are read at a time that are to be verified.
const PAGE: u32 = 1_000;

/// Verifies one run's record, or those of all.
pub(crate) async fn verify(host: &Host, run: Option<RunId>) -> Result<Value, Failed> {
    let found = match run {
        Some(run) => {
            let verdict = verdict(host, &run).await?;
            vec![verdict.ok_or_else(|| unknown(run.as_str()))?]
        }
        None => verdicts(host).await?,
    };
    let broken = found.iter().filter(|one| one["intact"] == false).count();
    Ok(json!({"runs": found, "broken": broken}))
}

/// The verdicts on all runs, the last started first.
async fn verdicts(host: &Host) -> Result<Vec<Value>, Failed> {
    let mut found = Vec::new();
    let mut before: Option<RunId> = None;
    loop {
        let page = RunFilter {
            before: before.clone(),
            limit: Some(PAGE),
            ..RunFilter::default()
        };
        let page = host.store.runs(page).await;
        let page = page.map_err(|error| store_failed(&error))?;
        let Some(last) = page.last() else { break };
        before = Some(last.id.clone());
        for run in &page {
            // One that was removed meanwhile has no verdict.
            found.extend(verdict(host, &run.id).await?);
        }
    }
    // Nothing started before a run that is not there any more.
    if let Some(last) = before
        && verdict(host, &last).await?.is_none()
    {
        let what = "runs were removed while they were verified";
        return Err(Failed::new(Exit::Invalid, what).with_help("verify them again"));
    }
    Ok(found)
}

/// The verdict on a run's record; `None` where there is no such run.
async fn verdict(host: &Host, run: &RunId) -> Result<Option<Value>, Failed> {
    let verdict = host.store.verify(run).await;
    Ok(match verdict.map_err(|error| store_failed(&error))? {
        Verdict::Intact { events, head } => {
            Some(json!({"id": run, "intact": true, "events": events, "head": head}))
        }
        Verdict::Broken { event, why } => {
            Some(json!({"id": run, "intact": false, "event": event, "why": why}))
        }
        Verdict::Unknown => None,
    })
}

/// Which runs to let go.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Old {
    /// How long after its end: `30d`, `12h`.
    pub(crate) older_than: String,
    /// Only those that ended so; all where there is none.
    #[serde(default)]
    pub(crate) states: Vec<String>,
    /// Only runs of this workflow.
    #[serde(default)]
    pub(crate) workflow: Option<String>,
}

/// Removes old runs, and the documents that no run names any more.
pub(crate) async fn prune(host: &Host, old: Old) -> Result<Value, Failed> {
    const STATES: [&str; 3] = ["succeeded", "failed", "cancelled"];
    let mut states = old.states;
    if let Some(wrong) = states
        .iter()
        .find(|state| !STATES.contains(&state.as_str()))
    {
        let what = format!("no run ends as `{wrong}`");
        return Err(Failed::new(Exit::Usage, what).with_help(STATES.join(", ")));
    }
    if states.is_empty() {
        states.extend(STATES.map(str::to_owned));
    }
    let retention = Retention {
        keep: age(&old.older_than)?,
        states,
        workflow: old.workflow,
    };
    let pruned = host.engine.prune(&retention).await;
    let pruned = pruned.map_err(|error| engine_failed(&error))?;
    Ok(json!({
        "runs": pruned.runs, "documents": pruned.documents, "bytes": pruned.bytes,
        "journal-freed": pruned.journal.freed, "journal-free": pruned.journal.free,
    }))
}

/// A time like `30d`.
fn age(text: &str) -> Result<Duration, Failed> {
    parse_duration(text).ok_or_else(|| {
        Failed::new(Exit::Usage, format!("`--older-than {text}` is no time"))
            .with_help("write numbers and units: 30d, 12h, 1d12h")
    })
}

/// Every document that a run took in or made, once each, by name.
pub(crate) async fn documents(host: &Host, run: &RunId) -> Result<Vec<DocumentRef>, Failed> {
    let events: Vec<Event> = host
        .store
        .events(run)
        .await
        .map_err(|error| store_failed(&error))?;
    if events.is_empty() {
        return Err(unknown(run.as_str()));
    }
    let mut found: BTreeMap<_, DocumentRef> = BTreeMap::new();
    for event in &events {
        let value = match &event.kind {
            EventKind::RunStarted { inputs, .. } => inputs,
            EventKind::StepFinished {
                result: StepResult::Done(output),
                ..
            } => &output.value,
            _ => continue,
        };
        for document in DocumentRef::all_in(value) {
            let key = (document.name.clone(), document.digest);
            found.entry(key).or_insert(document);
        }
    }
    Ok(found.into_values().collect())
}

/// What to say of a document whose file is missing.
pub(crate) fn document_gone(name: &str) -> Failed {
    Failed::new(Exit::Storage, format!("the document {name} is gone"))
        .with_help("its file is missing in the data folder; restore it from a backup")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let seconds = |text: &str| age(text).ok().map(|age| age.as_secs());
        assert_eq!(seconds("30d"), Some(30 * 86_400));
        assert_eq!(seconds("90m"), Some(5_400));
        assert_eq!(seconds("1d2h"), Some(26 * 3_600));
        for wrong in ["", "30", "d", "-1d", "3w", "2h1d", "99999999999999999999d"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
