//! Journals that earlier versions wrote stay readable: each file of `formats` is one.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::path::Path;

use docket_engine::{EventStore, RunFilter, Verdict};
use docket_journal::SqliteStore;
use docket_model::{Digest, RunResult};
use rusqlite::Connection;
use serde_json::Value;

/// What is stored for an event, as it stands in the file.
fn stored(connection: &Connection, run: &str) -> Vec<Value> {
    let mut statement = connection
        .prepare("SELECT body FROM events JOIN runs ON number = run WHERE id = ?1 ORDER BY seq")
        .unwrap();
    let bodies = statement
        .query_map([run], |row| row.get::<_, Vec<u8>>(0))
        .unwrap();
    bodies
        .map(|body| serde_json::from_slice(&body.unwrap()).unwrap())
        .collect()
}

async fn check(script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let written = Connection::open(&path).unwrap();
    written.execute_batch(script).unwrap();

    let store = SqliteStore::open(&path).unwrap();
    let runs = store.runs(RunFilter::default()).await.unwrap();
    let ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(ids, ["r-open", "r-cancelled", "r-succeeded", "r-failed"]);
    assert!(runs[0].finished_at.is_none());
    assert_eq!(runs[1].result, Some(RunResult::Cancelled));
    assert_eq!(runs[3].started_at.to_string(), "2026-11-21T09:00:00.5Z");
    assert!(
        store
            .uses_document(Digest::from_bytes([0xab; 32]))
            .await
            .unwrap()
    );
    for run in &runs {
        let events = store.events(&run.id).await.unwrap();
        let told: Vec<Value> = events
            .iter()
            .map(|event| serde_json::to_value(event).unwrap())
            .collect();
        // Nothing was read as something else, and nothing was left out.
        assert_eq!(told, stored(&written, run.id.as_str()), "{}", run.id);
        let verdict = store.verify(&run.id).await.unwrap();
        let (events, head) = (run.events, run.head);
        assert_eq!(verdict, Verdict::Intact { events, head }, "{}", run.id);
    }
}

#[tokio::test]
async fn every_format_is_still_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        check(&std::fs::read_to_string(file.unwrap().path()).unwrap()).await;
        count += 1;
    }
    assert_eq!(count, docket_model::FORMAT, "one journal of each format");
}
