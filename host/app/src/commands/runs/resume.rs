//! Going on with runs, and letting old ones go.

use anyhow::Result;
use docket_engine::{Retention, WaitFilter};
use docket_model::{RunId, RunResult};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{run_id, unknown};
use crate::cli::EndState;
use crate::commands::run::{self, exit_of};
use crate::exit::{Exit, Failed};
use crate::host::{Host, engine_failed, store_failed};
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
    let mut runs: Vec<RunId> = Vec::new();
    let all = ready.into_iter().map(|one| one.run);
    for run in all.chain(waiting.into_iter().map(|one| one.run)) {
        if !runs.contains(&run) {
            runs.push(run);
        }
    }
    if runs.is_empty() {
        note!("there is no run to go on with");
    }
    let mut worst = Exit::Success;
    let park = CancellationToken::new();
    for run in runs {
        match run::drive_next(host, &run, &park).await {
            Ok(done) => {
                worst = worse(worst, exit_of(&done.result));
                run::print(&done, as_json);
            }
            Err(error) => {
                let exit = error
                    .downcast_ref::<Failed>()
                    .map_or(Exit::Fault, |failed| failed.exit);
                // Nothing goes on without a disk.
                if exit == Exit::Storage || park.is_cancelled() {
                    return Err(error);
                }
                worst = worse(worst, render::error(&error, as_json));
            }
        }
    }
    Ok(worst)
}

const fn worse(one: Exit, other: Exit) -> Exit {
    if other as u8 > one as u8 { other } else { one }
}

/// Removes old runs.
pub(super) async fn prune(
    host: &Host,
    older_than: &str,
    states: &[EndState],
    workflow: Option<String>,
    as_json: bool,
) -> Result<Exit> {
    let states = match states {
        [] => &EndState::ALL,
        some => some,
    };
    let retention = Retention {
        keep: age(older_than)?,
        states: states
            .iter()
            .map(|state| state.as_str().to_owned())
            .collect(),
        workflow,
    };
    let pruned = host.engine.prune(&retention).await;
    let pruned = pruned.map_err(|error| engine_failed(&error))?;
    if as_json {
        render::line(
            &json!({
                "runs": pruned.runs, "documents": pruned.documents, "bytes": pruned.bytes,
                "journal": {"freed": pruned.journal.freed, "free": pruned.journal.free},
            })
            .to_string(),
        );
    } else {
        note!(
            "{} runs and {} documents ({}) removed; the journal is smaller by {}, and has {} to spare",
            pruned.runs,
            pruned.documents,
            render::bytes(pruned.bytes),
            render::bytes(pruned.journal.freed),
            render::bytes(pruned.journal.free)
        );
    }
    Ok(Exit::Success)
}

/// A time like `30d`.
fn age(text: &str) -> Result<std::time::Duration, Failed> {
    let wrong = || {
        Failed::new(Exit::Usage, format!("`--older-than {text}` is no time"))
            .with_help("write a number and a unit: 30d, 12h, 90m")
    };
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_error| wrong())?;
    let unit = match text.get(digits.len()..) {
        Some("d") => 86_400,
        Some("h") => 3_600,
        Some("m") => 60,
        Some("s") => 1,
        _ => return Err(wrong()),
    };
    let seconds = number.checked_mul(unit).ok_or_else(wrong)?;
    Ok(std::time::Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let seconds = |text: &str| age(text).ok().map(|age| age.as_secs());
        assert_eq!(seconds("30d"), Some(30 * 86_400));
        assert_eq!(seconds("90m"), Some(5_400));
        for wrong in ["", "30", "d", "-1d", "3w", "1d2h", "99999999999999999999d"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
