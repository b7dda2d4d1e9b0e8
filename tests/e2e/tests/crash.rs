//! The machine dies after event n, for every n; then it is started again and goes on. Each time
//! the tenant must hold exactly what one undisturbed run leaves there.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::sync::Arc;

use docket_e2e::{CrashingStore, Lab, Silent, Unsynced};
use docket_engine::{EngineError, StoreError};
use docket_model::{Event, EventKind, RunId, RunResult};
use docket_tenant::{Fault, FaultAction};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

/// What the tenant holds after a run, without what differs from run to run.
async fn traces(lab: &Lab) -> Vec<String> {
    let all = lab.mailboxes().await;
    let mut found = Vec::new();
    for mailbox in all["mailboxes"].as_array().unwrap() {
        for message in mailbox["messages"].as_array().unwrap() {
            let files: Vec<_> = message["attachments"]
                .as_array()
                .unwrap()
                .iter()
                .map(|file| format!("{} {}", file["name"], file["sha256"]))
                .collect();
            found.push(format!(
                "{} {} draft:{} {} {files:?}",
                mailbox["mailbox"], message["folder"], message["isDraft"], message["subject"]
            ));
        }
    }
    let outside = lab.tenant.ask("/_tenant/outside").await.unwrap();
    for mail in outside["mail"].as_array().unwrap() {
        found.push(format!(
            "outside {} {}",
            mail["recipients"], mail["subject"]
        ));
    }
    found.sort();
    found
}

async fn crash_everywhere(workflow: &str, document: Option<usize>) {
    let run: RunId = "r-1".parse().unwrap();
    let silent = || Arc::new(Silent);
    let undisturbed = {
        let lab = Lab::start().await;
        let host = lab.open().await;
        let inputs = document.map_or_else(Map::new, |size| host.confirmation(size));
        host.start(&run, &host.plan(workflow), inputs)
            .await
            .unwrap();
        let result = host
            .engine
            .drive(&run, silent(), CancellationToken::new())
            .await
            .unwrap();
        assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
        traces(&lab).await
    };
    for events in 0.. {
        let lab = Lab::start().await;
        let mut crashing = None;
        let host = lab
            .open_with(|store| {
                let error = StoreError::Io("the machine died here".to_owned());
                let store = CrashingStore::new(store, events, Unsynced::Lost, error);
                let store = Arc::new(store);
                crashing = Some(Arc::clone(&store));
                store
            })
            .await;
        let crashing = crashing.unwrap();
        let inputs = document.map_or_else(Map::new, |size| host.confirmation(size));
        let plan = host.plan(workflow);
        // The caller was not told that the run started, and asks again; that starts no second one.
        let started = host.start(&run, &plan, inputs.clone()).await;
        let before = match started {
            Ok(()) => {
                host.engine
                    .drive(&run, silent(), CancellationToken::new())
                    .await
            }
            Err(error) => Err(error),
        };
        assert_eq!(
            before.is_err(),
            crashing.has_crashed().await,
            "event {events}: {before:?}"
        );
        drop((host, crashing));

        let host = lab.open().await;
        host.start(&run, &plan, inputs).await.unwrap();
        let after = host
            .engine
            .drive(&run, silent(), CancellationToken::new())
            .await
            .unwrap();
        assert!(
            matches!(after, RunResult::Succeeded { .. }),
            "event {events}: {after:?}"
        );
        assert_eq!(traces(&lab).await, undisturbed, "after event {events}");
        if before.is_ok() {
            assert!(events > 8, "the crashes were counted: {events}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_confirmation_mail_whatever_event_is_the_last() {
    crash_everywhere("signed-contract-confirmation.yaml", Some(4 << 20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_invoice_is_answered_and_filed_once_whatever_event_is_the_last() {
    crash_everywhere("import-invoices.yaml", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_has_its_document_and_the_journal_no_secret() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let run: RunId = "r-1".parse().unwrap();
    let inputs = host.confirmation(4 << 20);
    let plan = host.plan("signed-contract-confirmation.yaml");
    host.start(&run, &plan, inputs).await.unwrap();
    let result = host
        .engine
        .drive(&run, Arc::new(Silent), CancellationToken::new())
        .await
        .unwrap();
    assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
    drop(host);

    let secrets = lab.tenant.state().secrets();
    let uploads = lab.tenant.state().requests();
    assert!(
        uploads.iter().any(|request| request.method == "PUT"),
        "the large document went by an upload session"
    );
    assert!(secrets.len() > 5, "{} secrets", secrets.len());
    let mut files = Vec::new();
    collect(lab.data(), &mut files);
    assert!(files.len() > 4);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for needle in &secrets {
            let is_in = bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes());
            assert!(!is_in, "{} holds a secret", file.display());
        }
    }
}

fn collect(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// Runs that wait for their turn at a mailbox have begun nothing: a crash leaves in doubt no more than
/// what may be under way there at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_in_doubt_only_what_was_under_way() {
    const RUNS: usize = 12;
    let lab = Lab::start().await;
    let stuck = FaultAction::Latency { millis: 600_000 };
    let fault = Fault::next("POST", "*/messages", stuck).always();
    lab.tenant.state().add_fault(fault);
    let mut store = None;
    let host = lab
        .open_with(|opened| {
            store = Some(Arc::clone(&opened));
            opened
        })
        .await;
    let (host, store) = (Arc::new(host), store.unwrap());
    let plan = host.plan("signed-contract-confirmation.yaml");
    let mut drives = tokio::task::JoinSet::new();
    let runs: Vec<RunId> = (0..RUNS)
        .map(|number| format!("r-{number}").parse().unwrap())
        .collect();
    for run in &runs {
        let inputs = host.confirmation(1000);
        host.start(run, &plan, inputs).await.unwrap();
        let (host, run) = (Arc::clone(&host), run.clone());
        drives.spawn(async move {
            let park = CancellationToken::new();
            host.engine.drive(&run, Arc::new(Silent), park).await
        });
    }
    let began = |event: &Event| matches!(event.kind, EventKind::StepStarted { .. });
    for run in &runs {
        while !store.events(run).await.unwrap().iter().any(began) {
            tokio::task::yield_now().await;
        }
    }
    while lab.tenant.state().faults()[0].hits < 4 {
        tokio::task::yield_now().await;
    }
    let mut intended = 0;
    for run in &runs {
        let is_intent = |event: &&Event| matches!(event.kind, EventKind::EffectIntended { .. });
        intended += store
            .events(run)
            .await
            .unwrap()
            .iter()
            .filter(is_intent)
            .count();
    }
    assert_eq!(intended, 4, "as many as a mailbox takes at a time");
    drives.shutdown().await;
    lab.tenant.state().clear_faults();
    for run in &runs {
        let result = loop {
            let park = CancellationToken::new();
            match host.engine.drive(run, Arc::new(Silent), park).await {
                // What the aborted drive had handed over is still being appended.
                Err(EngineError::UnderWay(_)) => tokio::task::yield_now().await,
                result => break result,
            }
        };
        assert!(
            matches!(result, Ok(RunResult::Succeeded { .. })),
            "{result:?}"
        );
    }
    let sent = lab.tenant.state().outside();
    assert_eq!(sent.len(), RUNS);
}

/// The documents and answers of a run, as far as they matter, are a function of its inputs.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_with_the_same_id_changes_nothing() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let run: RunId = "r-1".parse().unwrap();
    let plan = host.plan("signed-contract-confirmation.yaml");
    for _ in 0..3 {
        host.start(&run, &plan, host.confirmation(1000))
            .await
            .unwrap();
        let result = host
            .engine
            .drive(&run, Arc::new(Silent), CancellationToken::new())
            .await;
        assert!(
            matches!(result, Ok(RunResult::Succeeded { .. })),
            "{result:?}"
        );
    }
    let sent: Vec<Value> = lab.mailboxes().await["mailboxes"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|mailbox| mailbox["messages"].as_array().unwrap().clone())
        .filter(|message| message["folder"] == "Sent Items")
        .collect();
    assert_eq!(sent.len(), 1);
}
