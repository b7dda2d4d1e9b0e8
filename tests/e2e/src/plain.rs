//! The other side of comparisons: a plain program that makes the requests of a confirmation mail by
//! nobody but reqwest, and the commits that the host makes, where it is given a journal.

use std::sync::Arc;

use docket_engine::{Durability, EventStore};
use docket_journal::SqliteStore;
use docket_model::{
    Answer, AnswerBody, Digest, EffectCall, Event, EventKind, Outcome, PartRecord, RequestRecord,
    RunId, RunResult, StepPath,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::apart::Apart;

/// A program without a host.
pub struct Plain {
    client: reqwest::Client,
    base: String,
    token: String,
    journal: Option<Arc<SqliteStore>>,
}

impl Plain {
    /// A program that sends as the service account from this mailbox.
    #[allow(
        clippy::disallowed_methods,
        reason = "the other side of the comparison, which is not the host"
    )]
    pub async fn new(tenant: &mut Apart, sender: &str) -> Self {
        let scopes = ["Mail.ReadWrite.Shared", "Mail.Send.Shared"];
        let token = tenant.token(&scopes).await;
        // A second program in this process may have set it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trusted = reqwest::Certificate::from_pem(tenant.facts.ca_pem.as_bytes()).expect("a CA");
        let client = reqwest::Client::builder()
            .tls_certs_only([trusted])
            .no_proxy()
            .build()
            .expect("a client");
        let base = tenant.facts.graph.join("v1.0/users/").expect("a URL");
        Self {
            client,
            base: format!("{base}{sender}"),
            token,
            journal: None,
        }
    }

    /// The same, committing what the host commits: each request that cannot be repeated before it is
    /// sent, and each answer.
    #[must_use]
    pub fn with_journal(mut self, journal: Arc<SqliteStore>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Sends a mail with this document and a certificate.
    pub async fn mail(&self, number: usize, document: &[u8]) {
        use base64::Engine as _;
        let mut record = Record::start(self.journal.as_deref(), number).await;
        let draft = json!({
            "subject": "Signed: Framework supply agreement",
            "body": {"contentType": "html", "content": "<p>Signed by everybody.</p>".repeat(20)},
            "from": {"emailAddress": {"address": self.base.rsplit('/').next()}},
            "toRecipients": [{"emailAddress": {"address": "anna.berger@fabrikam.example"}}],
            "singleValueExtendedProperties": [{
                "id": "String {6f1c5a52-6c0b-4d7e-9c52-2f5e1a4b8d32} Name Plain",
                "value": number.to_string(),
            }],
        });
        let draft = self.ask(&mut record, "POST", "/messages", Some(draft), 201);
        let draft = draft.await;
        let id = draft["id"].as_str().expect("an id");
        for (name, bytes) in [
            ("agreement.pdf", document),
            ("certificate.pdf", &b"%PDF-1.7 certificate"[..]),
        ] {
            let attachment = json!({
                "@odata.type": "#microsoft.graph.fileAttachment",
                "name": name,
                "contentType": "application/pdf",
                "contentBytes": base64::engine::general_purpose::STANDARD.encode(bytes),
            });
            let path = format!("/messages/{id}/attachments");
            self.ask(&mut record, "POST", &path, Some(attachment), 201)
                .await;
        }
        let path = format!("/messages/{id}/send");
        self.ask(&mut record, "POST", &path, None, 202).await;
        let path = format!(
            "/messages/{id}?$select=id,isDraft,subject,webLink,internetMessageId,parentFolderId,createdDateTime,lastModifiedDateTime"
        );
        let sent = self.ask(&mut record, "GET", &path, None, 200).await;
        assert_eq!(sent["isDraft"], false);
        let folder = sent["parentFolderId"].as_str().expect("a folder");
        let path = format!("/mailFolders/{folder}?$select=displayName");
        self.ask(&mut record, "GET", &path, None, 200).await;
        record.end().await;
    }

    async fn ask(
        &self,
        record: &mut Record<'_>,
        method: &str,
        path: &str,
        body: Option<Value>,
        expected: u16,
    ) -> Value {
        let url = format!("{}{path}", self.base);
        let body = body.map(|body| body.to_string());
        let call = record.begin(method, &url, body.as_deref()).await;
        let mut request = self
            .client
            .request(method.parse().expect("a method"), url)
            .bearer_auth(&self.token)
            .header("prefer", "IdType=\"ImmutableId\"");
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        } else if method == "POST" {
            request = request.header("content-length", "0");
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        assert_eq!(status, expected, "{method} {path}");
        let text = answer.text().await.expect("an answer");
        let value = serde_json::from_str(&text).unwrap_or_default();
        record.done(call, status, text).await;
        value
    }
}

/// A mail's events in the journal, as the host writes them.
struct Record<'j> {
    journal: Option<&'j SqliteStore>,
    run: RunId,
    next: u64,
    effects: u32,
}

impl<'j> Record<'j> {
    async fn start(journal: Option<&'j SqliteStore>, number: usize) -> Self {
        let run = format!("plain-{number}").parse().expect("an id");
        let mut record = Self {
            journal,
            run,
            next: 0,
            effects: 0,
        };
        let inputs = json!({
            "title": "Framework supply agreement",
            "signers": [{"name": "Anna", "email": "anna.berger@fabrikam.example"}],
        });
        let started = EventKind::RunStarted {
            workflow: "plain".to_owned(),
            plan: Digest::of(b"plan"),
            inputs: inputs.clone(),
            group: None,
        };
        record.append(started, Durability::Synced).await;
        let started = EventKind::StepStarted {
            path: path(),
            attempt: 1,
            input: inputs,
            connection: None,
            act_as: None,
        };
        record.append(started, Durability::Ordered).await;
        record
    }

    async fn append(&mut self, kind: EventKind, durability: Durability) {
        let Some(journal) = self.journal else {
            return;
        };
        let at = Timestamp::UNIX_EPOCH;
        let events = [Event { at, kind }];
        let appended = journal.append(&self.run, self.next, &events, durability);
        appended.await.expect("appended");
        self.next += 1;
    }

    /// Notes a request; what can be repeated only with its answer.
    async fn begin(&mut self, method: &str, url: &str, body: Option<&str>) -> Option<EffectCall> {
        self.journal?;
        let is_repeatable = method == "GET";
        let call = EffectCall {
            requests: vec![RequestRecord {
                method: method.to_owned(),
                url: url.to_owned(),
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body: body
                    .map(|body| PartRecord::Bytes {
                        digest: Digest::of(body.as_bytes()),
                        size: body.len() as u64,
                    })
                    .into_iter()
                    .collect(),
                sent_as: None,
                is_repeatable,
            }],
        };
        if is_repeatable {
            return Some(call);
        }
        let intended = EventKind::EffectIntended {
            path: path(),
            attempt: 1,
            index: self.effects,
            call,
        };
        self.append(intended, Durability::Synced).await;
        None
    }

    async fn done(&mut self, call: Option<EffectCall>, status: u16, text: String) {
        if self.journal.is_none() {
            return;
        }
        let done = EventKind::EffectDone {
            path: path(),
            attempt: 1,
            index: self.effects,
            call,
            outcomes: vec![Outcome::Answered(Answer {
                status,
                headers: Vec::new(),
                body: AnswerBody::Text(text),
                sealed: Vec::new(),
            })],
        };
        self.effects += 1;
        self.append(done, Durability::Ordered).await;
    }

    async fn end(mut self) {
        let result = RunResult::Succeeded { outputs: json!({}) };
        self.append(EventKind::RunFinished { result }, Durability::Synced)
            .await;
    }
}

fn path() -> StepPath {
    StepPath {
        step: "confirm".into(),
        item: None,
    }
}
