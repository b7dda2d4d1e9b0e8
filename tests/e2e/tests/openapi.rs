//! Holds every request of the plugins, and every answer of the tenant to them, against the OpenAPI
//! description of Graph mail.
//!
//! Where the description is missing, the workflows run all the same, and what they requested is only
//! counted.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

#[path = "../../tenant/tests/contract/description.rs"]
mod description;

use std::collections::BTreeSet;
use std::sync::Arc;

use docket_e2e::{Host, Lab, Silent};
use docket_engine::Triggers;
use docket_model::RunResult;
use docket_tenant::{Attachment, Origin, Recipient, Recorded, SeedMail};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use self::description::Description;

/// Every action that the example workflows leave out, and every option that changes a request.
const FURTHER: &str = r#"
workflow: further
description: Every action that the examples leave out, and every option that changes a request.
on:
  manual:
inputs:
  large:
    type: document
    required: true
  small:
    type: document
    required: true
  mime:
    type: document
    required: true
connections:
  exchange: contoso
  graph-import: contoso
steps:
  - id: plain
    uses: exchange/send
    with:
      from: contracts@contoso.example
      to: anna@contoso.example
      subject: A plain one
      text: Hello.
      importance: high
      headers:
        x-docket-test: "1"
  - id: all
    uses: exchange/send
    with:
      from: contracts@contoso.example
      to: [anna@contoso.example, "ben@fabrikam.example"]
      cc: [ben@contoso.example]
      bcc: [svc-docket@contoso.example]
      reply-to: [invoices@contoso.example]
      subject: With a small and a large file
      html: "<p>Hello.</p>"
      attachments:
        - ${{ inputs.large }}
        - ${{ inputs.small }}
  - id: draft
    uses: exchange/draft
    with:
      from: contracts@contoso.example
      to: anna@contoso.example
      subject: A draft
      text: Hello.
      attachments:
        - ${{ inputs.small }}
  - id: import
    uses: graph-import/messages
    with:
      mailbox: invoices@contoso.example
      folder: Processed
      since: "2020-01-01"
      inline: true
      page-size: 2
  - id: file
    uses: exchange/move
    for-each: ${{ steps.import.output.messages }}
    with:
      message:
        id: ${{ item.id }}
        mailbox: ${{ item.mailbox }}
      folder: inbox/Done/2026
      create: true
  - id: one
    uses: graph-import/message
    for-each: ${{ steps.file.output }}
    with:
      message: ${{ item.message }}
      original: true
      headers: true
      body: both
  - id: answer
    uses: exchange/send
    for-each: ${{ steps.file.output }}
    with: {in-reply-to: "${{ item.message }}", reply-all: true, html: "<p>Paid.</p>"}
  - id: pass-on
    uses: exchange/draft
    for-each: ${{ steps.file.output }}
    with: {forward: "${{ item.message }}", to: ben@contoso.example, comment: Please book.}
  - id: change
    uses: exchange/update-draft
    for-each: ${{ steps.pass-on.output }}
    with: {message: "${{ item.message }}", subject: To book, attachments: ["${{ inputs.small }}"]}
  - id: release
    uses: exchange/send-draft
    for-each: ${{ steps.change.output }}
    with: {message: "${{ item.message }}"}
  - id: copy
    uses: exchange/copy
    for-each: ${{ steps.file.output }}
    with: {message: "${{ item.message }}", folder: archive}
  - id: mark
    uses: exchange/mark
    for-each: ${{ steps.copy.output }}
    with: {message: "${{ item.message }}", read: true, flag: complete, importance: low, add-categories: [Booked]}
  - id: tidy
    uses: exchange/delete
    for-each: ${{ steps.copy.output }}
    with: {message: "${{ item.message }}"}
  - id: ready
    uses: exchange/send
    with: {from: contracts@contoso.example, mime: "${{ inputs.mime }}"}
  - id: later
    uses: exchange/send
    with:
      from: contracts@contoso.example
      to: anna@contoso.example
      subject: Tomorrow
      text: Hello.
      defer-until: "2100-01-01T00:00:00Z"
  - id: fast
    uses: exchange/send
    with:
      from: contracts@contoso.example
      to: anna@contoso.example
      subject: At once
      text: Hello.
      attachments: ["${{ inputs.small }}"]
      delivery: fast
      sent-items: none
"#;

/// Errors of the description itself (FACTS, section 0 and 6): properties that it has no words for.
const UNKNOWN_QUERY: [&str; 3] = ["$skiptoken", "$deltatoken", "changeType"];

async fn run(host: &Host, id: &str, workflow: &str, inputs: Map<String, Value>) {
    let plan = if workflow.ends_with(".yaml") {
        host.plan(workflow)
    } else {
        host.plan_of("further.yaml", workflow)
    };
    let result = host.run(id, &plan, inputs).await;
    assert!(
        matches!(result, RunResult::Succeeded { .. }),
        "{id}: {result:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_a_step_fits_the_description() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    lab.tenant.state().clear_requests();
    let signed = host.confirmation(4 << 20);
    run(&host, "r-1", "signed-contract-confirmation.yaml", signed).await;
    let put = |name: &str, size: usize| {
        host.documents
            .put(name, "application/pdf", &vec![b'%'; size])
            .unwrap()
    };
    let mime = b"From: contracts@contoso.example\r\nTo: anna@contoso.example\r\nSubject: Ready\r\n\r\nHello.\r\n";
    let mime = host
        .documents
        .put("ready.eml", "message/rfc822", mime)
        .unwrap();
    let inputs = json!({
        "large": put("large.pdf", 7 << 20),
        "small": put("small.pdf", 1000),
        "mime": mime,
    });
    let Value::Object(inputs) = inputs else {
        panic!("an object");
    };
    // In this order: the one files the invoices that the other takes up again.
    run(&host, "r-2", "import-invoices.yaml", Map::new()).await;
    run(&host, "r-3", FURTHER, inputs).await;

    let operations = fits(&lab);
    assert!(
        operations.is_none_or(|found| found.len() >= 15),
        "too little was asked"
    );
    let requests = lab.tenant.state().requests();
    let uploads = requests.iter().filter(|one| one.origin == Origin::Outlook);
    assert!(uploads.count() > 2, "large files went to the upload origin");
}

/// What no step asks: a source's first walk, what came since, and its listing by time.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_a_source_fits_the_description() {
    let lab = Lab::start().await;
    let host = lab.open().await;
    let state = lab.tenant.state();
    state.clear_requests();
    let triggers = Triggers::new(Arc::clone(&host.engine), Arc::new(Silent));
    triggers.set(vec![Arc::new(host.plan("answer-invoices.yaml"))]);
    let shutdown = CancellationToken::new();
    let sender = Recipient::named("Fabrikam", "billing@fabrikam.example");
    let mut mail = SeedMail::text("invoices@contoso.example", sender, "Invoice 7", "Attached.");
    mail.attachments = vec![Attachment::file("7.pdf", "application/pdf", vec![b'%'; 10])];
    let polled = async {
        // A poll a minute, by a clock that waits for nobody; the folder is listed every ten minutes.
        let asked_for = async |count: u64| {
            let asked = state.throttle_counts().requests + count;
            while state.throttle_counts().requests < asked {
                tokio::task::yield_now().await;
            }
        };
        asked_for(5).await;
        state.add_message(&mail).unwrap();
        asked_for(60).await;
        shutdown.cancel();
    };
    tokio::join!(triggers.serve(shutdown.clone()), polled);

    let Some(operations) = fits(&lab) else { return };
    let has = |end: &str| operations.iter().any(|one| one.ends_with(end));
    assert!(
        has("/messages/delta()") && has("/messages"),
        "{operations:#?}"
    );
    let asked = state.requests();
    assert!(asked.iter().any(|one| one.query.contains("$deltatoken=")));
}

/// Holds every request to Graph so far, and its answer, to the description; gives the operations that
/// they were. Without a description they are only counted.
fn fits(lab: &Lab) -> Option<BTreeSet<String>> {
    let requests = lab.tenant.state().requests();
    let graph: Vec<&Recorded> = requests
        .iter()
        .filter(|one| one.origin == Origin::Graph)
        .collect();
    assert!(graph.len() > 20, "{} requests were recorded", graph.len());
    let Some(description) = Description::read() else {
        eprintln!(
            "without a description: {} requests were only counted",
            graph.len()
        );
        return None;
    };
    let mut problems = Vec::new();
    let mut operations = BTreeSet::new();
    for one in graph {
        match description.check(one) {
            Ok(operation) => _ = operations.insert(operation),
            Err(found) => problems.extend(found),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    Some(operations)
}

impl Description {
    /// The operation of a recorded request, or what is wrong with request and answer.
    fn check(&self, one: &Recorded) -> Result<String, Vec<String>> {
        let name = format!("{} {}", one.method, one.path);
        let (template, path) = self
            .path(&one.path)
            .ok_or_else(|| vec![format!("{name}: no such path")])?;
        let method = one.method.to_ascii_lowercase();
        let operation = &path[&method];
        if operation.is_null() {
            return Err(vec![format!("{name}: no such method at {template}")]);
        }
        let mut problems = self.check_query(path, operation, &one.query);
        if let Some(body) = &one.body {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            problems.extend(self.fits(schema, body));
        } else if one.body_size == 0 && operation["requestBody"]["required"] == true {
            problems.push("the body is missing".to_owned());
        }
        problems.extend(self.check_answer(operation, one));
        if problems.is_empty() {
            return Ok(format!("{} {template}", one.method));
        }
        Err(problems
            .into_iter()
            .map(|problem| format!("{name} ({:?}): {problem}", one.status))
            .collect())
    }

    fn check_answer(&self, operation: &Value, one: &Recorded) -> Vec<String> {
        let Some(status) = one.status else {
            return Vec::new();
        };
        let responses = &operation["responses"];
        let exact = &responses[status.to_string()];
        let family = &responses[format!("{}XX", status / 100)];
        let response = self.resolve(if exact.is_null() { family } else { exact });
        if response.is_null() {
            return vec![format!("no answer of status {status} is described")];
        }
        match &one.answer {
            Some(answer) => {
                let schema = &response["content"]["application/json"]["schema"];
                self.fits(schema, answer)
            }
            None => Vec::new(),
        }
    }

    /// The path's template and its description. Fixed steps go before named ones.
    fn path(&self, path: &str) -> Option<(String, &Value)> {
        let path = path.strip_prefix("/v1.0")?;
        let steps: Vec<String> = path
            .split('/')
            .map(|step| percent_decode_str(step).decode_utf8_lossy().into_owned())
            .collect();
        let paths = self.0["paths"].as_object()?;
        let mut found: Vec<(usize, &String, &Value)> = paths
            .iter()
            .filter_map(|(template, value)| {
                let fixed = matching(template, &steps)?;
                Some((fixed, template, value))
            })
            .collect();
        found.sort_by_key(|(fixed, ..)| *fixed);
        found
            .pop()
            .map(|(_, template, value)| (template.clone(), value))
    }

    fn check_query(&self, path: &Value, operation: &Value, query: &str) -> Vec<String> {
        let lists = [&path["parameters"], &operation["parameters"]];
        let known: BTreeSet<String> = lists
            .iter()
            .filter_map(|list| list.as_array())
            .flatten()
            .map(|parameter| self.resolve(parameter))
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
            .collect();
        url::form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| !known.contains(&**name) && !UNKNOWN_QUERY.contains(&&**name))
            .map(|(name, _)| format!("no query option {name} is described"))
            .collect()
    }

    fn resolve<'v>(&'v self, value: &'v Value) -> &'v Value {
        value["$ref"]
            .as_str()
            .and_then(|reference| self.0.pointer(reference.strip_prefix('#')?))
            .unwrap_or(value)
    }
}

/// How many steps of a template are fixed, if the path is one of its kind.
fn matching(template: &str, steps: &[String]) -> Option<usize> {
    let parts: Vec<&str> = template.split('/').collect();
    if parts.len() != steps.len() {
        return None;
    }
    let mut fixed = 0;
    for (part, step) in parts.iter().zip(steps) {
        if part.starts_with('{') {
            continue;
        }
        // Functions are called with or without their parentheses.
        if !part
            .trim_end_matches("()")
            .eq_ignore_ascii_case(step.trim_end_matches("()"))
        {
            return None;
        }
        fixed += 1;
    }
    Some(fixed)
}
