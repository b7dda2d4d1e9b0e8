//! Retention, backup and restore: what goes, and what stays whatever happens.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod told;

use std::path::Path;
use std::time::Duration;

use docket_engine::{Documents, Durability, EventStore, Prune, RunFilter, StoreError, Verdict};
use docket_journal::{FileDocuments, MemoryStore, SqliteStore, backup, restore};
use docket_model::Digest;
use jiff::Timestamp;
use serde_json::{Value, json};

use told::{at, finished, run, start, started};

fn document(digest: Digest) -> Value {
    json!({"$document": digest, "name": "a.pdf", "mediaType": "application/pdf", "size": 4})
}

async fn retention(store: &dyn EventStore) {
    let plan = store.put_blob(b"plan".to_vec()).await.unwrap();
    let [kept, gone] = [&b"kept"[..], b"gone"].map(Digest::of);
    for (name, digest, ended) in [
        ("old", gone, Some(100)),
        ("new", kept, Some(900)),
        ("open", kept, None),
    ] {
        let mut events = vec![started(document(digest), None)];
        events.extend(ended.map(finished));
        store
            .append(&run(name), 0, &events, Durability::Synced)
            .await
            .unwrap();
    }
    assert!(store.uses_document(gone).await.unwrap());
    let prune = |second: i64, state: &str| Prune {
        ended_before: at(second),
        states: vec![state.to_owned()],
        workflow: Some("w".to_owned()),
        limit: 10,
    };
    assert_eq!(store.prune(prune(500, "succeeded")).await.unwrap(), 0);
    assert_eq!(store.prune(prune(500, "cancelled")).await.unwrap(), 1);
    assert_eq!(store.events(&run("old")).await.unwrap(), []);
    assert!(!store.uses_document(gone).await.unwrap());
    assert!(store.uses_document(kept).await.unwrap());
    for _ in 0..3 {
        store.prune(prune(9_999, "cancelled")).await.unwrap();
    }
    assert_eq!(
        store.runs(RunFilter::default()).await.unwrap().len(),
        1,
        "one is not over"
    );
    assert!(
        store.blob(plan).await.unwrap().is_some(),
        "and needs its plan"
    );
    let end = [finished(5)];
    store
        .append(&run("open"), 1, &end, Durability::Synced)
        .await
        .unwrap();
    for _ in 0..3 {
        store.prune(prune(9_999, "cancelled")).await.unwrap();
    }
    assert_eq!(store.blob(plan).await.unwrap(), None);
    assert_eq!(store.put_blob(b"plan".to_vec()).await.unwrap(), plan);
    assert!(store.blob(plan).await.unwrap().is_some());

    // However many batches a pruning has, it is one: a run of the plan may be about to start.
    for name in ["many-1", "many-2", "many-3"] {
        let events = [started(json!({}), None), finished(6)];
        let many = run(name);
        let append = store.append(&many, 0, &events, Durability::Synced);
        append.await.unwrap();
    }
    let fresh = store.put_blob(b"fresh".to_vec()).await.unwrap();
    let one = |state: &str| Prune {
        limit: 1,
        ..prune(9_999, state)
    };
    for expected in [1, 1, 1, 0] {
        assert_eq!(store.prune(one("cancelled")).await.unwrap(), expected);
    }
    assert!(store.blob(fresh).await.unwrap().is_some());
    store.prune(one("cancelled")).await.unwrap();
    assert_eq!(store.blob(fresh).await.unwrap(), None);

    let asked = Prune {
        states: vec!["failed".to_owned(); 40_000],
        ..prune(9_999, "failed")
    };
    assert_eq!(store.prune(asked).await.unwrap(), 0);
    start(store, "after").await;
}

#[tokio::test]
async fn what_ended_long_ago_goes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("journal.db")).unwrap();
    retention(&store).await;
    retention(&MemoryStore::new()).await;
}

fn age(file: &Path, by: Duration) {
    let file = std::fs::File::options().write(true).open(file).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - by).unwrap();
}

fn file_of(folder: &Path, digest: Digest) -> std::path::PathBuf {
    let hex = digest.to_hex();
    folder.join(&hex[..2]).join(&hex[2..])
}

#[test]
fn only_documents_that_are_old_and_unused_go() {
    let folder = tempfile::tempdir().unwrap();
    let documents = FileDocuments::open(folder.path()).unwrap();
    let put = |text: &str| {
        (&documents as &dyn Documents)
            .put("a", "text/plain", text.as_bytes())
            .unwrap()
            .digest
    };
    let day = Duration::from_secs(86_400);
    let [used, old, young, kept, again] = ["used", "old", "young", "kept", "again"].map(put);
    for digest in [used, old, kept, again] {
        age(&file_of(folder.path(), digest), 3 * day);
    }
    assert!(documents.keep(kept).unwrap());
    assert_eq!(put("again"), again);
    let now = Timestamp::try_from(
        std::fs::metadata(file_of(folder.path(), young))
            .unwrap()
            .modified()
            .unwrap(),
    )
    .unwrap();
    let swept = documents
        .sweep(now, 2 * day, &mut |digest| Ok(digest == used))
        .unwrap();
    assert_eq!(swept, (1, 3));
    let left =
        [used, old, young, kept, again].map(|digest| documents.open(digest).unwrap().is_some());
    assert_eq!(left, [true, false, true, true, true]);
    assert!(!documents.keep(old).unwrap());
}

#[tokio::test]
async fn a_backup_is_made_while_runs_go_on_and_can_be_restored() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let store = SqliteStore::open(&data.join("journal.db")).unwrap();
    let documents = FileDocuments::open(&data.join("documents")).unwrap();
    let all: &dyn Documents = &documents;
    let used = all.put("a.pdf", "application/pdf", b"contract").unwrap();
    all.put("b.pdf", "application/pdf", b"of nobody").unwrap();
    let events = [started(document(used.digest), None), finished(1)];
    store
        .append(&run("r-1"), 0, &events, Durability::Synced)
        .await
        .unwrap();
    let copy = folder.path().join("copy");
    let made = backup(&store, &documents, &copy).await.unwrap();
    assert_eq!((made.runs, made.documents), (1, 1));
    start(&store, "later").await;
    assert!(
        backup(&store, &documents, &copy).await.is_err(),
        "there is one already"
    );

    let restored = folder.path().join("restored");
    assert_eq!(restore(&copy, &restored).unwrap(), made);
    let after = SqliteStore::open(&restored.join("journal.db")).unwrap();
    let runs = after.runs(RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
    let intact = after.verify(&run("r-1")).await.unwrap();
    assert!(matches!(intact, Verdict::Intact { .. }), "{intact:?}");
    let kept = FileDocuments::open(&restored.join("documents")).unwrap();
    assert_eq!(kept.open(used.digest).unwrap().unwrap().size(), 8);
    assert!(
        restore(&copy, &restored).is_err(),
        "a journal is never written over"
    );

    // A backup that is not whole is refused, and leaves no journal behind.
    for (number, damage) in ["changed", "missing", "database"].into_iter().enumerate() {
        let bad = folder.path().join(format!("bad-{number}"));
        let made = backup(&store, &documents, &bad).await.unwrap();
        assert_eq!(made.runs, 2);
        let file = file_of(&bad.join("documents"), used.digest);
        match damage {
            "changed" => std::fs::write(&file, b"contracT").unwrap(),
            "missing" => std::fs::remove_file(&file).unwrap(),
            _ => std::fs::write(bad.join("journal.db"), [7; 9000]).unwrap(),
        }
        let to = folder.path().join(format!("to-{number}"));
        let refused = restore(&bad, &to);
        assert!(
            matches!(refused, Err(StoreError::Damaged(_))),
            "{damage}: {refused:?}"
        );
        assert!(!to.join("journal.db").exists(), "{damage}");
    }
}

/// SQLite would take what another database left in its log for a part of this one.
#[tokio::test]
async fn nothing_that_another_journal_left_gets_into_a_restored_one() {
    let folder = tempfile::tempdir().unwrap();
    let journal = |name: &str| SqliteStore::open(&folder.path().join(name)).unwrap();
    let documents = FileDocuments::open(&folder.path().join("documents")).unwrap();
    let copy = folder.path().join("copy");
    {
        let store = journal("copied.db");
        start(&store, "copied").await;
        backup(&store, &documents, &copy).await.unwrap();
    }
    let store = journal("other.db");
    start(&store, "other").await;
    store.put_blob(b"plan".to_vec()).await.unwrap();
    let log = std::fs::read(folder.path().join("other.db-wal")).unwrap();
    assert!(!log.is_empty());

    // The journal is gone, and what was not yet brought into it is not.
    let to = folder.path().join("to");
    std::fs::create_dir(&to).unwrap();
    std::fs::write(to.join("journal.db-wal"), &log).unwrap();
    let refused = restore(&copy, &to);
    assert!(matches!(refused, Err(StoreError::Io(_))), "{refused:?}");
    std::fs::remove_file(to.join("journal.db-wal")).unwrap();

    // A restore before this one broke off.
    std::fs::write(to.join("journal.unfinished-wal"), &log).unwrap();
    restore(&copy, &to).unwrap();
    let restored = SqliteStore::open(&to.join("journal.db")).unwrap();
    let runs = restored.runs(RunFilter::default()).await.unwrap();
    let ids: Vec<&str> = runs.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["copied"]);
}
