//! What the records of runs prove: that they are as they were written, and what was done.

use anyhow::Result;
use docket_engine::Receipt;
use serde_json::Value;

use crate::answers::result_word;
use crate::exit::Exit;
use crate::render::{self, note};

/// Shows what became of the verification of records.
pub(super) fn verified(found: &Value, as_json: bool) -> Exit {
    let broken = found["broken"].as_u64().unwrap_or_default();
    if as_json {
        render::line(&found.to_string());
    } else {
        let runs = found["runs"].as_array().map_or(&[][..], Vec::as_slice);
        for run in runs {
            let text = |name: &str| run[name].as_str().unwrap_or_default();
            render::line(&match run["intact"].as_bool() {
                Some(true) => format!(
                    "{}  intact, {} events, head {}",
                    text("id"),
                    run["events"],
                    text("head")
                ),
                _ => format!(
                    "{}  CHANGED at event {}: {}",
                    text("id"),
                    run["event"],
                    text("why")
                ),
            });
        }
        note!("{} verified, {broken} changed", runs.len());
    }
    if broken == 0 {
        return Exit::Success;
    }
    note!(
        "help: the events before the one that is named are as they were written; a backup that was"
    );
    note!("      made before the change has the others");
    Exit::RunFailed
}

/// Shows what a run did that cannot be undone.
pub(super) fn receipt(receipt: &Receipt, as_json: bool) -> Result<Exit> {
    match as_json {
        true => render::line(&serde_json::to_string(receipt)?),
        false => show(receipt),
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
