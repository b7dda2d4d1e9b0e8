//! The server of `docket serve`: an API for programs on this machine, and the pages that a sign-in
//! needs. The router is a function of the service, the server one of a listener and a shutdown.
//!
//! Every path below `/api` asks for the bearer token of `serve.json`. All paths ask for a `Host` that
//! is this server's, so that no page of another origin reaches it by a name of its own; but for
//! those below `/hooks`, which are called by other machines, through whatever proxy there is, and ask
//! for a signature.

mod administration;
mod api;
mod audit;
mod body;
pub(crate) mod client;
pub(crate) mod contact;
mod documents;
mod embedded;
mod hooks;
mod metrics;
mod problem;
mod sign_in;
mod triggers;
mod watch;
mod workflows;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use docket_engine::Triggers;
use docket_model::Digest;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use self::contact::Contact;
use self::problem::Problem;
pub(crate) use self::triggers::OVERLAP;
pub(crate) use self::watch::Watch;
use crate::host::Host;
use crate::workflows::Workflows;

/// What the handlers work with.
pub(crate) struct Service {
    host: Arc<Host>,
    watch: Arc<Watch>,
    workflows: Arc<Workflows>,
    /// Places for large bodies of webhooks.
    hooks: Semaphore,
    address: SocketAddr,
    /// Cancelled when the process is to end.
    shutdown: CancellationToken,
    /// What `Host` may say.
    hosts: BTreeSet<String>,
    devices: administration::Devices,
    ends: metrics::Ends,
    /// Held by whoever copies or removes what the data folder holds.
    keeping: Arc<Mutex<()>>,
    /// The token's digest: comparing digests tells nothing of the token by the time that it takes.
    token: Digest,
}

impl Service {
    /// A service for whoever has this contact.
    pub(crate) fn new(
        host: Arc<Host>,
        watch: Arc<Watch>,
        workflows: Arc<Workflows>,
        contact: &Contact,
        shutdown: CancellationToken,
    ) -> Self {
        let address = contact.address;
        let mut hosts =
            BTreeSet::from([address.to_string(), format!("localhost:{}", address.port())]);
        // Those under which a reverse proxy lets people sign in.
        let spec = &host.project.spec;
        let connections = spec.connections.values();
        let redirects = connections.filter_map(|spec| spec.redirect_uri.as_ref());
        for uri in redirects.chain(&spec.public_url) {
            if let Ok(uri) = url::Url::parse(uri)
                && let Some(name) = uri.host_str()
            {
                hosts.insert(match uri.port() {
                    Some(port) => format!("{name}:{port}"),
                    None => name.to_owned(),
                });
            }
        }
        Self {
            host,
            watch,
            workflows,
            hooks: hooks::places(),
            address,
            shutdown,
            hosts,
            devices: administration::Devices::default(),
            ends: metrics::Ends::default(),
            keeping: Arc::default(),
            token: contact.digest(),
        }
    }

    /// Does what copies or removes a part of the data folder: one at a time, since a copy must not miss
    /// what is removed meanwhile, and to its end, though whoever asked for it has gone away.
    async fn alone<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        let keeping = Arc::clone(&self.keeping);
        let done = tokio::spawn(async move {
            let _alone = keeping.lock().await;
            work.await
        });
        done.await
            .map_err(|error| Problem::fault(&error.to_string()))
    }

    fn triggers(&self) -> &Triggers {
        self.workflows.triggers()
    }

    /// Where others reach this process, without a slash at its end.
    fn url(&self) -> String {
        let public = self.host.project.spec.public_url.as_deref();
        let url = public.map_or_else(|| format!("http://{}", self.address), str::to_owned);
        url.trim_end_matches('/').to_owned()
    }
}

/// Everything that the server answers.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let api = Router::new()
        .route("/runs", get(api::runs).post(api::start))
        .route("/runs/{id}", get(api::run))
        .route("/runs/{id}/cancel", post(api::cancel))
        .route("/runs/{id}/resume", post(api::resume))
        .route("/runs/{id}/rerun", post(api::rerun))
        .route("/runs/{id}/signals", post(api::signal))
        .route("/runs/{id}/approvals", post(api::decide))
        .route("/inputs", get(api::inputs))
        .route("/waiting", get(api::waiting))
        .route("/triggers", get(triggers::list))
        .route("/triggers/reset", post(triggers::reset))
        .route("/triggers/secret", post(triggers::set_secret))
        .route("/workflows", get(triggers::workflows))
        .route("/workflows/reload", post(triggers::reload))
        .route("/backup", post(api::backup))
        .merge(administration::routes())
        .merge(audit::routes())
        .route("/documents", post(documents::store))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&service),
            ask_for_token,
        ));
    let hooks = Router::new()
        .route("/hooks/{workflow}", post(hooks::receive))
        .layer(middleware::map_response(async |response| {
            explained(response)
        }));
    Router::new()
        .nest("/api", api)
        .route("/callback", callback())
        .route("/oauth/callback", callback())
        .route("/sign-in/{connection}", get(sign_in::begin))
        .route("/healthz", get(healthz))
        .route("/proof", get(prove))
        .route("/metrics", get(metrics::show))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&service),
            check_host,
        ))
        .merge(hooks)
        .layer(middleware::map_request(body::lingering))
        .with_state(service)
}

fn callback() -> MethodRouter<Arc<Service>> {
    let routes = get(sign_in::callback).post(sign_in::posted);
    routes.layer(Extension(body::ANSWER))
}

async fn check_host(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let name = only(request.headers(), header::HOST);
    let is_own = name.is_some_and(|name| service.hosts.contains(&name.to_lowercase()));
    match is_own {
        true => Ok(explained(next.run(request).await)),
        false => Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "the Host header names another server",
        )
        .with_help(format!(
            "ask http://{}, or the name of public-url or of a connection's redirect-uri",
            service.address
        ))),
    }
}

/// What axum itself refuses, as a problem like all others.
fn explained(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    match response.status().is_client_error() && is_plain {
        true => Problem::new(response.status(), "the request cannot be understood").into_response(),
        false => response,
    }
}

async fn ask_for_token(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let given = only(request.headers(), header::AUTHORIZATION);
    let given = given.and_then(|text| text.strip_prefix("Bearer "));
    let fits = given.is_some_and(|token| Digest::of(token.as_bytes()) == service.token);
    match fits {
        true => Ok(next.run(request).await),
        false => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "the bearer token is missing or wrong",
        )
        .with_help(
            "send `Authorization: Bearer …` with the token of serve.json, in the data folder",
        )),
    }
}

/// A header that stands there once.
fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(value)
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /proof?challenge=…`: shows a command that this is the process which wrote `serve.json`, before
/// it tells its token.
async fn prove(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
) -> Result<String, Problem> {
    let pairs = api::pairs(query.as_deref());
    match pairs.as_slice() {
        [(name, challenge)] if name == "challenge" && contact::is_challenge(challenge) => {
            Ok(contact::proof(service.token, challenge))
        }
        _ => {
            let what = "the parameter `challenge` is 64 hexadecimal digits by chance";
            Err(Problem::new(StatusCode::BAD_REQUEST, what))
        }
    }
}

async fn nothing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing at this address")
}

async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this address does not take this method",
    )
}
