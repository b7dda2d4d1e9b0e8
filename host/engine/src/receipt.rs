//! What a run did, as data: for whoever has to show it later.

use std::collections::{BTreeMap, BTreeSet};

use docket_model::{
    Digest, DocumentRef, EventKind, Outcome, Plan, Principal, RunId, RunResult, StepPath,
    StepResult,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Engine, EngineError, Verdict};

/// What a run did to the world, by whom, and what proves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Receipt {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The plan that it followed.
    pub plan: Digest,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended, and how; without it the run is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<RunResult>,
    /// The steps that did something that cannot be repeated, in the order of their ends, and then those
    /// that came to no end.
    pub steps: Vec<ReceiptStep>,
    /// How many events the record has.
    pub events: u64,
    /// The head of the record's chain: it covers every event. Kept elsewhere, it proves that the
    /// record was not made anew.
    pub head: Digest,
}

/// A step that did something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReceiptStep {
    /// The step.
    pub path: StepPath,
    /// The plugin and the action.
    pub action: String,
    /// The plugin's version.
    pub version: String,
    /// The digest of the plugin's component.
    pub component: Digest,
    /// Whom the input names as recipients: what stands under `to`, `cc`, `bcc`.
    pub recipients: Vec<String>,
    /// The documents of the input.
    pub documents: Vec<DocumentRef>,
    /// What it did that cannot be repeated, in order.
    pub effects: Vec<ReceiptEffect>,
    /// What it returned: with mail, the message's ids. Without it, it failed or came to no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

/// A request that cannot be repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReceiptEffect {
    /// When it was about to be sent.
    pub at: Timestamp,
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Whom it was sent as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_as: Option<Principal>,
    /// The HTTP status of the answer; without it there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's id of the request, where it gave one (`request-id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// A step as far as it was read.
#[derive(Default)]
struct Doing {
    input: Value,
    effects: Vec<ReceiptEffect>,
}

impl Engine {
    /// What a run did, from its record, which is verified first.
    ///
    /// # Errors
    /// [`EngineError::UnknownRun`], and the journal's; [`crate::StoreError::Damaged`] where the
    /// record is not what was written.
    pub async fn receipt(&self, run: &RunId) -> Result<Receipt, EngineError> {
        let (count, head) = match self.ports().store.verify(run).await? {
            Verdict::Intact { events, head } => (events, head),
            Verdict::Unknown => return Err(EngineError::UnknownRun(run.clone())),
            Verdict::Broken { event, why } => {
                let what = format!("event {event} of run {run}: {why}");
                return Err(crate::StoreError::Damaged(what).into());
            }
        };
        let (flow, _) = self.load(run).await?;
        let plan = flow.plan();
        let events = self.ports().store.events(run).await?;
        let mut doing: BTreeMap<StepPath, Doing> = BTreeMap::new();
        let mut receipt: Option<Receipt> = None;
        let mut steps = Vec::new();
        for event in events {
            let at = event.at;
            match event.kind {
                EventKind::RunStarted { workflow, plan, .. } => {
                    receipt = Some(Receipt {
                        run: run.clone(),
                        workflow,
                        plan,
                        started_at: at,
                        finished_at: None,
                        result: None,
                        steps: Vec::new(),
                        events: count,
                        head,
                    });
                }
                EventKind::StepStarted { path, input, .. } => {
                    doing.entry(path).or_default().input = input;
                }
                EventKind::EffectIntended { path, call, .. } => {
                    let effects = &mut doing.entry(path).or_default().effects;
                    effects.extend(call.requests.into_iter().map(|request| ReceiptEffect {
                        at,
                        method: request.method,
                        url: request.url,
                        sent_as: request.sent_as,
                        status: None,
                        request_id: None,
                    }));
                }
                EventKind::EffectDone {
                    path,
                    call: None,
                    outcomes,
                    ..
                } => {
                    let effect = doing
                        .get_mut(&path)
                        .and_then(|doing| doing.effects.last_mut());
                    if let (Some(effect), Some(Outcome::Answered(answer))) =
                        (effect, outcomes.into_iter().next())
                    {
                        effect.status = Some(answer.status);
                        let mut headers = answer.headers.into_iter();
                        let id = headers.find(|(name, _)| name == "request-id");
                        effect.request_id = id.map(|(_, id)| id);
                    }
                }
                EventKind::StepFinished { path, result, .. } => {
                    let output = match result {
                        StepResult::Done(output) => Some(output.value),
                        StepResult::Failed {
                            retry_at: Some(_), ..
                        } => continue,
                        StepResult::Failed { .. } => None,
                    };
                    let done = doing.remove(&path);
                    steps.extend(done.and_then(|done| step(plan, path, done, output)));
                }
                EventKind::RunResumed => {
                    if let Some(receipt) = &mut receipt {
                        (receipt.finished_at, receipt.result) = (None, None);
                    }
                }
                EventKind::RunFinished { result } => {
                    if let Some(receipt) = &mut receipt {
                        (receipt.finished_at, receipt.result) = (Some(at), Some(result));
                    }
                }
                _ => {}
            }
        }
        // A step that came to no end may have done something all the same.
        let cut_off = doing.into_iter();
        steps.extend(cut_off.filter_map(|(path, done)| step(plan, path, done, None)));
        let mut receipt = receipt.ok_or_else(|| EngineError::UnknownRun(run.clone()))?;
        receipt.steps = steps;
        Ok(receipt)
    }
}

/// What a step did, if it did something that cannot be repeated.
fn step(plan: &Plan, path: StepPath, done: Doing, output: Option<Value>) -> Option<ReceiptStep> {
    if done.effects.is_empty() {
        return None;
    }
    let planned = plan.step(&path.step)?;
    let pinned = plan.plugins.get(&planned.plugin)?;
    Some(ReceiptStep {
        path,
        action: format!("{}/{}", planned.plugin, planned.action),
        version: pinned.version.clone(),
        component: pinned.component,
        recipients: recipients(&done.input),
        documents: DocumentRef::all_in(&done.input),
        effects: done.effects,
        output,
    })
}

/// The texts under `to`, `cc` and `bcc`, once each.
fn recipients(input: &Value) -> Vec<String> {
    let fields = ["to", "cc", "bcc"]
        .into_iter()
        .filter_map(|name| input.get(name));
    let mut found = BTreeSet::new();
    for field in fields {
        match field {
            Value::String(one) => {
                found.insert(one.clone());
            }
            Value::Array(list) => {
                found.extend(list.iter().filter_map(|one| match one {
                    Value::String(one) => Some(one.clone()),
                    // As an object with the address: `{name, address}`.
                    other => Some(other.get("address")?.as_str()?.to_owned()),
                }));
            }
            other => {
                let address = other.get("address").and_then(Value::as_str);
                found.extend(address.map(str::to_owned));
            }
        }
    }
    found.into_iter().collect()
}
