//! Bodies of requests. One that is announced as too long is refused before a byte of it is read. What
//! nobody has read when the answer is made is taken and dropped for a while: an answer may be lost
//! where a connection is closed on what the other side still sends (RFC 9112, section 9.6).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Frame, SizeHint};

use super::only;
use super::problem::Problem;

/// How long what nobody reads is taken.
const LINGER: Duration = Duration::from_secs(5);
/// And how much of it, in bytes.
const MOST_DROPPED: usize = 64 << 20;

/// The longest body that an address reads; lies among a request's extensions.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    /// In bytes.
    most: usize,
    /// The same for people.
    named: &'static str,
    help: &'static str,
}

/// Where nothing else is said: inputs of one run.
const USUAL: Limit = Limit {
    most: 4 << 20,
    named: "4 MB",
    help: "documents go to POST /api/documents",
};

/// A backup of the vault: more than one of ten thousand accounts.
pub(super) const BACKUP: Limit = Limit {
    most: 256 << 20,
    named: "256 MB",
    help: "send the text that `docket vault export` wrote",
};

/// What a sign-in service answers with.
pub(super) const ANSWER: Limit = Limit {
    most: 64 << 10,
    named: "64 KB",
    help: "this is where sign-in services send their answers",
};

/// A body that was read to its end, or why it was not.
pub(super) struct Whole(Result<Bytes, Problem>);

impl Whole {
    /// The bytes.
    ///
    /// # Errors
    /// The body was too long, or broke off.
    pub(super) fn bytes(self) -> Result<Bytes, Problem> {
        self.0
    }
}

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let limit = request.extensions().get().copied().unwrap_or(USUAL);
        Ok(Self(read(request, limit).await))
    }
}

async fn read(request: Request, limit: Limit) -> Result<Bytes, Problem> {
    let too_large = || {
        let what = format!("the body has more than {}", limit.named);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, what).with_help(limit.help)
    };
    if announced(request.headers()).is_some_and(|length| length > limit.most as u64) {
        return Err(too_large());
    }
    let read = Limited::new(request.into_body(), limit.most)
        .collect()
        .await;
    match read {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(broken_off()),
    }
}

/// What to say where a body ended before its end.
pub(super) fn broken_off() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "the body broke off").with_help("send it again")
}

/// How long a body is to be, where that is said.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    only(headers, header::CONTENT_LENGTH)?.parse().ok()
}

/// The same request, whose body goes on arriving for a while where it is not read to its end.
pub(super) async fn lingering(request: Request) -> Request {
    // Whoever asks whether to go on has sent nothing yet.
    match request.headers().contains_key(header::EXPECT) {
        true => request,
        false => request.map(|inner| {
            Body::new(Lingering {
                inner,
                is_over: false,
            })
        }),
    }
}

struct Lingering {
    inner: Body,
    is_over: bool,
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        self.is_over |= matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.is_over || self.inner.is_end_stream() {
            return;
        }
        let rest = std::mem::take(&mut self.inner);
        // Without a runtime there is no connection any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(LINGER, dropped(rest)));
        }
    }
}

async fn dropped(mut rest: Body) {
    let mut left = MOST_DROPPED;
    while let Some(Ok(frame)) = rest.frame().await {
        let count = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(count) {
            Some(less) => left = less,
            None => return,
        }
    }
}
