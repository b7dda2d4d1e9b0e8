//! Events in few words.

use docket_engine::{Durability, EventStore};
use docket_model::{Digest, Event, EventKind, RunGroup, RunId, RunResult};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn run(name: &str) -> RunId {
    name.parse().unwrap()
}

pub(crate) fn started(inputs: Value, group: Option<RunGroup>) -> Event {
    let kind = EventKind::RunStarted {
        workflow: "w".to_owned(),
        plan: Digest::of(b"plan"),
        inputs,
        group,
    };
    Event { at: at(0), kind }
}

pub(crate) fn finished(second: i64) -> Event {
    let kind = EventKind::RunFinished {
        result: RunResult::Cancelled,
    };
    Event {
        at: at(second),
        kind,
    }
}

pub(crate) async fn start(store: &dyn EventStore, name: &str) -> RunId {
    let run = run(name);
    let events = [started(json!({}), None)];
    store
        .append(&run, 0, &events, Durability::Ordered)
        .await
        .unwrap();
    run
}
