//! Tries what only the inside of the journal in SQLite can: full disks, damage, two owners.

use docket_model::EventKind;
use jiff::Timestamp;

use super::*;

fn event(kind: EventKind) -> Event {
    Event {
        at: Timestamp::UNIX_EPOCH,
        kind,
    }
}

fn started(size: usize) -> Event {
    event(EventKind::RunStarted {
        workflow: "w".to_owned(),
        plan: Digest::of(b"plan"),
        inputs: serde_json::Value::String("x".repeat(size)),
        group: None,
    })
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let full = SqliteStore::open_with(&path, |connection| {
        connection.pragma_update(None, "max_page_count", 40)
    })
    .unwrap();
    let mut kept = Vec::new();
    let error = loop {
        let run: RunId = format!("r-{}", kept.len()).parse().unwrap();
        match full
            .append(&run, 0, &[started(10_000)], Durability::Synced)
            .await
        {
            Ok(()) => kept.push(run),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
    assert!(!kept.is_empty());
    let run = &"r-0".parse().unwrap();
    let later = full
        .append(run, 1, &[started(1)], Durability::Ordered)
        .await;
    assert!(
        matches!(later, Err(StoreError::Full(_))),
        "no gap may be left: {later:?}"
    );
    assert_eq!(
        full.events(run).await.unwrap().len(),
        1,
        "what is there can be read"
    );
    drop(full);

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(
        store.runs(RunFilter::default()).await.unwrap().len(),
        kept.len()
    );
    for run in &kept {
        assert_eq!(store.events(run).await.unwrap(), [started(10_000)]);
    }
    store
        .append(run, 1, &[started(1)], Durability::Synced)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_newer_or_foreign_or_broken_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, change: &dyn Fn(&Path), expected: &str| {
        let path = folder.path().join(name);
        drop(SqliteStore::open(&path).unwrap());
        change(&path);
        let error = SqliteStore::open(&path).err().expect(name);
        assert!(error.to_string().contains(expected), "{name}: {error}");
    };
    let pragma = |name: &'static str, value: i32| {
        move |path: &Path| {
            Connection::open(path)
                .unwrap()
                .pragma_update(None, name, value)
                .unwrap();
        }
    };
    check(
        "newer.db",
        &pragma("user_version", 99),
        "newer version of Docket",
    );
    check("foreign.db", &pragma("application_id", 7), "something else");
    check(
        "broken.db",
        &|path| std::fs::write(path, [7; 9000]).unwrap(),
        "damaged",
    );
}

#[tokio::test]
async fn a_second_owner_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let first = SqliteStore::open(&path).unwrap();
    assert!(matches!(
        SqliteStore::open(&path),
        Err(StoreError::InUse(_))
    ));
    drop(first);
    assert!(SqliteStore::open(&path).is_ok());
}

#[tokio::test]
async fn a_damaged_event_is_an_error_and_a_newer_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let run: RunId = "r-1".parse().unwrap();
    let store = SqliteStore::open(&path).unwrap();
    store
        .append(&run, 0, &[started(1)], Durability::Synced)
        .await
        .unwrap();
    let other = Connection::open(&path).unwrap();
    other
        .execute("UPDATE events SET body = '{'", [])
        .unwrap_err();
    other.execute("UPDATE events SET body = x'7b'", []).unwrap();
    assert!(matches!(
        store.events(&run).await,
        Err(StoreError::Damaged(_))
    ));
    other.execute("UPDATE events SET format = 99", []).unwrap();
    assert!(matches!(
        store.events(&run).await,
        Err(StoreError::Newer { found: 99, .. })
    ));
}

#[tokio::test]
async fn a_foreign_database_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE mine (a)")
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(
        SqliteStore::open(&path),
        Err(StoreError::Damaged(_))
    ));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn an_event_that_is_missing_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let store = SqliteStore::open(&path).unwrap();
    let run: RunId = "r-1".parse().unwrap();
    let three = [started(1), started(2), started(3)];
    store
        .append(&run, 0, &three, Durability::Synced)
        .await
        .unwrap();
    let other = Connection::open(&path).unwrap();
    other
        .execute("DELETE FROM events WHERE seq = 1", [])
        .unwrap();
    let error = store.events(&run).await.unwrap_err().to_string();
    assert!(error.contains("event 1 of run r-1 is missing"), "{error}");
}

/// Appends of the same number at the same time: one is kept, the others are told, and the journal
/// goes on.
/// Room that cannot be given back is a pity, and no reason to stop.
#[tokio::test]
async fn a_vacuum_that_fails_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_with(&folder.path().join("journal.db"), |connection| {
        // VACUUM attaches a database of its own, and there is no place for one more.
        (0..10).try_for_each(|number| {
            connection.execute_batch(&format!("ATTACH ':memory:' AS taken{number}"))
        })
    })
    .unwrap();
    let run: RunId = "r-1".parse().unwrap();
    let event = [started(1)];
    let append = store.append(&run, 0, &event, Durability::Synced);
    append.await.unwrap();
    let vacuum = store.writer.write(Work::Vacuum).await;
    assert!(matches!(vacuum, Err(StoreError::Io(_))), "{vacuum:?}");
    let append = store.append(&run, 1, &event, Durability::Synced);
    append.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_is_told_to_those_who_made_it_and_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("journal.db")).unwrap());
    let run: RunId = "r-1".parse().unwrap();
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..64 {
        let (store, run) = (Arc::clone(&store), run.clone());
        let durability = match number % 2 {
            0 => Durability::Ordered,
            _ => Durability::Synced,
        };
        racers.spawn(async move { store.append(&run, 0, &[started(number)], durability).await });
    }
    let results = racers.join_all().await;
    for result in &results {
        assert!(
            matches!(result, Ok(()) | Err(StoreError::Conflict(_))),
            "{result:?}"
        );
    }
    // Ordered ones are queued, and told by what follows.
    let kept = store.events(&run).await.unwrap();
    assert_eq!(kept.len(), 1);
    store
        .append(&run, 1, &[started(1)], Durability::Synced)
        .await
        .unwrap();
}

/// What follows an append that did not happen does not happen either, and says so.
#[tokio::test]
async fn a_queued_append_that_conflicts_is_told_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("journal.db")).unwrap();
    let run: RunId = "r-1".parse().unwrap();
    store
        .append(&run, 0, &[started(0)], Durability::Ordered)
        .await
        .unwrap();
    store
        .append(&run, 7, &[started(7)], Durability::Ordered)
        .await
        .unwrap();
    let next = [started(8)];
    let next = store.append(&run, 8, &next, Durability::Synced).await;
    assert!(matches!(next, Err(StoreError::Conflict(_))));
    assert_eq!(store.events(&run).await.unwrap().len(), 1);
}

/// Work that nobody waits for is committed together with what comes next, and by itself soon.
#[tokio::test]
async fn what_nobody_waits_for_lingers_for_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let store = SqliteStore::open(&path).unwrap();
    let run: RunId = "r-1".parse().unwrap();
    let reader = Connection::open(&path).unwrap();
    let version = || -> i64 {
        reader
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .unwrap()
    };
    let before = version();
    store
        .append(&run, 0, &[started(0)], Durability::Ordered)
        .await
        .unwrap();
    // Nobody asks the store, which would make it hurry.
    while version() == before {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.events(&run).await.unwrap().len(), 1);
}

/// What the journal is asked for often is found by an index, however many runs there are.
#[test]
fn questions_are_answered_by_their_indices() {
    let folder = tempfile::tempdir().unwrap();
    let connection = schema::open(&folder.path().join("journal.db")).unwrap();
    let filter = |only_unfinished, workflow: Option<&str>| RunFilter {
        only_unfinished,
        workflow: workflow.map(str::to_owned),
        before: None,
        limit: Some(9),
    };
    let earlier = RunFilter {
        before: Some("r-1".parse().unwrap()),
        ..filter(false, Some("w"))
    };
    let mut questions = parked::tests::plans();
    questions.extend([
        retain::tests::plan(),
        (runs_sql(&filter(true, None)), "runs_unfinished"),
        (runs_sql(&filter(false, Some("w"))), "runs_by_workflow"),
        (
            runs_sql(&earlier),
            "runs_by_workflow (workflow=? AND number<?)",
        ),
        (
            format!("{SUMMARY} WHERE id = ?1"),
            "sqlite_autoindex_runs_1",
        ),
        (
            "SELECT 1 FROM documents WHERE digest = ?1 LIMIT 1".to_owned(),
            "PRIMARY KEY",
        ),
    ]);
    for (sql, index) in questions {
        let plan = explain(&connection, &sql);
        assert!(plan.contains(index), "{sql}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
    for sql in parked::tests::grouping() {
        let plan = explain(&connection, &sql);
        assert!(plan.contains("waits_by_account"), "{sql}\n{plan}");
    }
    let all = explain(&connection, &runs_sql(&filter(false, None)));
    assert!(
        !all.contains("TEMP B-TREE"),
        "the newest come by their numbers: {all}"
    );
}

fn explain(connection: &Connection, sql: &str) -> String {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    for parameter in 1..=statement.parameter_count() {
        statement.raw_bind_parameter(parameter, 1).unwrap();
    }
    let mut rows = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        plan.push(row.get::<_, String>(3).unwrap());
    }
    plan.join("\n")
}

/// Whatever somebody does to a run's record, the verdict says where.
#[tokio::test]
async fn a_changed_record_is_found_and_the_place_is_told() {
    let run: RunId = "r-1".parse().unwrap();
    for (change, broken, why) in [
        (
            "UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'xxx', 'xxy') AS BLOB) WHERE seq = 2",
            2,
            "not what was written",
        ),
        (
            "UPDATE events SET format = 1 WHERE seq = 1",
            1,
            "not what was written",
        ),
        ("DELETE FROM events WHERE seq = 1", 1, "missing"),
        ("DELETE FROM events WHERE seq = 3", 3, "missing"),
        ("DELETE FROM events", 0, "missing"),
        (
            "INSERT INTO events SELECT run, 4, format, body, hash FROM events WHERE seq = 3",
            4,
            "not what was written",
        ),
        (
            "UPDATE events SET seq = CASE seq WHEN 1 THEN 102 WHEN 2 THEN 101 END WHERE seq IN (1, 2); \
          UPDATE events SET seq = seq - 100 WHERE seq > 100",
            1,
            "not what was written",
        ),
        (
            "UPDATE runs SET head = zeroblob(32)",
            3,
            "the chain ends otherwise",
        ),
        (
            "UPDATE runs SET result = CAST('{\"state\":\"succeeded\",\"outputs\":{}}' AS BLOB)",
            3,
            "of its end",
        ),
        (
            "UPDATE runs SET finished_at = '2020-01-01T00:00:00Z'",
            3,
            "of its end",
        ),
        ("UPDATE runs SET workflow = 'other'", 0, "of its start"),
        ("UPDATE runs SET plan = zeroblob(32)", 0, "of its start"),
        (
            "UPDATE runs SET started_at = '2020-01-01T00:00:00Z'",
            0,
            "of its start",
        ),
        ("UPDATE runs SET events = 3", 3, "added"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let store = SqliteStore::open(&path).unwrap();
        let skipped = |step: &str| {
            event(EventKind::StepSkipped {
                path: docket_model::StepPath {
                    step: step.into(),
                    item: None,
                },
            })
        };
        let ended = event(EventKind::RunFinished {
            result: RunResult::Cancelled,
        });
        let events = [started(9), skipped("a"), skipped("xxx"), ended];
        store
            .append(&run, 0, &events[..2], Durability::Ordered)
            .await
            .unwrap();
        store
            .append(&run, 2, &events[2..], Durability::Synced)
            .await
            .unwrap();
        let intact = store.verify(&run).await.unwrap();
        assert!(
            matches!(intact, Verdict::Intact { events: 4, .. }),
            "{intact:?}"
        );
        Connection::open(&path)
            .unwrap()
            .execute_batch(change)
            .unwrap();
        let Verdict::Broken {
            event: found,
            why: says,
        } = store.verify(&run).await.unwrap()
        else {
            panic!("not found: {change}");
        };
        assert_eq!(found, broken, "{change}: {says}");
        assert!(says.contains(why), "{change}: {says}");
    }
}

/// A database that something else has locked is waited for, and given up whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_somebody_else_is_waited_for_or_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let patient = Arc::new(SqliteStore::open(&path).unwrap());
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let append = {
        let (store, run) = (Arc::clone(&patient), "r-1".parse::<RunId>().unwrap());
        tokio::spawn(async move {
            store
                .append(&run, 0, &[started(1)], Durability::Synced)
                .await
        })
    };
    tokio::task::yield_now().await;
    other.execute_batch("COMMIT").unwrap();
    append.await.unwrap().unwrap();
    drop(patient);

    let hasty = SqliteStore::open_with(&path, |connection| {
        connection.busy_timeout(std::time::Duration::ZERO)
    })
    .unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let run: RunId = "r-2".parse().unwrap();
    let refused = hasty
        .append(&run, 0, &[started(1)], Durability::Synced)
        .await;
    assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
    other.execute_batch("COMMIT").unwrap();
    drop(hasty);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.runs(RunFilter::default()).await.unwrap().len(), 1);
    store
        .append(&run, 0, &[started(1)], Durability::Synced)
        .await
        .unwrap();
}
