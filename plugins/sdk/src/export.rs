//! The component's side of the interface: turns the host's handles into a [`Call`] and back.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::bindings::docket::processor::{documents, http as wit, reporting};
use crate::bindings::exports::docket::processor::actions;
use crate::document::{Bytes, DocumentWriter, Writer, failure};
use crate::{
    Account, AccountKind, Call, Content, Document, Failure, HttpError, Part, Plugin, Problem,
    Receive, Request, Response,
};

/// What a call reaches the outside with.
pub(crate) trait Host {
    fn send(&self, request: &Request) -> Result<Response, HttpError>;
    fn send_all(&self, requests: &[Request]) -> Vec<Result<Response, HttpError>>;
    fn create_document(&self, name: &str, media_type: &str) -> Result<DocumentWriter, Failure>;
    fn progress(&self, done: u64, total: Option<u64>, message: &str);
    fn log(&self, message: &str);
}

/// Makes a plugin the component's export.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type DocketComponent = $crate::Component<$plugin>;
    $crate::bindings::export!(DocketComponent with_types_in $crate::bindings);
        };
    };
}

/// The export of a plugin; made by [`export_plugin!`].
pub struct Component<P>(PhantomData<P>);

impl<P: Plugin> actions::Guest for Component<P> {
    fn describe() -> actions::Manifest {
        P::manifest().into_wit()
    }

    fn run(call: actions::Call) -> Result<actions::Output, actions::Failure> {
        let host = Rc::new(Capabilities {
            client: call.http,
            token: call.token,
            store: call.store,
            reporter: call.reporter,
        });
        hand_over_panics(&host);
        let call = Call {
            action: call.action,
            input: call.input,
            documents: call
                .documents
                .into_iter()
                .map(Document::from_host)
                .collect(),
            account: call.account.map(account),
            idempotency_key: call.idempotency_key,
            attempt: call.attempt,
            time: call.time,
            cursor: call.cursor,
            host,
        };
        let result = P::run(&call);
        // The handles belong to this call and must go with it.
        REPORTER.with_borrow_mut(Option::take);
        match result {
            Ok(output) => Ok(actions::Output {
                json: output.json,
                cursor: output.cursor,
            }),
            Err(failure) => Err(failure_into_wit(failure)),
        }
    }
}

thread_local! {
    static REPORTER: RefCell<Option<Rc<Capabilities>>> = const { RefCell::new(None) };
}

/// A trap carries no text: the host learns a panic's message only if it gets it beforehand.
fn hand_over_panics(host: &Rc<Capabilities>) {
    REPORTER.set(Some(Rc::clone(host)));
    std::panic::set_hook(Box::new(|panic| {
        REPORTER.with_borrow(|host| {
            if let Some(host) = host {
                host.reporter.panicked(&panic.to_string());
            }
        });
    }));
}

struct Capabilities {
    client: wit::Client,
    token: Option<wit::Token>,
    store: documents::Store,
    reporter: reporting::Reporter,
}

impl Capabilities {
    fn request<'a>(&'a self, request: &'a Request) -> Result<wit::Request<'a>, HttpError> {
        let token = match (&self.token, request.as_account) {
            (_, false) => None,
            (Some(token), true) => Some(token),
            (None, true) => {
                return Err(HttpError::Denied {
                    what: "the step has no account to send the request as".to_owned(),
                    remedy: "name a connection for the plugin under `connections`".to_owned(),
                });
            }
        };
        Ok(wit::Request {
            method: request.method.to_owned(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: request.body.iter().map(part).collect::<Result<_, _>>()?,
            token,
            repeatable: request.is_repeatable,
            seal: request.seal.clone(),
            receive: match &request.receive {
                Receive::Inline(limit) => wit::Receive::Inline(*limit),
                Receive::Document {
                    name,
                    media_type,
                    limit,
                } => wit::Receive::Document(wit::NewDocument {
                    name: name.clone(),
                    media_type: media_type.clone(),
                    limit: *limit,
                }),
                Receive::Nowhere => wit::Receive::Nowhere,
            },
            timeout: request.timeout,
        })
    }
}

impl Host for Capabilities {
    fn send(&self, request: &Request) -> Result<Response, HttpError> {
        self.client
            .send(&self.request(request)?)
            .map(response)
            .map_err(http_error)
    }

    fn send_all(&self, requests: &[Request]) -> Vec<Result<Response, HttpError>> {
        let converted: Result<Vec<_>, _> = requests
            .iter()
            .map(|request| self.request(request))
            .collect();
        match converted {
            Ok(converted) => self
                .client
                .send_all(&converted)
                .into_iter()
                .map(|answer| answer.map(response).map_err(http_error))
                .collect(),
            Err(error) => requests.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn create_document(&self, name: &str, media_type: &str) -> Result<DocumentWriter, Failure> {
        let writer = self.store.create(name, media_type).map_err(failure)?;
        Ok(DocumentWriter(Writer::Host(writer)))
    }

    fn progress(&self, done: u64, total: Option<u64>, message: &str) {
        self.reporter.progress(done, total, message);
    }

    fn log(&self, message: &str) {
        self.reporter.log(reporting::Level::Info, message);
    }
}

fn part(part: &Part) -> Result<wit::Part<'_>, HttpError> {
    Ok(match part {
        Part::Bytes(bytes) => wit::Part::Bytes(bytes.clone()),
        Part::Document(document) => wit::Part::Document(handle(document)?),
        Part::Base64(document) => wit::Part::Base64(handle(document)?),
        Part::Range(document, offset, length) => wit::Part::Range(wit::DocumentRange {
            document: handle(document)?,
            offset: *offset,
            length: *length,
        }),
    })
}

#[cfg_attr(
    target_family = "wasm",
    allow(
        clippy::unnecessary_wraps,
        reason = "only a native test holds documents in memory"
    )
)]
fn handle(document: &Document) -> Result<&documents::Document, HttpError> {
    match document.bytes() {
        Bytes::Host(handle) => Ok(handle),
        #[cfg(not(target_family = "wasm"))]
        Bytes::Memory(_) => Err(HttpError::Invalid(
            "the document is not the host's".to_owned(),
        )),
    }
}

fn response(response: wit::Response) -> Response {
    Response {
        status: response.status,
        headers: response.headers,
        body: match response.body {
            wit::Content::Inline(bytes) => Content::Inline(bytes),
            wit::Content::Document(document) => Content::Document(Document::from_host(document)),
        },
    }
}

fn http_error(error: wit::HttpError) -> HttpError {
    match error {
        wit::HttpError::Denied(wit::Denial { what, remedy }) => HttpError::Denied { what, remedy },
        wit::HttpError::Invalid(why) => HttpError::Invalid(why),
        wit::HttpError::Unreachable(why) => HttpError::Unreachable(why),
        wit::HttpError::Interrupted(why) => HttpError::Interrupted(why),
        wit::HttpError::TooLarge(limit) => HttpError::TooLarge(limit),
        wit::HttpError::SignInRequired(why) => HttpError::SignInRequired(why),
    }
}

fn account(account: actions::Account) -> Account {
    Account {
        name: account.name,
        kind: match account.kind {
            actions::AccountKind::ServiceAccount => AccountKind::ServiceAccount,
            actions::AccountKind::User => AccountKind::User,
            actions::AccountKind::Application => AccountKind::Application,
        },
        endpoints: account.endpoints,
    }
}

fn failure_into_wit(failure: Failure) -> actions::Failure {
    let problem = |problem: Problem| actions::Problem {
        code: problem.code,
        message: problem.message,
        remedy: problem.remedy,
    };
    match failure {
        Failure::InvalidInput(why) => actions::Failure::InvalidInput(problem(why)),
        Failure::Denied(why) => actions::Failure::Denied(problem(why)),
        Failure::NotFound(why) => actions::Failure::NotFound(problem(why)),
        Failure::Unavailable(why) => actions::Failure::Unavailable(problem(why)),
        Failure::SignInRequired(why) => actions::Failure::SignInRequired(problem(why)),
        Failure::OutcomeUnknown(why) => actions::Failure::OutcomeUnknown(problem(why)),
        Failure::Permanent(why) => actions::Failure::Permanent(problem(why)),
        Failure::Throttled(why, after) => actions::Failure::Throttled(actions::Throttle {
            problem: problem(why),
            after: after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        }),
    }
}
