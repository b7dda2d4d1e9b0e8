//! What runs are told: to end, to begin once more, of events, of decisions. Where a serving process
//! owns the data folder, it is told, and tells the runs.

use anyhow::Result;
use docket_model::{RunId, Signal, StepPath};
use serde_json::{Value, json};

use super::run_id;
use crate::answers::result_word;
use crate::cli::{DecisionArgs, Global, OrderCommand};
use crate::exit::{Exit, Failed};
use crate::host::{Host, engine_failed, random_id};
use crate::project::Project;
use crate::render::{self, note};
use crate::server::client::Serving;

/// What a run is told.
pub(super) enum Order {
    Cancel(RunId),
    Rerun {
        older: RunId,
        new: Option<RunId>,
    },
    Signal {
        run: RunId,
        id: String,
        signal: Signal,
    },
}

impl Order {
    /// The order that a command is.
    ///
    /// # Errors
    /// What is wrong with its arguments.
    pub(super) fn of(command: OrderCommand) -> Result<Self> {
        Ok(match command {
            OrderCommand::Cancel { id } => Self::Cancel(run_id(&id)?),
            OrderCommand::Rerun { id, new_id } => {
                Self::Rerun {
                    older: run_id(&id)?,
                    new: match new_id {
                        Some(text) => Some(text.parse().map_err(|error| {
                            Failed::new(Exit::Usage, format!("{text}: {error}"))
                        })?),
                        None => None,
                    },
                }
            }
            OrderCommand::Signal {
                id,
                name,
                payload,
                signal_id,
            } => Self::Signal {
                run: run_id(&id)?,
                id: match signal_id {
                    Some(id) => id,
                    None => random_id()?,
                },
                signal: Signal::Event {
                    name,
                    payload: match payload {
                        Some(text) => self::payload(&text)?,
                        None => Value::Null,
                    },
                },
            },
            OrderCommand::Approve(decision) => decided(decision, true)?,
            OrderCommand::Reject(decision) => decided(decision, false)?,
        })
    }
}

fn decided(decision: DecisionArgs, approved: bool) -> Result<Order> {
    let DecisionArgs {
        id,
        step,
        by,
        comment,
    } = decision;
    Ok(Order::Signal {
        run: run_id(&id)?,
        id: random_id()?,
        signal: Signal::Decision {
            path: step_path(&step).map_err(|message| Failed::new(Exit::Usage, message))?,
            approved,
            by,
            comment,
        },
    })
}

/// A step's place as it is written: `id` or `id[3]`.
pub(crate) fn step_path(text: &str) -> Result<StepPath, String> {
    let wrong = || format!("`{text}` is no step; write its id, or id[3] for an item");
    let (step, item) = match text.strip_suffix(']') {
        None => (text, None),
        Some(rest) => {
            let (step, item) = rest.split_once('[').ok_or_else(wrong)?;
            (step, Some(item.parse().map_err(|_error| wrong())?))
        }
    };
    if step.is_empty() || step.contains(['[', ']']) {
        return Err(wrong());
    }
    Ok(StepPath {
        step: step.into(),
        item,
    })
}

fn payload(text: &str) -> Result<Value> {
    let (text, place) = match text.strip_prefix('@') {
        None => (text.to_owned(), "the payload".to_owned()),
        Some(file) => {
            let read = std::fs::read_to_string(file);
            let read = read.map_err(|error| Failed::new(Exit::Usage, format!("{file}: {error}")));
            (read?, file.to_owned())
        }
    };
    Ok(serde_json::from_str(&text).map_err(|error| {
        Failed::new(Exit::Usage, format!("{place} is not JSON: {error}"))
            .with_help("a text stands in quotes, for the shell in two kinds: '\"text\"'")
    })?)
}

/// Gives the order, to the serving process where there is one.
pub(super) async fn give(global: &Global, project: Project, order: Order) -> Result<Exit> {
    let answer = match Serving::find(&project.data).await {
        Some(serving) => remote(&serving, &order).await?,
        None => local(&Host::open(project, global).await?, order).await?,
    };
    if global.json {
        render::line(&answer.to_string());
    } else {
        note!("{}", answer["message"].as_str().unwrap_or_default());
    }
    Ok(Exit::Success)
}

async fn local(host: &Host, order: Order) -> Result<Value> {
    let failed = |error| engine_failed(&error);
    Ok(match order {
        Order::Cancel(run) => {
            let result = host.engine.cancel(&run).await.map_err(failed)?;
            cancelled(&run, result_word(&result))
        }
        Order::Rerun { older, new } => {
            let new = match new {
                Some(new) => new,
                None => host.new_run_id()?,
            };
            host.engine.rerun(&older, &new).await.map_err(failed)?;
            rerun(&older, &new, "docket runs resume")
        }
        Order::Signal { run, id, signal } => {
            host.engine
                .signal(&run, &id, signal)
                .await
                .map_err(failed)?;
            let go_on = format!("go on with it by: docket runs resume {run}");
            signalled(&run, &id, &go_on)
        }
    })
}

async fn remote(serving: &Serving, order: &Order) -> Result<Value> {
    Ok(match order {
        Order::Cancel(run) => {
            let path = format!("/api/runs/{run}/cancel");
            let answer = serving.post(&path, &json!({})).await?;
            cancelled(run, answer["state"].as_str().unwrap_or_default())
        }
        Order::Rerun { older, new } => {
            let path = format!("/api/runs/{older}/rerun");
            let answer = serving.post(&path, &json!({"id": new})).await?;
            let new = run_id(answer["id"].as_str().unwrap_or_default())?;
            rerun(older, &new, "docket runs show")
        }
        Order::Signal { run, id, signal } => {
            let (path, body) = match signal {
                Signal::Event { name, payload } => (
                    format!("/api/runs/{run}/signals"),
                    json!({"id": id, "name": name, "payload": payload}),
                ),
                Signal::Decision {
                    path,
                    approved,
                    by,
                    comment,
                } => (
                    format!("/api/runs/{run}/approvals"),
                    json!({
                        "id": id, "step": path.to_string(), "approved": approved, "by": by,
                        "comment": comment,
                    }),
                ),
            };
            serving.post(&path, &body).await?;
            signalled(run, id, "the serving process goes on with it")
        }
    })
}

fn cancelled(run: &RunId, state: &str) -> Value {
    let message = match state {
        "cancelled" => format!("run {run} is cancelled"),
        state => format!("run {run} had ended before: {state}"),
    };
    json!({"id": run, "state": state, "message": message})
}

fn rerun(older: &RunId, new: &RunId, next: &str) -> Value {
    let message = format!("run {new} is started as run {older} was; next: {next} {new}");
    json!({"id": new, "older": older, "message": message})
}

fn signalled(run: &RunId, id: &str, go_on: &str) -> Value {
    let message = format!("run {run} was told; {go_on}");
    json!({"id": run, "signal": id, "message": message})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_as_they_are_written() {
        for (text, expected) in [
            ("ask", Some(("ask", None))),
            ("ask[3]", Some(("ask", Some(3)))),
            ("", None),
            ("[3]", None),
            ("ask[]", None),
            ("ask[x]", None),
            ("ask[1", None),
            ("a[1][2]", None),
        ] {
            let found = step_path(text).ok();
            let expected = expected.map(|(step, item)| StepPath {
                step: step.into(),
                item,
            });
            assert_eq!(found, expected, "{text}");
        }
    }
}
