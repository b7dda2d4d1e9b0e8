//! The listeners and what happens around a request: faults, limits, recording.
//!
//! The accept loop is our own, so that a fault can really reset a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::breaking::{Doomable, ReplyBody};
use crate::error::GraphError;
use crate::faults::FaultAction;
use crate::graph::{self, upload};
use crate::state::TenantState;
use crate::wire::{Call, Origin, Reply};
use crate::{control, identity, pages};

/// How much of a body that is too large is read before the connection is given up.
const MAX_DRAINED: usize = 256 * 1024 * 1024;
/// The largest form or control request.
const MAX_FORM: usize = 16 * 1024 * 1024;

/// What every connection of one listener shares.
pub(crate) struct Listener {
    pub(crate) state: TenantState,
    pub(crate) origin: Origin,
    /// `https` or `http`.
    pub(crate) scheme: &'static str,
    /// The listener's own address, for clients that send no `Host`.
    pub(crate) authority: String,
    /// Where uploads go; `None` is wherever the request was addressed.
    pub(crate) upload_base: Option<String>,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Accepts until `stop`, one task per connection.
pub(crate) async fn run(listener: Arc<Listener>, socket: TcpListener, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (listener, stop) = (Arc::clone(&listener), stop.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = connection(listener, stream) => {}
                    }
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn connection(listener: Arc<Listener>, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let doomed = Arc::new(AtomicBool::new(false));
    let stream = Doomable::new(stream, Arc::clone(&doomed));
    match listener.tls.clone() {
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => http(listener, TokioIo::new(stream), doomed).await,
            Err(error) => tracing::debug!(%error, "TLS handshake failed"),
        },
        None => http(listener, TokioIo::new(stream), doomed).await,
    }
}

async fn http<I>(listener: Arc<Listener>, io: I, doomed: Arc<AtomicBool>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let service = service_fn(move |request| {
        let (listener, doomed) = (Arc::clone(&listener), Arc::clone(&doomed));
        async move { respond(&listener, request, &doomed).await }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(io, service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "connection ended");
    }
}

/// The reason given to hyper for dropping a connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection is reset on purpose")]
struct Reset;

async fn respond(
    listener: &Listener,
    request: Request<Incoming>,
    doomed: &AtomicBool,
) -> Result<Response<ReplyBody>, Reset> {
    let (parts, body) = request.into_parts();
    let host = parts
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok())
        .unwrap_or(&listener.authority);
    let base = format!("{}://{host}", listener.scheme);
    let mut call = Call {
        origin: listener.origin,
        upload_base: listener.upload_base.clone().unwrap_or_else(|| base.clone()),
        base,
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or("").to_owned(),
        headers: parts.headers,
        body: Bytes::new(),
        request_id: Call::new_request_id(),
        now: listener.state.now(),
    };
    let area = Area::of(listener.origin, &call.path);
    if matches!(area, Area::Control | Area::Pages) {
        let reply = match collect(body, MAX_FORM).await {
            Ok(bytes) => {
                call.body = bytes;
                if area == Area::Control {
                    control::handle(&listener.state, &call)
                } else {
                    pages::handle(&listener.state, &call)
                }
            }
            Err(status) => Reply::empty(status),
        };
        return Ok(into_response(reply, None));
    }
    serve(&listener.state, area, call, body, doomed).await
}

/// A simulated request, with its faults.
async fn serve(
    state: &TenantState,
    area: Area,
    mut call: Call,
    body: Incoming,
    doomed: &AtomicBool,
) -> Result<Response<ReplyBody>, Reset> {
    let faults = Struck::sort(state, state.strike(call.method.as_str(), &call.path));
    if let Some(latency) = faults.latency {
        tokio::time::sleep(latency).await;
    }
    if faults.reset_before {
        state.record(&call, None);
        doomed.store(true, Ordering::SeqCst);
        return Err(Reset);
    }
    // The head decides before the body is read, as at the real front door.
    let admitted = match &faults.instead {
        Some(error) => Err(error.clone()),
        None => admit(state, area, &call),
    };
    let limit = match area {
        Area::Graph => graph::MAX_REQUEST,
        Area::Upload => upload::MAX_PIECE,
        _ => MAX_FORM,
    };
    let collected = collect(body, limit).await;
    let reply = match (admitted, collected) {
        (Err(error), _) => Reply::refusal(&error, &call).with_graph_headers(&call),
        (Ok(_), Err(status)) if status == StatusCode::PAYLOAD_TOO_LARGE => {
            Reply::refusal(&GraphError::too_large(), &call).with_graph_headers(&call)
        }
        (Ok(_), Err(status)) => Reply::empty(status),
        (Ok(admitted), Ok(bytes)) => {
            call.body = bytes;
            let reply = answer(state, &call, &admitted, &faults);
            let service = if area == Area::Graph {
                state.world().timings.service
            } else {
                Duration::ZERO
            };
            if !service.is_zero() {
                tokio::time::sleep(service).await;
            }
            reply
        }
    };
    let reply = if faults.timeout_after {
        Reply::refusal(&gateway_timeout(), &call).with_graph_headers(&call)
    } else {
        reply
    };
    // An answer without a body can only be cut off as a whole.
    let reset_after = faults.reset_after || (faults.cut_off.is_some() && reply.body.is_empty());
    state.record(&call, (!reset_after).then_some(&reply));
    if reset_after {
        doomed.store(true, Ordering::SeqCst);
        return Err(Reset);
    }
    Ok(into_response(reply, faults.cut_off))
}

/// Which part of the tenant a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Area {
    Identity,
    Graph,
    Upload,
    Control,
    Pages,
}

impl Area {
    fn of(origin: Origin, path: &str) -> Self {
        let is_graph = path
            .get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case("/v1.0"));
        match origin {
            Origin::Outlook => Self::Upload,
            _ if path == "/_tenant" || path.starts_with("/_tenant/") => Self::Control,
            Origin::Plain if upload::is_session(path) => Self::Upload,
            _ if path == "/"
                || path == "/admin"
                || path.starts_with("/mail/")
                || path == "/outside"
                || path.starts_with("/outside/") =>
            {
                Self::Pages
            }
            Origin::Login => Self::Identity,
            Origin::Graph => Self::Graph,
            Origin::Plain if is_graph => Self::Graph,
            Origin::Plain => Self::Identity,
        }
    }
}

/// A request that was let in, with what must stay alive until it is answered.
enum Admitted {
    Graph(
        Box<graph::Admission>,
        #[allow(dead_code, reason = "held for its Drop")] crate::state::Permit,
    ),
    Upload(#[allow(dead_code, reason = "held for its Drop")] Option<crate::state::Permit>),
    Identity,
}

fn admit(state: &TenantState, area: Area, call: &Call) -> Result<Admitted, GraphError> {
    let length = call
        .header("content-length")
        .and_then(|length| length.parse::<u64>().ok())
        .unwrap_or(0);
    match area {
        Area::Graph => {
            let admission = graph::admit(state, call)?;
            let upload = if call.method == http::Method::GET {
                0
            } else {
                length
            };
            let permit = state.enter_throttle(admission.throttle_key(), upload, call.now)?;
            Ok(Admitted::Graph(Box::new(admission), permit))
        }
        Area::Upload => {
            let permit = match upload::owner(state, call) {
                Some(key) => Some(state.enter_throttle(key, length, call.now)?),
                None => None,
            };
            Ok(Admitted::Upload(permit))
        }
        Area::Identity | Area::Control | Area::Pages => Ok(Admitted::Identity),
    }
}

fn answer(state: &TenantState, call: &Call, admitted: &Admitted, faults: &Struck) -> Reply {
    match admitted {
        Admitted::Graph(..) if faults.accepted_not_sent => {
            Reply::empty(StatusCode::OK).with_graph_headers(call)
        }
        Admitted::Graph(admission, _) => graph::handle(state, call, admission),
        Admitted::Upload(_) => upload::handle(state, call),
        Admitted::Identity => identity::handle(state, call, faults.aadsts),
    }
}

/// The faults that struck a request, sorted by when they act.
#[derive(Debug, Default)]
struct Struck {
    latency: Option<Duration>,
    reset_before: bool,
    instead: Option<GraphError>,
    aadsts: Option<u32>,
    accepted_not_sent: bool,
    timeout_after: bool,
    reset_after: bool,
    cut_off: Option<usize>,
}

impl Struck {
    fn sort(state: &TenantState, actions: Vec<FaultAction>) -> Self {
        let mut struck = Self::default();
        for action in actions {
            match action {
                FaultAction::Latency { millis } => {
                    struck.latency =
                        Some(struck.latency.unwrap_or_default() + Duration::from_millis(millis));
                }
                FaultAction::ResetBefore => struck.reset_before = true,
                FaultAction::ResetAfter => struck.reset_after = true,
                FaultAction::TimeoutAfterAccept => struck.timeout_after = true,
                FaultAction::CutOff { bytes } => struck.cut_off = Some(bytes),
                FaultAction::Aadsts { code } => struck.aadsts = Some(code),
                FaultAction::AcceptedNotSent => struck.accepted_not_sent = true,
                other => match refusal_of(&other) {
                    Some(error) => struck.instead = Some(error),
                    None => state.apply_fault(&other),
                },
            }
        }
        struck
    }
}

fn gateway_timeout() -> GraphError {
    GraphError::new(
        StatusCode::GATEWAY_TIMEOUT,
        "UnknownError",
        "The server did not respond in time.",
    )
}

/// The refusal that a fault stands for, if it is one.
pub(crate) fn refusal_of(action: &FaultAction) -> Option<GraphError> {
    let with_retry = |error: GraphError, retry: &Option<String>| match retry {
        Some(value) => error.with_header("retry-after", value.clone()),
        None => error,
    };
    match action {
        FaultAction::Throttle { retry_after } => {
            let text = "Application is over its MailboxConcurrency limit.";
            let error =
                GraphError::new(StatusCode::TOO_MANY_REQUESTS, "ApplicationThrottled", text);
            Some(with_retry(error, retry_after))
        }
        FaultAction::Unavailable { retry_after } => {
            let text = "The service is temporarily unavailable.";
            let error =
                GraphError::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", text);
            Some(with_retry(error, retry_after))
        }
        FaultAction::GatewayTimeout => Some(gateway_timeout()),
        FaultAction::Refuse {
            status,
            code,
            message,
        } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Some(GraphError::new(status, code, message.clone()))
        }
        FaultAction::AccessTokenExpired => Some(GraphError::unauthenticated(
            "Lifetime validation failed, the token is expired.",
        )),
        _ => None,
    }
}

/// Reads a body. One that is too large is read to its end and dropped, so that the client gets to
/// see the refusal instead of a broken connection.
async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, StatusCode> {
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut size = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else {
            continue;
        };
        size = size.saturating_add(data.len());
        if size <= limit {
            pieces.push(data);
        } else if size > MAX_DRAINED {
            break;
        } else {
            pieces.clear();
        }
    }
    if size > limit {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match pieces.len() {
        // The common case needs no copy.
        0 | 1 => Ok(pieces.pop().unwrap_or_default()),
        _ => Ok(pieces.concat().into()),
    }
}

fn into_response(reply: Reply, cut_off: Option<usize>) -> Response<ReplyBody> {
    let length = reply.body.len();
    let rest = cut_off.map_or_else(
        || reply.body.clone(),
        |bytes| reply.body.slice(..bytes.min(length)),
    );
    let body = ReplyBody::new(rest, length, cut_off.is_some());
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = with_length(reply.headers, reply.status, length);
    response
}

fn with_length(mut headers: HeaderMap, status: StatusCode, length: usize) -> HeaderMap {
    if status != StatusCode::NO_CONTENT {
        headers.insert(http::header::CONTENT_LENGTH, length.into());
    }
    headers
}
