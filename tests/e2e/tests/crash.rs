//! The machine dies after event n, for every n, and before and after every request that changes
//! something; then it is started again and goes on. Each time the tenant must hold exactly what one
//! undisturbed run leaves there.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use docket_e2e::{CrashingStore, Host, Lab, Unsynced};
use docket_engine::{EngineError, StoreError};
use docket_model::{Event, EventKind, Plan, RequestRecord, RunId, RunResult, Signal, StepPath};
use docket_tenant::{Fault, FaultAction};
use serde_json::{Map, Value, json};

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
                "{} {} draft:{} read:{} {} {files:?}",
                mailbox["mailbox"],
                message["folder"],
                message["isDraft"],
                message["isRead"],
                message["subject"]
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

/// An example, with what it is given and told.
struct Example {
    file: String,
    plan: OnceLock<Plan>,
    run: RunId,
}

impl Example {
    fn of(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            plan: OnceLock::new(),
            run: "r-1".parse().unwrap(),
        }
    }

    /// A tenant in which it can run.
    async fn lab(&self) -> Lab {
        let lab = Lab::start().await;
        if self.file == "personal-confirmation.yaml" {
            lab.sign_in_user("anna@contoso.example").await;
        }
        lab
    }

    fn inputs(&self, lab: &Lab, host: &Host) -> Map<String, Value> {
        let signed = |size| Value::Object(host.confirmation(size));
        let inputs = match self.file.as_str() {
            // Large enough for an upload session.
            "signed-contract-confirmation.yaml" => signed(4 << 20),
            "signed-contract-webhook.yaml" => signed(1000),
            "approved-contract.yaml" => {
                let signers = ["anna", "ben"]
                    .map(|name| json!({"name": name, "email": format!("{name}@fabrikam.example")}));
                let document = signed(1000)["document"].take();
                json!({"title": "Loan", "signers": signers, "document": document})
            }
            "personal-confirmation.yaml" => json!({
                "owner": "anna@contoso.example", "to": "ben@fabrikam.example", "title": "Loan",
                "document": signed(1000)["document"].take(),
            }),
            "answer-invoices.yaml" => {
                let mailbox = "invoices@contoso.example";
                let all = lab.tenant.state().messages(mailbox, Some("Invoices"));
                let mail = json!({"mailbox": mailbox, "id": all.unwrap()[0].immutable_id});
                json!({"mail": mail, "sender": "Fabrikam", "attachments": []})
            }
            "import-invoices.yaml" | "book-invoices.yaml" | "unread-invoices.yaml" => json!({}),
            other => panic!("{other}: say here what it is given"),
        };
        inputs.as_object().unwrap().clone()
    }

    /// Starts it, or finds it started, and drives it to its end.
    async fn drive(
        &self,
        host: &Host,
        inputs: &Map<String, Value>,
    ) -> Result<RunResult, EngineError> {
        // Made once: checking it takes longer than running it.
        let plan = self.plan.get_or_init(|| host.plan(&self.file));
        host.start(&self.run, plan, inputs.clone()).await?;
        if self.file == "approved-contract.yaml" {
            let yes = Signal::Decision {
                path: StepPath {
                    step: "approve".into(),
                    item: None,
                },
                approved: true,
                by: "Anna".to_owned(),
                comment: String::new(),
            };
            host.engine.signal(&self.run, "yes", yes).await?;
        }
        host.drive(&self.run).await
    }

    /// One run that nothing disturbs: its traces, and its events.
    async fn undisturbed(&self) -> (Vec<String>, Vec<Event>) {
        let lab = self.lab().await;
        let mut store = None;
        let host = lab.open_with(|opened| Arc::clone(store.insert(opened)));
        let host = host.await;
        let inputs = self.inputs(&lab, &host);
        let result = self.drive(&host, &inputs).await.unwrap();
        let about = format!("{}: {result:?}", self.file);
        assert!(matches!(result, RunResult::Succeeded { .. }), "{about}");
        let events = store.unwrap().events(&self.run).await.unwrap();
        (traces(&lab).await, events)
    }

    /// The machine dies once `events` events are durable; then it is started again. Whether it died
    /// before the end, and how often the fault struck.
    async fn dies(
        &self,
        events: usize,
        fault: Option<Fault>,
        undisturbed: &[String],
    ) -> (bool, u32) {
        let about = format!("{}, event {events}, {fault:?}", self.file);
        let lab = self.lab().await;
        let state = lab.tenant.state();
        if let Some(fault) = fault {
            state.add_fault(fault);
        }
        let mut crashing = None;
        let host = lab.open_with(|store| {
            let error = StoreError::Io("the machine died here".to_owned());
            let store = CrashingStore::new(store, events, Unsynced::Lost, error);
            Arc::clone(crashing.insert(Arc::new(store))) as _
        });
        let host = host.await;
        let inputs = self.inputs(&lab, &host);
        let before = self.drive(&host, &inputs).await;
        let has_died = crashing.unwrap().has_crashed().await;
        assert_eq!(before.is_err(), has_died, "{about}: {before:?}");
        drop(host);
        let struck = state.faults().iter().map(|fault| fault.hits).sum();
        state.clear_faults();

        // Whoever started it was not told so, and asks again; that starts no second one.
        let host = lab.open().await;
        let after = match self.drive(&host, &inputs).await {
            Err(EngineError::Over(_)) => host.drive(&self.run).await,
            after => after,
        };
        let is_good = matches!(after, Ok(RunResult::Succeeded { .. }));
        assert!(is_good, "{about}: {after:?}");
        assert_eq!(traces(&lab).await, undisturbed, "{about}");
        (has_died, struck)
    }

    async fn dies_everywhere(&self) {
        let file = &self.file;
        let (undisturbed, events) = self.undisturbed().await;
        let mut kept = 0;
        while self.dies(kept, None, &undisturbed).await.0 {
            kept += 1;
        }
        assert_eq!(kept, events.len(), "{file}: each event was the last once");
        // There, what was intended has taken effect; here it never arrives.
        let (mut intended, mut struck) = (0, 0);
        for (at, request) in intents(&events) {
            let fault = never_arrives(request, &events[..at]);
            let (has_died, hits) = self.dies(at + 1, Some(fault), &undisturbed).await;
            assert!(has_died, "{file}, event {at}");
            intended += 1;
            struck += hits;
        }
        // Steps side by side do not have their requests in the same order each time.
        let is_parallel = file == "approved-contract.yaml";
        assert!(struck == intended || is_parallel && struck > 0, "{file}");
    }
}

/// The requests that may not be repeated, each with the place of its intent among the events.
fn intents(events: &[Event]) -> impl Iterator<Item = (usize, &RequestRecord)> {
    events.iter().enumerate().filter_map(|(at, event)| {
        let EventKind::EffectIntended { call, .. } = &event.kind else {
            return None;
        };
        Some((at, call.requests.first()?))
    })
}

/// A fault that keeps this request from arriving, after these events.
fn never_arrives(request: &RequestRecord, before: &[Event]) -> Fault {
    let like =
        |other: &RequestRecord| other.method == request.method && path(other) == path(request);
    let calls = before.iter().filter_map(|event| match &event.kind {
        EventKind::EffectIntended { call, .. } => Some(call),
        // What may be repeated has no intent.
        EventKind::EffectDone { call, .. } => call.as_ref(),
        _ => None,
    });
    let earlier = calls
        .flat_map(|call| &call.requests)
        .filter(|one| like(one));
    let nth = u32::try_from(earlier.count()).unwrap() + 1;
    Fault::next(&request.method, &path(request), FaultAction::ResetBefore).nth(nth)
}

/// A pattern of the request's path that holds nothing that differs from run to run.
fn path(request: &RequestRecord) -> String {
    match (request.method.as_str(), request.url.rsplit_once('/')) {
        ("POST", Some((_, last))) => format!("*/{last}"),
        _ => "*".to_owned(),
    }
}

/// Every example, each in a thread of its own.
#[test]
fn every_example_is_done_once_wherever_the_machine_dies() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| {
        let name = entry.unwrap().file_name();
        name.into_string().unwrap()
    });
    let examples: Vec<Example> = files
        .filter(|name| name.ends_with(".yaml"))
        .filter(|name| name != "docket.yaml" && !name.ends_with(".test.yaml"))
        .map(|name| Example::of(&name))
        .collect();
    assert!(examples.len() >= 8, "the examples are elsewhere");
    std::thread::scope(|threads| {
        for example in &examples {
            threads.spawn(|| {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build();
                runtime.unwrap().block_on(example.dies_everywhere());
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_folder_holds_no_secret_of_a_mail_and_its_upload() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let inputs = host.confirmation(4 << 20);
    let plan = host.plan("signed-contract-confirmation.yaml");
    let result = host.run("r-1", &plan, inputs).await;
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
        drives.spawn(async move { host.drive(&run).await });
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
            match host.drive(run).await {
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
    let plan = host.plan("signed-contract-confirmation.yaml");
    for _ in 0..3 {
        let result = host.run("r-1", &plan, host.confirmation(1000)).await;
        assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
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
