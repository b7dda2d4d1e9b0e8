//! What the records of runs prove: that they are as they were written, and what was done.

use anyhow::Result;
use docket_engine::{Receipt, RunFilter, Verdict};
use docket_model::RunId;
use serde_json::{Value, json};

use super::{run_id, unknown};
use crate::answers::result_word;
use crate::exit::Exit;
use crate::host::{Host, engine_failed, store_failed};
use crate::render::{self, note};

/// Verifies one run's record, or those of all.
pub(super) async fn verify(host: &Host, id: Option<&str>, as_json: bool) -> Result<Exit> {
    let runs: Vec<RunId> = match id {
        Some(id) => vec![run_id(id)?],
        None => {
            let all = host.store.runs(RunFilter::default()).await;
            let all = all.map_err(|error| store_failed(&error))?;
            all.into_iter().map(|run| run.id).collect()
        }
    };
    let mut found = Vec::new();
    let mut broken = 0;
    for run in &runs {
        let verdict = host.store.verify(run).await;
        match verdict.map_err(|error| store_failed(&error))? {
            Verdict::Intact { events, head } => {
                if !as_json {
                    render::line(&format!("{run}  intact, {events} events, head {head}"));
                }
                found.push(json!({"id": run, "intact": true, "events": events, "head": head}));
            }
            Verdict::Broken { event, why } => {
                broken += 1;
                if !as_json {
                    render::line(&format!("{run}  CHANGED at event {event}: {why}"));
                }
                found.push(json!({"id": run, "intact": false, "event": event, "why": why}));
            }
            Verdict::Unknown => return Err(unknown(run.as_str()).into()),
        }
    }
    if as_json {
        render::line(&json!({"runs": found, "broken": broken}).to_string());
    } else {
        note!("{} verified, {broken} changed", runs.len());
    }
    if broken == 0 {
        return Ok(Exit::Success);
    }
    note!(
        "help: the events before the one that is named are as they were written; a backup that was"
    );
    note!("      made before the change has the others");
    Ok(Exit::RunFailed)
}

/// Shows what a run did that cannot be undone.
pub(super) async fn receipt(host: &Host, id: &str, as_json: bool) -> Result<Exit> {
    let receipt = host.engine.receipt(&run_id(id)?).await;
    let receipt = receipt.map_err(|error| engine_failed(&error))?;
    if as_json {
        render::line(&serde_json::to_string(&receipt)?);
    } else {
        show(&receipt);
    }
    Ok(Exit::Success)
}

fn show(receipt: &Receipt) {
    let say = |label: &str, text: &dyn std::fmt::Display| {
        render::line(&format!("{label:11} {text}"));
    };
    say("run", &receipt.run);
    say("workflow", &receipt.workflow);
    say("plan", &receipt.plan);
    say("started", &receipt.started_at);
    match (&receipt.finished_at, &receipt.result) {
        (Some(at), Some(result)) => say("ended", &format!("{at}, {}", result_word(result))),
        _ => say("ended", &"not yet"),
    }
    for step in &receipt.steps {
        render::line("");
        say(
            "step",
            &format!("{}, {} {}", step.path, step.action, step.version),
        );
        say("component", &step.component);
        for recipient in &step.recipients {
            say("to", recipient);
        }
        for document in &step.documents {
            let size = render::bytes(document.size);
            say(
                "document",
                &format!("{} ({size})  {}", document.name, document.digest),
            );
        }
        for effect in &step.effects {
            let who = effect.sent_as.as_ref();
            let who = who.map_or("nobody", |who| who.account.as_str());
            let status = effect
                .status
                .map_or("no answer".to_owned(), |status| status.to_string());
            say("at", &effect.at);
            say("", &format!("{} {}", effect.method, effect.url));
            let id = effect.request_id.as_deref();
            let id = id.map_or(String::new(), |id| format!(", request-id {id}"));
            say("", &format!("as {who} → {status}{id}"));
        }
        let output = step.output.as_ref().and_then(Value::as_object);
        for (name, value) in output.into_iter().flatten() {
            match value {
                Value::String(text) => say(name, text),
                other => say(name, other),
            }
        }
    }
    render::line("");
    say("events", &receipt.events);
    say("head", &receipt.head);
}
