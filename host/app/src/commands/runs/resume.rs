//! Going on with runs, and letting old ones go.

use std::collections::HashSet;

use anyhow::Result;
use docket_engine::WaitFilter;
use docket_model::{RunId, RunResult};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::run_id;
use crate::commands::run::{self, exit_of};
use crate::exit::{Exit, Failed};
use crate::host::{Host, engine_failed, store_failed};
use crate::records::unknown;
use crate::render::{self, note};

/// Goes on with one run, or with all that can.
pub(super) async fn run(host: &Host, id: Option<&str>, as_json: bool) -> Result<Exit> {
    match id {
        Some(id) => one(host, id, as_json).await,
        None => all(host, as_json).await,
    }
}

async fn one(host: &Host, id: &str, as_json: bool) -> Result<Exit> {
    let run = run_id(id)?;
    let about = host.store.run(&run).await;
    let about = about.map_err(|error| store_failed(&error))?;
    match about.ok_or_else(|| unknown(id))?.result {
        None => {}
        Some(RunResult::Succeeded { .. }) => {
            return Err(
                Failed::new(Exit::Invalid, format!("run {id} has succeeded"))
                    .with_help(format!(
                        "to do all of it once more, start a new run: docket runs rerun {id}"
                    ))
                    .into(),
            );
        }
        Some(RunResult::Failed { .. } | RunResult::Cancelled) => {
            let resumed = host.engine.resume(&run).await;
            resumed.map_err(|error| engine_failed(&error))?;
        }
    }
    let done = run::drive(host, &run).await?;
    run::print(&done, as_json);
    Ok(exit_of(&done.result))
}

/// Goes on with those that were interrupted, and tries those once more that wait for a sign-in. One
/// that waits or cannot go on keeps none of the others.
async fn all(host: &Host, as_json: bool) -> Result<Exit> {
    let filter = WaitFilter {
        kind: Some("sign-in".to_owned()),
        ..WaitFilter::default()
    };
    let ready = host.store.ready().await;
    let ready = ready.map_err(|error| store_failed(&error))?;
    let waiting = host.store.waiting(filter).await;
    let waiting = waiting.map_err(|error| store_failed(&error))?;
    let mut seen: HashSet<RunId> = HashSet::new();
    let ready = ready.into_iter().map(|one| one.run);
    let all = ready.chain(waiting.into_iter().map(|one| one.run));
    let runs: Vec<RunId> = all.filter(|run| seen.insert(run.clone())).collect();
    if runs.is_empty() {
        note!("there is no run to go on with");
    }
    let mut worst = Exit::Success;
    let park = CancellationToken::new();
    for run in runs {
        match run::drive_next(host, &run, &park).await {
            Ok(done) => {
                worst = worst.worse(exit_of(&done.result));
                run::print(&done, as_json);
            }
            Err(error) => {
                let exit = Failed::of(&error).exit;
                // Nothing goes on without a disk.
                if exit == Exit::Storage || park.is_cancelled() {
                    return Err(error);
                }
                worst = worst.worse(render::error(&error, as_json));
            }
        }
    }
    Ok(worst)
}

/// Shows what was removed.
pub(super) fn pruned(pruned: &Value, as_json: bool) -> Exit {
    let count = |name: &str| pruned[name].as_u64().unwrap_or_default();
    match as_json {
        true => render::line(&pruned.to_string()),
        false => note!(
            "{} runs and {} documents ({}) removed; the journal is smaller by {}, and has {} to spare",
            count("runs"),
            count("documents"),
            render::bytes(count("bytes")),
            render::bytes(count("journal-freed")),
            render::bytes(count("journal-free"))
        ),
    }
    Exit::Success
}
