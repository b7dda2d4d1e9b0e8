//! Starts runs for items, with the cursor, all at once.

use std::collections::HashSet;

use docket_model::{Digest, Event, EventKind, Failure, Plan, RunId, RunResult};
use serde_json::Value;

use crate::engine::ready_by;
use crate::flow::Flow;
use crate::{Engine, EngineError, NewItem, Ready};

/// The code of the failure of a run that a trigger could make no inputs for, or could not tell whether
/// to start.
pub(super) const UNFIT_INPUTS: &str = "unfit-inputs";
/// The code of the failure of a run for an item that its source could not give whole.
pub(super) const UNREADABLE: &str = "unreadable-item";

/// An item of a trigger: see [`Engine::start_items`].
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerItem {
    /// What the item is known by, unique to its trigger; without one it is known by its run's id.
    pub key: Option<String>,
    /// The id of its run.
    pub run: RunId,
    /// How it starts.
    pub start: ItemStart,
}

/// How an item's run starts.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemStart {
    /// With these inputs.
    With(Value),
    /// It cannot begin with these inputs. It fails at once, by way of its `on-error`.
    Failed {
        /// What there is of the inputs.
        inputs: Value,
        /// Why.
        failure: Failure,
    },
    /// Not at all: the item is noted as seen.
    Not,
}

impl Engine {
    /// Sets a trigger's cursor and starts a run of `plan` for each item that was never seen, all at once
    /// and durably: whatever crashes, no item is lost and none starts twice. Gives the runs that were
    /// started.
    ///
    /// # Errors
    /// [`EngineError::MissingDocument`], [`EngineError::Unstartable`], and the journal's; nothing is
    /// started then, and the cursor stays.
    pub async fn start_items(
        &self,
        trigger: &str,
        cursor: Option<&str>,
        plan: &Plan,
        items: Vec<TriggerItem>,
    ) -> Result<Vec<RunId>, EngineError> {
        let (flow, digest) = self.keep(plan).await?;
        let mut new = Vec::with_capacity(items.len());
        for item in items {
            new.push(self.new_item(&flow, digest, item)?);
        }
        // A caller that goes away while the store is asked leaves no run lying.
        let mut coming = self.changes().coming();
        let to_drive = |item: &NewItem| {
            let first = item.events.first()?;
            ready_by(&item.run, first).filter(|_| !item.events.iter().any(ends))
        };
        let drivable: Vec<Ready> = new.iter().filter_map(to_drive).collect();
        let ids: HashSet<RunId> = drivable.iter().map(|ready| ready.run.clone()).collect();
        coming.are(drivable);
        let mut started = self.ports().store.take_items(trigger, cursor, new).await?;
        let runs = started.iter().map(|ready| ready.run.clone()).collect();
        started.retain(|ready| ids.contains(&ready.run));
        coming.are(started);
        Ok(runs)
    }

    fn new_item(
        &self,
        flow: &Flow,
        plan: Digest,
        item: TriggerItem,
    ) -> Result<NewItem, EngineError> {
        let TriggerItem { key, run, start } = item;
        let (inputs, failure) = match start {
            ItemStart::Not => {
                let events = Vec::new();
                return Ok(NewItem { key, run, events });
            }
            ItemStart::With(inputs) => {
                let events = vec![self.started(&run, flow, plan, inputs)?];
                return Ok(NewItem { key, run, events });
            }
            ItemStart::Failed { inputs, failure } => (inputs, failure),
        };
        self.keep_documents(&inputs)?;
        let started = EventKind::RunStarted {
            workflow: flow.plan().workflow.clone(),
            plan,
            inputs,
            group: None,
        };
        let path = None;
        let fails = match flow.plan().on_error.is_empty() {
            true => EventKind::RunFinished {
                result: RunResult::Failed { path, failure },
            },
            false => EventKind::RunFailing { path, failure },
        };
        let at = self.ports().clock.now();
        let events = [started, fails].map(|kind| Event { at, kind }).into();
        Ok(NewItem { key, run, events })
    }
}

const fn ends(event: &Event) -> bool {
    matches!(event.kind, EventKind::RunFinished { .. })
}

/// A run that could not begin with its inputs begins no better the next time.
pub(crate) fn refuse_unfit(events: &[Event]) -> Result<(), EngineError> {
    let failure = match events.get(1).map(|event| &event.kind) {
        Some(
            EventKind::RunFailing {
                path: None,
                failure,
            }
            | EventKind::RunFinished {
                result:
                    RunResult::Failed {
                        path: None,
                        failure,
                    },
            },
        ) if [UNFIT_INPUTS, UNREADABLE].contains(&failure.code.as_str()) => failure,
        _ => return Ok(()),
    };
    Err(EngineError::Unstartable(Box::new(failure.clone())))
}
