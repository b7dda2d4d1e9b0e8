//! The examples that users start from are right, with the plugins as they are built.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use docket_e2e::Lab;
use docket_model::RunResult;
use serde_json::{Map, json};

#[tokio::test]
async fn the_examples_are_plans() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows");
    let mut checked = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_other = name == "docket.yaml" || name.ends_with(".test.yaml");
        if path.extension().is_some_and(|ending| ending == "yaml") && !is_other {
            assert!(!host.plan(name).steps.is_empty(), "{name}");
            checked += 1;
        }
    }
    assert!(checked >= 7, "the examples are elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_morning_mail_counts_what_nobody_has_read() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let plan = host.plan("unread-invoices.yaml");
    match host.run("r-morning", &plan, Map::new()).await {
        RunResult::Succeeded { outputs } => assert_eq!(outputs, json!({"unread": 4})),
        other => panic!("{other:?}"),
    }
    let all = lab.mailboxes().await.to_string();
    assert_eq!(all.matches("\"4 invoices are unread\"").count(), 2, "{all}");
}
