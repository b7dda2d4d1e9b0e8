//! The actions of `exchange` as components in the whole host, against the tenant.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use docket_e2e::{Host, Lab};
use docket_model::{ConnectionLimits, FailureClass, RunResult};
use docket_sandbox::Limits;
use docket_tenant::{Fault, FaultAction};
use serde_json::{Map, Value, json};

const HEAD: &str =
    "workflow: test\non: {manual: }\nconnections: {exchange: contoso, graph-import: contoso}\n";

/// Runs a workflow with these steps and inputs.
async fn run(host: &Host, name: &str, rest: &str, inputs: Map<String, Value>) -> RunResult {
    let plan = host.plan_of("test.yaml", &format!("{HEAD}{rest}"));
    host.run(name, &plan, inputs).await
}

/// The messages of a mailbox: folder, subject, attachments, and the whole.
async fn messages(lab: &Lab, mailbox: &str) -> Vec<(String, String, Vec<String>, Value)> {
    let all = lab.mailboxes().await;
    let all = all["mailboxes"].as_array().unwrap();
    let found = all.iter().find(|one| one["mailbox"] == mailbox).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut messages = Vec::new();
    for message in found["messages"].as_array().unwrap() {
        let files = message["attachments"].as_array().unwrap().iter();
        let files = files.map(|file| text(&file["name"])).collect();
        messages.push((
            text(&message["folder"]),
            text(&message["subject"]),
            files,
            message.clone(),
        ));
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_does_its_part_of_an_invoices_way() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let steps = r#"
steps:
  - id: import
    uses: graph-import/messages
    with: {mailbox: invoices@contoso.example, folder: Invoices, from: "@northwind.example", original: true}
  - id: reply
    uses: exchange/send
    for-each: ${{ steps.import.output.messages }}
    with: {in-reply-to: "${{ item.message }}", reply-all: true, comment: "Paid."}
  - id: forward
    uses: exchange/draft
    for-each: ${{ steps.import.output.messages }}
    with:
      forward: ${{ item.message }}
      to: {address: ben@contoso.example, name: Ben}
      comment: Please book.
      attachments: ["${{ item.original }}"]
  - id: change
    uses: exchange/update-draft
    for-each: ${{ steps.forward.output }}
    with: {message: "${{ item.message }}", subject: "To book", importance: high}
  - id: release
    uses: exchange/send-draft
    for-each: ${{ steps.change.output }}
    with: {message: "${{ item.message }}"}
  - id: copy
    uses: exchange/copy
    for-each: ${{ steps.import.output.messages }}
    with: {message: "${{ item.message }}", folder: archive}
  - id: mark
    uses: exchange/mark
    for-each: ${{ steps.import.output.messages }}
    with: {message: "${{ item.message }}", read: true, flag: complete, add-categories: [Booked]}
  - id: file
    uses: exchange/move
    for-each: ${{ steps.import.output.messages }}
    with: {message: "${{ item.message }}", folder: "inbox/Invoices/2026", create: true}
  - id: tidy
    uses: exchange/delete
    for-each: ${{ steps.copy.output }}
    with: {message: "${{ item.message }}"}
outputs:
  replies: ${{ steps.reply.output }}
  released: ${{ steps.release.output }}
  moved: ${{ steps.file.output }}
"#;
    let result = run(&host, "r-1", steps, Map::new()).await;
    let RunResult::Succeeded { outputs } = result else {
        panic!("{result:?}");
    };
    assert_eq!(outputs["replies"][0]["state"], "sent", "{outputs:?}");
    assert_eq!(outputs["released"][0]["state"], "sent");
    assert_eq!(outputs["moved"][0]["moved"], true);
    let found = messages(&lab, "invoices@contoso.example").await;
    let of = |subject: &str| -> Vec<&(String, String, Vec<String>, Value)> {
        found
            .iter()
            .filter(|(_, known, ..)| known == subject)
            .collect()
    };
    let reply = of("RE: Invoice NW-778 and delivery note");
    assert_eq!(
        (reply.len(), reply[0].0.as_str()),
        (1, "Sent Items"),
        "{found:?}"
    );
    let forwarded = of("To book");
    assert_eq!(
        (forwarded.len(), forwarded[0].0.as_str()),
        (1, "Sent Items")
    );
    assert_eq!(
        forwarded[0].2,
        [
            "NW-778.pdf",
            "NW-778 delivery note.pdf",
            "Invoice NW-778 and delivery note.eml"
        ]
    );
    let invoices: Vec<_> = of("Invoice NW-778 and delivery note");
    let mut folders: Vec<_> = invoices
        .iter()
        .map(|(folder, ..)| folder.as_str())
        .collect();
    folders.sort_unstable();
    assert_eq!(
        folders,
        ["Deleted Items", "Inbox/Invoices/2026"],
        "{found:?}"
    );
    assert!(
        invoices
            .iter()
            .any(|(.., message)| message["isRead"] == true)
    );
    let received = messages(&lab, "ben@contoso.example").await;
    assert_eq!(received.len(), 1, "{received:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_books_every_invoice_once() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let lost = Fault::next("POST", "*/send", FaultAction::ResetAfter).nth(2);
    lab.tenant.state().add_fault(lost);
    let plan = host.plan("book-invoices.yaml");
    let result = host.run("r-1", &plan, Map::new()).await;
    let RunResult::Succeeded { outputs } = result else {
        panic!("{result:?}");
    };
    assert_eq!(outputs["booked"], 3);
    let received = messages(&lab, "ben@contoso.example").await;
    assert_eq!(received.len(), 3, "{received:?}");
    assert!(
        received.iter().all(|(_, _, files, _)| !files.is_empty()),
        "{received:?}"
    );
    let filed = messages(&lab, "invoices@contoso.example").await;
    let filed = filed
        .iter()
        .filter(|(folder, ..)| folder == "Processed/2026");
    assert_eq!(filed.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_149_mib_is_sent_and_imported_within_16_mb_of_the_plugins_memory() {
    // Exchange counts more than the bytes of a file, and 150 MiB are the most.
    const SIZE: usize = 149 << 20;
    let mut lab = Lab::start().await;
    // More than Graph takes in five minutes, which would be waited for.
    lab.limit(ConnectionLimits {
        upload_mb_per_5_minutes: 1000,
        ..ConnectionLimits::default()
    });
    let limits = Limits {
        memory: 16 << 20,
        ..Limits::default()
    };
    let host = lab.open_limited(|store| store, limits).await;
    let bytes: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
    let document = host
        .documents
        .put("scan.pdf", "application/pdf", &bytes)
        .unwrap();
    drop(bytes);
    let steps = r#"
inputs: {document: {type: document, required: true}}
steps:
  - id: send
    uses: exchange/send
    timeout: 10m
    with:
      from: contracts@contoso.example
      to: invoices@contoso.example
      subject: The scan
      text: Attached.
      attachments: ["${{ inputs.document }}"]
  - id: import
    uses: graph-import/messages
    timeout: 10m
    with: {mailbox: invoices@contoso.example, subject: the scan, max-size: 157286400}
outputs:
  attachments: ${{ steps.import.output.messages.map(message, message.attachments) }}
"#;
    let inputs = json!({"document": document});
    let inputs = inputs.as_object().unwrap().clone();
    let result = run(&host, "r-1", steps, inputs).await;
    let RunResult::Succeeded { outputs } = result else {
        panic!("{result:?}");
    };
    let imported = &outputs["attachments"][0][0]["document"];
    assert_eq!(
        imported["$document"],
        document.digest.to_string(),
        "{outputs:?}"
    );
    assert_eq!(imported["size"], SIZE);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_copy_is_made_though_every_first_reply_is_lost() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    for path in ["*/copy", "*/createForward", "*/send"] {
        let fault = Fault::next("POST", path, FaultAction::ResetAfter);
        lab.tenant.state().add_fault(fault);
    }
    let steps = r#"
steps:
  - id: import
    uses: graph-import/messages
    with: {mailbox: invoices@contoso.example, folder: Invoices, limit: 1, attachments: false}
  - id: copy
    uses: exchange/copy
    for-each: ${{ steps.import.output.messages }}
    with: {message: "${{ item.message }}", folder: Processed}
  - id: forward
    uses: exchange/send
    for-each: ${{ steps.import.output.messages }}
    with: {forward: "${{ item.message }}", to: ben@contoso.example}
"#;
    let result = run(&host, "r-1", steps, Map::new()).await;
    assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
    let found = messages(&lab, "invoices@contoso.example").await;
    let copies = found.iter().filter(|(folder, ..)| folder == "Processed");
    assert_eq!(copies.count(), 1, "{found:?}");
    assert_eq!(messages(&lab, "ben@contoso.example").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_fails_the_step_with_its_remedy() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let right = docket_tenant::RightKind::SendAs;
    let (user, mailbox) = ("svc-docket@contoso.example", "contracts@contoso.example");
    lab.tenant
        .state()
        .set_right(user, right, mailbox, false)
        .unwrap();
    let steps = r#"
steps:
  - uses: exchange/send
    with: {from: contracts@contoso.example, to: ben@contoso.example, subject: Hello, text: Hello}
"#;
    let result = run(&host, "r-1", steps, Map::new()).await;
    let RunResult::Failed { failure, .. } = result else {
        panic!("{result:?}");
    };
    assert_eq!(failure.class, FailureClass::Denied, "{failure:?}");
    assert_eq!(failure.code, "ErrorSendAsDenied");
    let remedy = failure.remedy.unwrap();
    assert!(
        remedy.contains("Send as") && remedy.contains(mailbox),
        "{remedy}"
    );
    assert!(messages(&lab, "ben@contoso.example").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn data_in_a_template_stays_text() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let steps = r#"
inputs: {name: {type: string, required: true}}
steps:
  - uses: exchange/send
    with:
      from: contracts@contoso.example
      to: ben@contoso.example
      subject: Hello
      html:
        template: templates/invoice-received.html
        data: {name: "${{ inputs.name }}", attachments: []}
"#;
    let inputs = json!({"name": "<script>alert(1)</script>"});
    let result = run(&host, "r-1", steps, inputs.as_object().unwrap().clone()).await;
    assert!(matches!(result, RunResult::Succeeded { .. }), "{result:?}");
    let stored = lab
        .tenant
        .state()
        .messages("ben@contoso.example", None)
        .unwrap();
    let body = &stored[0].message.body.content;
    assert!(
        body.contains("&lt;script&gt;") && !body.contains("<script>"),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_mime_message_goes_out_once_though_every_first_reply_is_lost() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    for path in ["*/messages", "*/send"] {
        let fault = Fault::next("POST", path, FaultAction::ResetAfter);
        lab.tenant.state().add_fault(fault);
    }
    let mime = "From: contracts@contoso.example\r\nTo: Ben <ben@contoso.example>\r\n\
                Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Case: 4711\r\n\
                Content-Type: text/plain; charset=utf-8\r\n\r\nHello Ben.\r\n";
    let document = host
        .documents
        .put("ready.eml", "message/rfc822", mime.as_bytes())
        .unwrap();
    let steps = r#"
inputs: {mail: {type: document, required: true}}
steps:
  - id: send
    uses: exchange/send
    with: {from: contracts@contoso.example, mime: "${{ inputs.mail }}"}
outputs: {state: "${{ steps.send.output.state }}", message: "${{ steps.send.output.message }}"}
"#;
    let inputs = json!({"mail": document});
    let result = run(&host, "r-1", steps, inputs.as_object().unwrap().clone()).await;
    let RunResult::Succeeded { outputs } = result else {
        panic!("{result:?}");
    };
    assert_eq!(outputs["state"], "sent", "{outputs:?}");
    let received = messages(&lab, "ben@contoso.example").await;
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(received[0].1, "Grüße");
    let kept = messages(&lab, "contracts@contoso.example").await;
    let kept: Vec<_> = kept.iter().filter(|mail| mail.1 == "Grüße").collect();
    assert_eq!((kept.len(), kept[0].0.as_str()), (1, "Sent Items"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_mail_goes_out_once_at_its_time() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let hours = jiff::SignedDuration::from_hours;
    let at = lab.tenant.state().now() + hours(20);
    let send = async |id: &str| {
        let steps = format!(
            r#"
steps:
  - id: send
    uses: exchange/send
    with:
      from: contracts@contoso.example
      to: ben@contoso.example
      subject: Good morning {id}
      text: Hello Ben.
      defer-until: "{at}"
outputs: {{state: "${{{{ steps.send.output.state }}}}"}}
"#
        );
        match run(&host, id, &steps, Map::new()).await {
            RunResult::Succeeded { outputs } => outputs["state"].clone(),
            other => panic!("{other:?}"),
        }
    };
    let lose = |path: &str| {
        let fault = Fault::next("POST", path, FaultAction::ResetAfter);
        lab.tenant.state().add_fault(fault);
    };
    lose("*/messages");
    assert_eq!(send("r-1").await, "scheduled");
    let arrived = lab.tenant.state().messages("ben@contoso.example", None);
    assert!(arrived.unwrap().is_empty());
    // Nobody can tell a draft that was handed over and waits from one that was not: so this step
    // waits for the time itself, and finds the mail sent.
    lose("*/send");
    assert_eq!(send("r-2").await, "sent");
    lab.clock.advance_to(at + hours(1));
    assert_eq!(messages(&lab, "ben@contoso.example").await.len(), 2);
    let kept = messages(&lab, "contracts@contoso.example").await;
    let kept = kept
        .iter()
        .filter(|(folder, subject, ..)| folder == "Sent Items" && subject.starts_with("Good"));
    assert_eq!(kept.count(), 2);
}
