//! Mail that comes in: each has one run, whatever dies, and one that cannot be handled keeps no other
//! back.

use docket_e2e::{Binary, Lab};
use docket_tenant::{Attachment, Recipient, SeedMail};
use serde_json::json;

use crate::base::{ANNA, Served, until};

const MAILBOX: &str = "invoices@contoso.example";

/// Forwards each invoice and files it; one that cannot be handled goes to a folder of its own.
const TAKE: &str = r#"
workflow: take
on:
  source:
    uses: graph-import/new-messages
    with: {mailbox: invoices@contoso.example, folder: Inbox, limit: 2}
    every: 1s
    inputs:
      mail: ${{ event.item.message }}
      subject: ${{ event.item.subject }}
      file: ${{ event.item.attachments[0].document }}
inputs:
  mail: {type: object, required: true}
  subject: {required: true}
  file: {type: document, required: true}
connections: {graph-import: contoso, exchange: contoso}
retry: {attempts: 2, delay: 0s}
steps:
  - id: forward
    uses: exchange/send
    with:
      from: invoices@contoso.example
      to: '${{ inputs.subject == "Nobody" ? "no address" : "ben@contoso.example" }}'
      subject: "Please book: ${{ inputs.subject }}"
      text: See the file.
      attachments: ["${{ inputs.file }}"]
  - id: file
    uses: exchange/move
    with: {message: "${{ inputs.mail }}", folder: Processed}
on-error:
  - id: set-aside
    uses: exchange/move
    with: {message: "${{ inputs.mail }}", folder: Failed, create: true}
"#;

fn comes(lab: &Lab, mailbox: &str, subject: &str, has_file: bool) {
    let from = Recipient::named("Fabrikam", "billing@fabrikam.example");
    let mut mail = SeedMail::text(mailbox, from, subject, "An invoice.");
    if has_file {
        let bytes = subject.as_bytes().to_vec();
        mail.attachments = vec![Attachment::file("invoice.pdf", "application/pdf", bytes)];
    }
    lab.tenant.state().add_message(&mail).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mail_has_one_run_whatever_dies_and_a_bad_one_keeps_none_back() {
    let mut served = Served::with_workflows(&[("take.yaml", TAKE)]).await;
    served.trigger_is("take/source", "waiting").await;
    let mut expected = Vec::new();
    for round in 0..4 {
        for number in 0..3 {
            let subject = format!("{round}.{number}");
            comes(&served.lab, MAILBOX, &subject, true);
            expected.push(format!("Inbox: Please book: {subject}"));
        }
        match round {
            0 => comes(&served.lab, MAILBOX, "Without a file", false),
            1 => comes(&served.lab, MAILBOX, "Nobody", true),
            2 => served.lab.tenant.state().lose_delta(MAILBOX).unwrap(),
            _ => {}
        }
        // Wherever it is then: in a poll, between two, in a run.
        served.all_ended(round * 3 + 1).await;
        served.kill_and_serve();
    }
    let runs = served.all_ended(14).await;
    assert_eq!(runs.len(), 14, "{runs:?}");
    let trigger = served.trigger_is("take/source", "waiting").await;
    assert_eq!(trigger["started"], 14, "{trigger}");
    assert_eq!(served.mail("ben@contoso.example").await, expected);
    let left: Vec<String> = served.mail(MAILBOX).await;
    let count = |folder: &str| left.iter().filter(|one| one.starts_with(folder)).count();
    assert_eq!(count("Inbox:"), 0, "{left:?}");
    assert_eq!(count("Processed:"), 12, "{left:?}");
    assert_eq!(
        left.iter()
            .filter(|one| one.starts_with("Failed:"))
            .collect::<Vec<_>>(),
        ["Failed: Nobody", "Failed: Without a file"]
    );
    let mut reasons = Vec::new();
    for run in runs.iter().filter(|run| run["state"] == "failed") {
        let id = run["id"].as_str().unwrap();
        let run = served.get(&format!("/api/runs/{id}")).await;
        let failure = &run["result"]["failure"];
        reasons.push(format!("{}: {}", failure["code"], failure["message"]));
    }
    reasons.sort();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[1].contains("unfit-inputs"), "{reasons:?}");
    assert!(
        reasons[1].contains("event.item.attachments[0]"),
        "{reasons:?}"
    );
    let metrics = served.metrics().await;
    assert!(
        metrics.contains("docket_triggers{state=\"waiting\"} 1\n"),
        "{metrics}"
    );
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_mail_that_if_wants_has_a_run() {
    let text = "
workflow: pick
on:
  source:
    uses: graph-import/new-messages
    with: {mailbox: invoices@contoso.example, folder: Inbox}
    every: 1s
    if: ${{ event.item.subject.startsWith('Invoice') && size(event.item.attachments) == 1 }}
    inputs: {subject: '${{ event.item.subject }}'}
inputs: {subject: {required: true}}
connections: {graph-import: contoso}
steps:
  - uses: wait/timer
    with: {for: 0s}
outputs: {subject: '${{ inputs.subject }}'}
";
    let mut served = Served::with_workflows(&[("pick.yaml", text)]).await;
    served.trigger_is("pick/source", "waiting").await;
    for round in 1..=2 {
        comes(&served.lab, MAILBOX, "Newsletter", true);
        comes(&served.lab, MAILBOX, "Invoice without a file", false);
        comes(&served.lab, MAILBOX, &format!("Invoice {round}"), true);
        served.all_ended(round).await;
        // What was left out once does not come back.
        served.kill_and_serve();
        served.trigger_is("pick/source", "waiting").await;
    }
    let mut subjects = Vec::new();
    for run in served.runs().await {
        let id = run["id"].as_str().unwrap();
        let run = served.get(&format!("/api/runs/{id}")).await;
        subjects.push(run["result"]["outputs"]["subject"].clone());
    }
    subjects.sort_by_key(ToString::to_string);
    assert_eq!(subjects, ["Invoice 1", "Invoice 2"]);
    let trigger = served.trigger_is("pick/source", "waiting").await;
    assert_eq!(trigger["started"], 2, "{trigger}");
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_answers_invoices_as_they_come() {
    let text = include_str!("../../../../workflows/answer-invoices.yaml");
    let text = text.replace("every: 1m", "every: 1s");
    let mut served = Served::with_workflows(&[("answer-invoices.yaml", &text)]).await;
    served.trigger_is("answer-invoices/source", "waiting").await;
    comes(&served.lab, MAILBOX, "Invoice 7", true);
    let runs = served.all_ended(1).await;
    assert_eq!(runs[0]["state"], "succeeded", "{runs:?}");
    let mail = served.mail(MAILBOX).await;
    assert!(
        mail.contains(&"Processed: Invoice 7".to_owned()),
        "{mail:?}"
    );
    assert!(
        mail.contains(&"Drafts: RE: Invoice 7".to_owned()),
        "{mail:?}"
    );
    served.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_waits_until_its_user_has_signed_in() {
    let text = "
workflow: mine
on:
  source:
    uses: graph-import/new-messages
    connection: people
    as: anna@contoso.example
    with: {mailbox: anna@contoso.example, folder: Inbox, subject: For you}
    every: 1s
    inputs: {subject: '${{ event.item.subject }}'}
inputs: {subject: {required: true}}
steps:
  - uses: wait/timer
    with: {for: 0s}
outputs: {subject: '${{ inputs.subject }}'}
";
    let lab = Lab::start().await;
    let docket = Binary::over(&lab);
    docket.add_secret("people", &lab.tenant);
    let yaml = docket.project().join("docket.yaml");
    let project = std::fs::read_to_string(&yaml).unwrap();
    let hook = "public-url: http://localhost:8080
sign-in-hook:
  mail: {connection: contoso, from: contracts@contoso.example}
";
    std::fs::write(&yaml, format!("{project}\n{hook}")).unwrap();
    let mut served = Served::alone(lab, docket, &[("mine.yaml", text)]);
    let trigger = served.trigger_is("mine/source", "sign-in-needed").await;
    assert_eq!(trigger["connection"], "people", "{trigger}");
    assert_eq!(trigger["user"], ANNA, "{trigger}");
    assert!(trigger["message"].is_string(), "{trigger}");
    let listed = served.run(&["triggers", "list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("sign-in-needed"), "{listed}");

    // She is asked, by a run that is not the source's.
    let asked = format!("Inbox: Please sign in as {ANNA}");
    until(async || served.mail(ANNA).await.contains(&asked).then_some(())).await;
    served.sign_anna_in().await;
    served.trigger_is("mine/source", "waiting").await;
    comes(&served.lab, ANNA, "For you", false);
    let runs = served.all_ended(2).await;
    let mut mine = runs.iter().filter(|run| run["workflow"] == "mine");
    let id = mine.next().unwrap()["id"].as_str().unwrap();
    assert!(mine.next().is_none(), "one was asked for, and one came");
    let run = served.get(&format!("/api/runs/{id}")).await;
    assert_eq!(run["result"]["outputs"], json!({"subject": "For you"}));
    served.end();
}
