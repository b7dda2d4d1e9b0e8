//! Webhooks: a request has one run.

use std::collections::BTreeSet;
use std::sync::Arc;

use docket_engine::Received;
use docket_model::{Digest, RunId, TriggerKind};
use serde_json::{Value, json};

use super::{Hand, World, memory, triggered};
use crate::outside::stores;

#[tokio::test]
async fn a_request_has_one_run_however_often_it_comes() {
    for (store, _folder) in stores() {
        let clock = Hand::at("09:00:00");
        let plan = triggered(TriggerKind::Webhook, "event.body.title");
        let world = World::new(&store, &clock, vec![], vec![plan]);
        let triggers = &world.triggers;
        assert!(triggers.webhook("nobody").is_none());
        let hook = triggers.webhook("w").unwrap();
        let (body, other) = (Digest::of(b"{}"), Digest::of(b"{ }"));
        assert_eq!(triggers.known(&hook, "evt", body).await.unwrap(), None);
        let good = triggers.inputs(&hook, "evt", json!({"title": "x"})).await;
        let inputs = Value::Object(good.unwrap().unwrap());
        for (id, value) in [
            ("evt", json!({})),
            ("evt", json!([1])),
            ("evt", json!(null)),
        ] {
            let problems = triggers.inputs(&hook, id, value).await.unwrap();
            let problems = problems.unwrap_err();
            assert!(
                problems[0].message.contains("event.body.title"),
                "{problems:?}"
            );
        }
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let (triggers, hook) = (Arc::clone(triggers), hook.clone());
            let inputs = inputs.clone();
            tasks.push(tokio::spawn(async move {
                triggers.receive(&hook, "evt", body, inputs).await.unwrap()
            }));
        }
        let mut runs: BTreeSet<RunId> = BTreeSet::new();
        for task in tasks {
            match task.await.unwrap() {
                Received::Run(run) => runs.insert(run),
                other => panic!("{other:?}"),
            };
        }
        assert_eq!(runs.len(), 1);
        let run = runs.pop_first().unwrap();
        assert_eq!(world.runs().await.len(), 1);
        // Another day, after a restart, with another version of the workflow.
        clock.set("23:00:00");
        let known = triggers.known(&hook, "evt", body).await.unwrap();
        assert_eq!(known, Some(Received::Run(run.clone())));
        let differs = triggers.known(&hook, "evt", other).await.unwrap();
        assert_eq!(differs, Some(Received::Different(run.clone())));
        let late = triggers.receive(&hook, "evt", other, inputs).await.unwrap();
        assert_eq!(late, Received::Different(run));
        assert_eq!(world.runs().await.len(), 1);
        world.stop().await;
    }
}

#[tokio::test]
async fn a_webhook_without_inputs_takes_the_members_of_its_body() {
    let store = memory();
    let clock = Hand::at("09:00:00");
    let mut plan = triggered(TriggerKind::Webhook, "event.id");
    plan.triggers[0].inputs = None;
    let world = World::new(&store, &clock, vec![], vec![plan]);
    let hook = world.triggers.webhook("w").unwrap();
    let given = |body: Value| world.triggers.inputs(&hook, "evt", body);
    let taken = given(json!({"title": "x"})).await.unwrap().unwrap();
    assert_eq!(Value::Object(taken), json!({"title": "x"}));
    let problems = given(json!(["x"])).await.unwrap().unwrap_err();
    assert_eq!(problems[0].message, "the body is no JSON object");
    world.stop().await;
}
