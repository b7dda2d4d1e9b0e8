//! `docket connections test`: tries what matters, in the order in which it is needed, and says of each
//! line the exact remedy.
//!
//! Everything goes through the gate, as a plugin's requests do, with rights for just these requests.
//! Nothing is sent unless it is asked for; the draft that tells whether a mailbox can be written to is
//! deleted again.

mod remedy;
mod report;

use std::time::Duration;

use bytes::Bytes;
use docket_model::{ConnectionKind, RequestRule};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use self::remedy::Remedies;
pub use self::report::{Check, ProbeLine, ProbeOutcome, ProbeReport};
use crate::binding::{Binding, Bound};
use crate::gate::{Body, GateError, Request};
use crate::oauth::is_scope;
use crate::registry::{ConnectionError, Connections};

/// The longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a sent mail may take to reach Sent Items, and how often that is looked at.
const ARRIVAL: (Duration, u32) = (Duration::from_secs(2), 15);
/// The most of an answer that is read, in bytes.
const MOST: usize = 1024 * 1024;

/// What to try.
#[derive(Debug, Clone, Default)]
pub struct ProbeRequest {
    /// The acting user, for connections of the kind per-user.
    pub user: Option<String>,
    /// The permissions that the workflows need, as [`Connections::scopes`] gives them.
    pub scopes: Vec<String>,
    /// Folders that the workflows use: mailbox, and well-known name or path (`Inbox/2026`).
    pub folders: Vec<(String, String)>,
    /// Whether to send a mail from each mailbox to itself. Only that shows Send As.
    pub send: bool,
}

impl Connections {
    /// Tries a connection.
    ///
    /// # Errors
    /// When there is no such connection or user; whatever else fails is a line.
    pub async fn probe(
        &self,
        connection: &str,
        request: &ProbeRequest,
    ) -> Result<ProbeReport, ConnectionError> {
        let held = self.get(connection)?;
        if held.spec.provider.is_some() {
            let problem = "only connections to Microsoft 365 can be tested";
            return Err(held.application.subject.misconfigured(problem).into());
        }
        let binding = self.binding(
            Some(connection),
            request.user.as_deref(),
            "connections test",
            &rules(),
        )?;
        let Some(bound) = &binding.0.connection else {
            return Err(held
                .application
                .subject
                .misconfigured("it has no account")
                .into());
        };
        let mut probe = Probe {
            binding: &binding,
            bound,
            base: graph_of(bound),
            remedies: Remedies::of(bound),
            lines: Vec::new(),
        };
        probe.run(request, self.clock.now()).await;
        Ok(ProbeReport {
            connection: connection.to_owned(),
            account: bound.account.subject.account.clone(),
            lines: probe.lines,
        })
    }
}

/// What the test may ask for; the policy of the connection holds besides.
fn rules() -> Vec<RequestRule> {
    [
        ("GET", "{graph}/v1.0/users/{mailbox}/mailFolders/**"),
        ("POST", "{graph}/v1.0/users/{mailbox}/messages"),
        ("POST", "{graph}/v1.0/users/{mailbox}/messages/*/send"),
        ("DELETE", "{graph}/v1.0/users/{mailbox}/messages/*"),
    ]
    .into_iter()
    .map(|(method, url)| RequestRule {
        method: method.to_owned(),
        url: url.to_owned(),
    })
    .collect()
}

/// Whether permissions are named, and none of them is to write.
fn only_reads(scopes: &[String]) -> bool {
    let is_to_write = |name: &String| name.contains("Write") || name.contains("Send");
    !scopes.is_empty() && !scopes.iter().any(is_to_write)
}

fn graph_of(bound: &Bound) -> String {
    let mut endpoints = bound.scope.endpoints.iter();
    let graph = endpoints.find(|endpoint| endpoint.is_graph);
    graph.map_or_else(String::new, |endpoint| {
        endpoint.base.as_str().trim_end_matches('/').to_owned()
    })
}

/// One segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'=');

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The names of a folder's path. A slash inside a name is written `\/`, as in workflows.
fn names(path: &str) -> Vec<String> {
    // No name holds a control character.
    let path = path.replace("\\/", "\0");
    let names = path.split('/').map(|name| name.trim().replace('\0', "/"));
    names.collect()
}

/// A test under way.
struct Probe<'p> {
    binding: &'p Binding,
    bound: &'p Bound,
    base: String,
    remedies: Remedies,
    lines: Vec<ProbeLine>,
}

/// An answer, or why there is none; its code in Graph's words.
struct Seen {
    status: u16,
    body: Value,
}

impl Seen {
    fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    fn text(&self) -> String {
        let code: String = self
            .code()
            .chars()
            .filter(|c| c.is_ascii_graphic())
            .take(80)
            .collect();
        match code.is_empty() {
            true => format!("Graph answered {}", self.status),
            false => format!("Graph answered {} {code}", self.status),
        }
    }
}

impl Probe<'_> {
    async fn run(&mut self, request: &ProbeRequest, now: Timestamp) {
        if !self.token().await {
            return;
        }
        self.scopes(&request.scopes);
        for mailbox in self.bound.scope.members() {
            if !self.mailbox(&mailbox).await {
                continue;
            }
            for (_, folder) in request
                .folders
                .iter()
                .filter(|(of, _)| of.to_lowercase() == mailbox)
            {
                self.folder(&mailbox, folder).await;
            }
            if only_reads(&request.scopes) {
                let detail = "the workflows only read";
                self.line(
                    Check::FullAccess,
                    &mailbox,
                    ProbeOutcome::Skipped,
                    detail,
                    None,
                );
                continue;
            }
            self.send_as(&mailbox, request.send, now).await;
        }
    }

    fn line(
        &mut self,
        check: Check,
        subject: &str,
        outcome: ProbeOutcome,
        detail: impl Into<String>,
        remedy: Option<String>,
    ) {
        self.lines.push(ProbeLine {
            check,
            subject: subject.to_owned(),
            outcome,
            detail: detail.into(),
            remedy,
        });
    }

    fn pass(&mut self, check: Check, subject: &str, detail: impl Into<String>) {
        self.line(check, subject, ProbeOutcome::Pass, detail, None);
    }

    fn fail(&mut self, check: Check, subject: &str, detail: impl Into<String>, remedy: String) {
        self.line(check, subject, ProbeOutcome::Fail, detail, Some(remedy));
    }

    async fn token(&mut self) -> bool {
        match self.bound.account.token().await {
            Ok(_) => {
                let account = self.bound.account.subject.account.clone();
                self.pass(Check::Token, "", format!("{account} has a token"));
                true
            }
            Err(error) => {
                self.fail(Check::Token, "", error.message, error.remedy);
                false
            }
        }
    }

    fn scopes(&mut self, needed: &[String]) {
        if self.bound.connection.spec.kind == ConnectionKind::AppOnly {
            for name in needed {
                // With RBAC for Applications the token does not say (auth-limit-mailbox-access.md).
                let detail = "an application's token does not tell; the mailboxes below do";
                self.line(Check::Scope, name, ProbeOutcome::Skipped, detail, None);
            }
            return;
        }
        let granted = match self.bound.account.sign_in() {
            Ok(record) => record
                .map(|record| record.scopes.clone())
                .unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        for name in needed {
            match granted.iter().any(|granted| is_scope(granted, name)) {
                true => self.pass(Check::Scope, name, "granted"),
                false => {
                    let remedy = self.remedies.scope(name);
                    self.fail(Check::Scope, name, "not granted", remedy);
                }
            }
        }
    }

    async fn mailbox(&mut self, mailbox: &str) -> bool {
        let url = format!(
            "{}/v1.0/users/{}/mailFolders/inbox?$select=id",
            self.base,
            segment(mailbox)
        );
        match self.ask("GET", &url, None).await {
            Ok(seen) if seen.is_good() => {
                self.pass(Check::Mailbox, mailbox, "can be read");
                true
            }
            Ok(seen) => {
                let remedy = match (seen.status, seen.code()) {
                    (404, _) => self.remedies.no_mailbox(mailbox),
                    _ => self.remedies.full_access(mailbox),
                };
                self.fail(Check::Mailbox, mailbox, seen.text(), remedy);
                false
            }
            Err(error) => {
                self.unanswered(Check::Mailbox, mailbox, error);
                false
            }
        }
    }

    /// Finds a folder: by a well-known name, or by its path from the top.
    async fn folder(&mut self, mailbox: &str, folder: &str) {
        let subject = format!("{mailbox} {folder}");
        let of = format!("{}/v1.0/users/{}/mailFolders", self.base, segment(mailbox));
        let mut parent: Option<String> = None;
        for name in names(folder) {
            let name = name.as_str();
            let found = match &parent {
                None if remedy::WELL_KNOWN.contains(&name.to_ascii_lowercase().as_str()) => {
                    let url = format!("{of}/{}?$select=id", segment(&name.to_ascii_lowercase()));
                    self.ask("GET", &url, None).await.map(|seen| Seen {
                        body: match seen.is_good() {
                            true => json!({"value": [seen.body]}),
                            false => seen.body,
                        },
                        ..seen
                    })
                }
                _ => {
                    let within = match &parent {
                        None => of.clone(),
                        Some(id) => format!("{of}/{}/childFolders", segment(id)),
                    };
                    let filter = format!("displayName eq '{}'", name.replace('\'', "''"));
                    let url = format!("{within}?$select=id&$filter={}", segment(&filter));
                    self.ask("GET", &url, None).await
                }
            };
            match found {
                Ok(seen) if seen.is_good() => match seen.body["value"][0]["id"].as_str() {
                    Some(id) => parent = Some(id.to_owned()),
                    None => {
                        let detail = format!("there is no folder {name}");
                        let remedy = self.remedies.no_folder(mailbox, folder);
                        return self.fail(Check::Folder, &subject, detail, remedy);
                    }
                },
                Ok(seen) => {
                    let remedy = self.remedies.no_folder(mailbox, folder);
                    return self.fail(Check::Folder, &subject, seen.text(), remedy);
                }
                Err(error) => return self.unanswered(Check::Folder, &subject, error),
            }
        }
        self.pass(Check::Folder, &subject, "is there");
    }

    /// Makes a draft under the mailbox's address, and sends it where that is asked for.
    async fn send_as(&mut self, mailbox: &str, send: bool, now: Timestamp) {
        let of = format!("{}/v1.0/users/{}", self.base, segment(mailbox));
        let address = json!({"emailAddress": {"address": mailbox}});
        let draft = json!({
            "subject": format!("Docket tests {mailbox} ({now})"),
            "body": {"contentType": "text", "content": "Docket sent this mail to test its connection."},
            "from": address,
            "toRecipients": [address],
        });
        let made = self
            .ask("POST", &format!("{of}/messages"), Some(draft))
            .await;
        let made = match made {
            Ok(seen) if seen.is_good() => seen,
            Ok(seen) => {
                let remedy = self.remedies.full_access(mailbox);
                return self.fail(Check::FullAccess, mailbox, seen.text(), remedy);
            }
            Err(error) => return self.unanswered(Check::FullAccess, mailbox, error),
        };
        let Some(id) = made.body["id"].as_str().map(segment) else {
            let remedy = "run the test again".to_owned();
            return self.fail(Check::FullAccess, mailbox, "the draft has no id", remedy);
        };
        self.pass(Check::FullAccess, mailbox, "a draft can be made");
        if !send {
            let detail = "only a mail shows it; ask for one to be sent to the mailbox itself";
            self.line(Check::SendAs, mailbox, ProbeOutcome::Skipped, detail, None);
            return self.clean_up(mailbox, &of, &id).await;
        }
        match self
            .ask("POST", &format!("{of}/messages/{id}/send"), None)
            .await
        {
            Ok(seen) if seen.status == 202 => {
                self.pass(
                    Check::SendAs,
                    mailbox,
                    "a mail to the mailbox itself was accepted",
                );
                let message = made.body["internetMessageId"].as_str().unwrap_or_default();
                self.sent_items(mailbox, &of, message).await;
            }
            Ok(seen) => {
                let remedy = self.remedies.send_as(mailbox);
                self.fail(Check::SendAs, mailbox, seen.text(), remedy);
                self.clean_up(mailbox, &of, &id).await;
            }
            Err(error) => self.unanswered(Check::SendAs, mailbox, error),
        }
    }

    async fn clean_up(&mut self, mailbox: &str, of: &str, id: &str) {
        let deleted = self
            .ask("DELETE", &format!("{of}/messages/{id}"), None)
            .await;
        if !deleted.is_ok_and(|seen| seen.is_good()) {
            let remedy = format!("delete it from the Drafts of {mailbox}");
            self.fail(
                Check::FullAccess,
                mailbox,
                "the test's draft could not be deleted",
                remedy,
            );
        }
    }

    /// Looks for the sent mail until it is there.
    async fn sent_items(&mut self, mailbox: &str, of: &str, message: &str) {
        let filter = format!("internetMessageId eq '{}'", message.replace('\'', "''"));
        let url = format!(
            "{of}/mailFolders/sentitems/messages?$select=id&$filter={}",
            segment(&filter)
        );
        let (pause, times) = ARRIVAL;
        for time in 0..times {
            if time > 0 {
                tokio::time::sleep(pause).await;
            }
            match self.ask("GET", &url, None).await {
                Ok(seen) if seen.is_good() && seen.body["value"][0].is_object() => {
                    return self.pass(Check::SentItems, mailbox, "the mail lies in Sent Items");
                }
                Ok(_) => {}
                Err(error) => return self.unanswered(Check::SentItems, mailbox, error),
            }
        }
        let remedy = self.remedies.sent_items(mailbox);
        self.fail(
            Check::SentItems,
            mailbox,
            "the mail was accepted and does not lie in Sent Items",
            remedy,
        );
    }

    fn unanswered(&mut self, check: Check, subject: &str, error: GateError) {
        let (detail, remedy) = match error {
            GateError::Denied { what, remedy } => (format!("{what} is not allowed"), remedy),
            other => (other.to_string(), "run the test again".to_owned()),
        };
        self.fail(check, subject, detail, remedy);
    }

    async fn ask(&self, method: &str, url: &str, body: Option<Value>) -> Result<Seen, GateError> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let request = Request {
            method: method.to_owned(),
            url: url.into(),
            headers: match &body {
                Some(_) => vec![("Content-Type".to_owned(), "application/json".to_owned())],
                None => Vec::new(),
            },
            body: body.map(|bytes| Body {
                size: bytes.len() as u64,
                chunks: stream::once(async move { Ok(bytes) }).boxed(),
            }),
            with_token: true,
            timeout: PATIENCE,
        };
        let mut response = self.binding.send(request).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.body.next().await {
            let chunk = chunk?;
            if bytes.len() + chunk.len() > MOST {
                break;
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Seen {
            status: response.status,
            // What is no JSON has no code.
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_slash_may_be_part_of_a_name() {
        assert_eq!(names("inbox/Invoices"), ["inbox", "Invoices"]);
        assert_eq!(names(r"in\/out / 2026"), ["in/out", "2026"]);
    }
}
