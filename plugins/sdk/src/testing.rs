//! Native tests of plugins: a call whose requests are answered by the test.
//!
//! A test gives a function that answers each request, as a server would or as a broken one would,
//! runs the plugin, and then looks at what was asked.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::document::{Bytes, Writer};
use crate::export::Host;
use crate::{
    Account, AccountKind, Call, Content, Document, DocumentRef, DocumentWriter, Failure, HttpError,
    Manifest, Part, Problem, Receive, Request, Response,
};

/// A document in memory.
#[must_use]
pub fn document(name: &str, media_type: &str, bytes: &[u8]) -> Document {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let about = DocumentRef {
        digest: format!("sha256:{hex}"),
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        size: bytes.len() as u64,
    };
    Document::in_memory(about, bytes.to_vec())
}

/// A request as it would have left the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The method.
    pub method: &'static str,
    /// The URL.
    pub url: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
    /// Whether it was sent as the account.
    pub as_account: bool,
    /// Whether the plugin vouched that it may be sent twice.
    pub is_repeatable: bool,
    /// The answer's URLs that the host was to keep.
    pub seal: Vec<String>,
}

impl Sent {
    /// The first header of that name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let is_it = |known: &str| known.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(|(known, _)| is_it(known))
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What a server says: status and JSON.
#[must_use]
pub fn answer(status: u16, body: &Value) -> Response {
    Response {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Content::Inline(if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into()
        }),
    }
}

/// A manifest as the host reads it, for golden tests; schemas and examples as values.
#[must_use]
pub fn manifest(manifest: &Manifest) -> Value {
    manifest.described()
}

/// Compares a value with the JSON in a file of the package, such as `tests/manifest.json`. With
/// `UPDATE` set in the environment, the file is written instead.
///
/// # Panics
/// They differ; the message names the first line that does.
pub fn golden(file: &str, value: &Value) {
    let found = format!("{value:#}\n");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file, &found).unwrap_or_else(|error| panic!("{file}: {error}"));
        return;
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    let lines = found
        .lines()
        .zip(expected.lines().map(Some).chain(std::iter::repeat(None)));
    for (number, (line, expected)) in (1..).zip(lines) {
        assert_eq!(
            Some(line),
            expected,
            "{file}:{number}; UPDATE=1 writes it anew"
        );
    }
    assert!(
        found.lines().count() == expected.lines().count(),
        "{file} has more lines"
    );
}

/// Holds a manifest to the file in which it was reviewed (see [`golden`]), and to what those need who
/// read it: inputs and outputs are objects with properties, every action has an example, and every
/// request says where it goes, by an endpoint or by `https`, and why.
///
/// # Panics
/// It is not so; the message names the action.
pub fn reviewed(file: &str, manifest: &Manifest) {
    golden(file, &self::manifest(manifest));
    for action in manifest.actions() {
        let name = action.name();
        for schema in [action.input_schema(), action.output_schema()] {
            assert!(schema["properties"].is_object(), "{name}: {schema}");
            assert_eq!(schema["type"], "object", "{name}");
        }
        assert!(!action.examples().is_empty(), "{name} has no example");
        for (title, example) in action.examples() {
            assert!(example.is_object(), "{name}: {title}");
        }
        for [method, url, why] in action.requests() {
            let is_whole = url.starts_with('{') || url.starts_with("https://");
            assert!(is_whole && !why.is_empty(), "{name}: {method} {url}");
        }
    }
}

/// The function that answers a test's requests.
pub type Answers = Box<dyn FnMut(&Sent) -> Result<Response, HttpError>>;

/// Builds a call for a test.
pub struct TestCall {
    call: Call,
    host: Rc<TestHost>,
}

struct TestHost {
    answers: RefCell<Answers>,
    sent: RefCell<Vec<Sent>>,
    logged: RefCell<Vec<String>>,
}

impl TestCall {
    /// A first attempt of `action` at 2026-11-21T09:00:00Z, as `svc@contoso.example`, with the
    /// endpoints `graph` = `https://graph.test` and `outlook` = `https://outlook.test`.
    pub fn new(
        action: &str,
        input: &Value,
        answers: impl FnMut(&Sent) -> Result<Response, HttpError> + 'static,
    ) -> Self {
        let host = Rc::new(TestHost {
            answers: RefCell::new(Box::new(answers)),
            sent: RefCell::default(),
            logged: RefCell::default(),
        });
        let endpoint = |name: &str| (name.to_owned(), format!("https://{name}.test"));
        let call = Call {
            action: action.to_owned(),
            input: input.to_string(),
            documents: Vec::new(),
            account: Some(Account {
                name: "svc@contoso.example".to_owned(),
                kind: AccountKind::ServiceAccount,
                endpoints: vec![endpoint("graph"), endpoint("outlook")],
            }),
            idempotency_key: "0193b3c4-5a6b-7c8d-9e0f-a1b2c3d4e5f6".to_owned(),
            attempt: 1,
            time: 1_795_251_600_000,
            cursor: None,
            host: Rc::clone(&host) as Rc<dyn Host>,
        };
        Self { call, host }
    }

    /// The same with a document that the input refers to.
    #[must_use]
    pub fn with_document(mut self, document: Document) -> Self {
        self.call.documents.push(document);
        self
    }

    /// The same as a later attempt.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.call.attempt = attempt;
        self
    }

    /// The same of another step: with another idempotency key.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.call.idempotency_key);
        self
    }

    /// The same at another time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn with_time(mut self, time: u64) -> Self {
        self.call.time = time;
        self
    }

    /// The same as a poll after one that returned this cursor.
    #[must_use]
    pub fn with_cursor(mut self, cursor: &str) -> Self {
        self.call.cursor = Some(cursor.to_owned());
        self
    }

    /// The same as an account of another kind.
    #[must_use]
    pub fn with_account_kind(mut self, kind: AccountKind) -> Self {
        if let Some(account) = &mut self.call.account {
            account.kind = kind;
        }
        self
    }

    /// The call.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// What was sent so far.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.host.sent.borrow().clone()
    }

    /// What was logged so far.
    #[must_use]
    pub fn logged(&self) -> Vec<String> {
        self.host.logged.borrow().clone()
    }
}

impl Host for TestHost {
    fn send(&self, request: &Request) -> Result<Response, HttpError> {
        let sent = Sent {
            method: request.method,
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: request.body.iter().map(bytes).collect::<Vec<_>>().concat(),
            as_account: request.as_account,
            is_repeatable: request.is_repeatable,
            seal: request.seal.clone(),
        };
        self.sent.borrow_mut().push(sent.clone());
        let mut response = (self.answers.borrow_mut())(&sent)?;
        if let (
            Receive::Document {
                name,
                media_type,
                limit,
            },
            true,
        ) = (&request.receive, response.is_success())
        {
            let bytes = response.bytes().to_vec();
            if limit.is_some_and(|limit| bytes.len() as u64 > limit) {
                return Err(HttpError::TooLarge(limit.unwrap_or_default()));
            }
            let media_type = media_type.as_deref().or(response.header("content-type"));
            let media_type = media_type.unwrap_or("application/octet-stream");
            response.body = Content::Document(document(name, media_type, &bytes));
        }
        if matches!(request.receive, Receive::Nowhere) && response.is_success() {
            response.body = Content::Inline(Vec::new());
        }
        if let (Receive::Inline(limit), Content::Inline(bytes)) = (&request.receive, &response.body)
            && bytes.len() as u64 > u64::from(*limit)
        {
            return Err(HttpError::TooLarge((*limit).into()));
        }
        Ok(response)
    }

    fn send_all(&self, requests: &[Request]) -> Vec<Result<Response, HttpError>> {
        let all_repeatable = requests.iter().all(|request| request.is_repeatable);
        let refusal = || {
            Err(HttpError::Invalid(
                "send-all takes repeatable requests".to_owned(),
            ))
        };
        requests
            .iter()
            .map(|request| {
                if all_repeatable {
                    self.send(request)
                } else {
                    refusal()
                }
            })
            .collect()
    }

    fn create_document(&self, name: &str, media_type: &str) -> Result<DocumentWriter, Failure> {
        if name.is_empty() || name.contains(['/', '\\']) || name.contains(char::is_control) {
            return Err(Failure::Permanent(Problem::new(
                "InvalidDocument",
                "the name is bad",
            )));
        }
        Ok(DocumentWriter(Writer::Memory {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            bytes: Vec::new(),
        }))
    }

    fn progress(&self, _done: u64, _total: Option<u64>, _message: &str) {}

    fn log(&self, message: &str) {
        self.logged.borrow_mut().push(message.to_owned());
    }
}

fn bytes(part: &Part) -> Vec<u8> {
    match part {
        Part::Bytes(bytes) => bytes.clone(),
        Part::Document(document) => whole(document).to_vec(),
        Part::Base64(document) => base64(whole(document)).into_bytes(),
        Part::Range(document, offset, length) => {
            let all = whole(document);
            let start = usize::try_from(*offset)
                .unwrap_or(usize::MAX)
                .min(all.len());
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            all[start..start.saturating_add(length).min(all.len())].to_vec()
        }
    }
}

fn whole(document: &Document) -> &[u8] {
    match document.bytes() {
        Bytes::Memory(bytes) => bytes,
        Bytes::Host(_) => &[],
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = [
            chunk[0],
            *chunk.get(1).unwrap_or(&0),
            *chunk.get(2).unwrap_or(&0),
        ];
        let number = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..4 {
            let digit = ALPHABET[(number >> (18 - 6 * place)) as usize & 63];
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}
