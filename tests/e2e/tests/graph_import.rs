//! The actions of `graph-import` as components in the whole host, against the tenant.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::sync::Arc;

use docket_e2e::Lab;
use docket_engine::{LogLevel, Reporter, Triggers};
use docket_model::{Event, EventKind, RunId, RunResult, StepPath};
use docket_tenant::{Attachment, Fault, FaultAction, Recipient, SeedMail, TenantConfig};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const MAILBOX: &str = "invoices@contoso.example";

/// Runs one step of `graph-import`, and gives its output.
async fn import(lab: &Lab, action: &str, with: &str) -> Value {
    let host = lab.open().await;
    let text = format!(
        "workflow: test\non: {{manual: }}\nconnections: {{graph-import: contoso}}\nsteps:\n  \
         - id: import\n    uses: graph-import/{action}\n    with: {with}\n\
         outputs: {{found: \"${{{{ steps.import.output }}}}\"}}\n"
    );
    let plan = host.plan_of("test.yaml", &text);
    match host.run("r-1", &plan, Map::new()).await {
        RunResult::Succeeded { outputs } => outputs["found"].clone(),
        other => panic!("{with}: {other:?}"),
    }
}

fn subjects(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|message| message["subject"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_folders_give_what_they_say() {
    for (with, expected) in [
        (
            "{mailbox: invoices@contoso.example, folder: Invoices, subject: nw-778}",
            vec!["Invoice NW-778 and delivery note"],
        ),
        (
            "{mailbox: invoices@contoso.example, folder: Invoices, from: finance@litware.example}",
            vec!["Your invoice LIT-15"],
        ),
        (
            "{mailbox: invoices@contoso.example, folder: Invoices, has-attachments: false}",
            vec!["Our new bank details from next month"],
        ),
        (
            "{mailbox: invoices@contoso.example, folder: msgfolderroot, subfolders: true, from: '@fabrikam.example', order: newest-first}",
            vec!["Our new bank details from next month", "Invoice INV-2041"],
        ),
        (
            "{mailbox: invoices@contoso.example, folder: Invoices, category: Red}",
            vec![],
        ),
    ] {
        let lab = Lab::start().await;
        let found = import(&lab, "messages", with).await;
        assert_eq!(subjects(&found["messages"]), expected, "{with}");
        assert_eq!(found["more"], false, "{with}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_whole_when_asked_for() {
    let lab = Lab::start().await;
    let with = "{mailbox: invoices@contoso.example, folder: Invoices, subject: LIT-15, body: both, headers: true, original: true, inline: true}";
    let found = import(&lab, "messages", with).await;
    let message = &found["messages"][0];
    assert!(
        message["html"].as_str().unwrap().contains("<p>"),
        "{message}"
    );
    assert!(
        !message["text"].as_str().unwrap().contains('<'),
        "{message}"
    );
    assert_eq!(message["folder"], "Invoices");
    assert_eq!(message["original"]["name"], "Your invoice LIT-15.eml");
    let names = message["attachments"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["logo.png", "LIT-15.pdf"]);
    assert!(message["headers"].is_array(), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_lies_is_cleaned_and_an_empty_file_is_a_document() {
    let mut config = TenantConfig::contoso();
    let from = Recipient::named("Fabrikam", "billing@fabrikam.example");
    let mut mail = SeedMail::text(MAILBOX, from, "Extra", "Hello");
    mail.folder = "Invoices".to_owned();
    let name = "../a\u{202e}b.pdf";
    mail.attachments = vec![Attachment::file(name, "application/pdf", b"".to_vec())];
    config.mail.push(mail);
    let lab = Lab::start_with(config).await;
    let with = "{mailbox: invoices@contoso.example, folder: Invoices, subject: extra}";
    let found = import(&lab, "messages", with).await;
    let file = &found["messages"][0]["attachments"][0];
    assert_eq!(file["name"], ".._ab.pdf", "{found}");
    assert_eq!(file["document"]["size"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let lab = Lab::start().await;
    for path in ["*/mailFolders/*/messages", "*/attachments", "*/$value"] {
        let cut = Fault::next("GET", path, FaultAction::CutOff { bytes: 20 });
        lab.tenant.state().add_fault(cut);
    }
    let with = "{mailbox: invoices@contoso.example, folder: Invoices}";
    let found = import(&lab, "messages", with).await;
    assert_eq!(found["messages"].as_array().unwrap().len(), 4);
    let files = found["messages"].as_array().unwrap().iter();
    let files: usize = files
        .map(|m| m["attachments"].as_array().unwrap().len())
        .sum();
    assert_eq!(files, 4);
}

/// Hears which runs end at once, and why.
struct Ends(mpsc::UnboundedSender<RunResult>);

impl Reporter for Ends {
    fn event(&self, _: &RunId, event: &Event) {
        if let EventKind::RunFinished { result } = &event.kind {
            let _ = self.0.send(result.clone());
        }
    }
    fn log(&self, _: &RunId, _: &StepPath, _: LogLevel, _: &str) {}
    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {}
}

/// The laboratory's clock goes on to the next poll at once, so the hour of tries takes no time.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_whose_attachment_cannot_be_read_has_a_run_that_fails_and_keeps_none_back() {
    let lab = Lab::start().await;
    let state = lab.tenant.state();
    let host = lab.open().await;
    let text = "
workflow: take
on:
  source:
    uses: graph-import/new-messages
    with: {mailbox: invoices@contoso.example, folder: Inbox}
    every: 1m
    inputs: {subject: '${{ event.item.subject }}'}
inputs: {subject: {required: true}}
connections: {graph-import: contoso}
steps:
  - uses: wait/timer
    with: {for: 0s}
";
    let plan = Arc::new(host.plan_of("take.yaml", text));
    let (tell, mut told) = mpsc::unbounded_channel();
    let triggers = Triggers::new(Arc::clone(&host.engine), Arc::new(Ends(tell)));
    triggers.set(vec![plan]);
    let shutdown = CancellationToken::new();
    let before = lab.clock.now();
    let from = Recipient::named("Fabrikam", "billing@fabrikam.example");
    let serving = triggers.serve(shutdown.clone());
    let watching = async {
        let started = async || triggers.list().await.unwrap().remove(0).started;
        while triggers.list().await.unwrap()[0].next_at.is_none() {
            tokio::task::yield_now().await;
        }
        let refused = FaultAction::Unavailable { retry_after: None };
        state.add_fault(Fault::next("GET", "*/attachments/*/$value", refused).always());
        let mail = |subject| SeedMail::text(MAILBOX, from.clone(), subject, "Hello.");
        let file = Attachment::file("bad.pdf", "application/pdf", b"%PDF".to_vec());
        let unreadable = SeedMail {
            attachments: vec![file],
            ..mail("Cannot be read")
        };
        state.add_message(&unreadable).unwrap();
        state.add_message(&mail("Can be read")).unwrap();
        while started().await == 0 {
            tokio::task::yield_now().await;
        }
        assert!(told.try_recv().is_err(), "the other one is not kept back");
        let Some(RunResult::Failed { failure, .. }) = told.recv().await else {
            panic!("no run that fails");
        };
        assert_eq!(failure.code, "unreadable-item");
        assert!(failure.message.contains("bad.pdf"), "{failure:?}");
        let took = lab.clock.now().duration_since(before).as_mins();
        assert!((75..100).contains(&took), "{took} minutes");
        assert_eq!(started().await, 2);
        shutdown.cancel();
    };
    tokio::join!(serving, watching);
}
