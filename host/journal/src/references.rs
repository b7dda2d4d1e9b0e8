//! The documents that events name.

use std::collections::BTreeSet;

use docket_model::{
    AnswerBody, Digest, DocumentRef, EffectCall, Event, EventKind, Outcome, PartRecord, RunResult,
    Signal, StepResult,
};
use serde_json::Value;

/// Adds the digests of the documents that an event names.
pub(crate) fn collect(event: &Event, found: &mut BTreeSet<Digest>) {
    match &event.kind {
        EventKind::RunStarted { inputs, .. } => value(inputs, found),
        EventKind::ItemsExpanded { items, .. } => {
            items.iter().for_each(|item| value(item, found));
        }
        EventKind::StepStarted { input, .. } => value(input, found),
        EventKind::EffectIntended { call, .. } => sent(call, found),
        EventKind::EffectDone { call, outcomes, .. } => {
            call.iter().for_each(|call| sent(call, found));
            for outcome in outcomes {
                if let Outcome::Answered(answer) = outcome {
                    match &answer.body {
                        AnswerBody::Inline(document) | AnswerBody::Document(document) => {
                            found.insert(document.digest);
                        }
                        AnswerBody::Text(_) => {}
                    }
                }
            }
        }
        EventKind::StepFinished {
            result: StepResult::Done(output),
            ..
        } => value(&output.value, found),
        EventKind::Signalled {
            signal: Signal::Event { payload, .. },
            ..
        } => value(payload, found),
        EventKind::RunFinished {
            result: RunResult::Succeeded { outputs },
        } => value(outputs, found),
        EventKind::StepWaiting { .. }
        | EventKind::Signalled { .. }
        | EventKind::SignedIn { .. }
        | EventKind::StepSkipped { .. }
        | EventKind::StepFinished { .. }
        | EventKind::RunFailing { .. }
        | EventKind::RunResumed
        | EventKind::RunFinished { .. } => {}
    }
}

fn value(value: &Value, found: &mut BTreeSet<Digest>) {
    let documents = DocumentRef::all_in(value).into_iter();
    found.extend(documents.map(|document| document.digest));
}

fn sent(call: &EffectCall, found: &mut BTreeSet<Digest>) {
    for part in call.requests.iter().flat_map(|request| &request.body) {
        match part {
            PartRecord::Document { digest, .. } | PartRecord::Base64 { digest } => {
                found.insert(*digest);
            }
            PartRecord::Bytes { .. } => {}
        }
    }
}
