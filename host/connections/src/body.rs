//! The body of a request on its way into the client: exactly as long as it was declared to be.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use crate::gate::{Body, GateError};

/// A body of at most so many bytes is read before its request is sent: both leave in one piece, and
/// what cannot be read is known before anything is sent.
const WHOLE: u64 = 64 << 10;

/// The host's own fault while it read a body.
pub(crate) type Fault = Arc<OnceLock<String>>;

type Chunks = BoxStream<'static, io::Result<Bytes>>;

/// A body that has exactly the bytes that it was declared to have, or fails; the cell holds why.
///
/// The client stops asking once it has so many bytes; so the last of them are held back until nothing
/// follows, and a document that grew is not sent cut off.
///
/// # Errors
/// [`GateError::Fault`], where nothing needs to be sent to know it.
pub(crate) async fn exactly(body: Body, fault: Fault) -> Result<reqwest::Body, GateError> {
    let Body { size, mut chunks } = body;
    if size <= WHOLE {
        let whole = whole(&mut chunks, size).await.map_err(GateError::Fault)?;
        return Ok(reqwest::Body::from(whole));
    }
    let checked = stream::unfold(Some((chunks, size)), move |state| {
        let fault = fault.clone();
        async move {
            let (mut chunks, left) = state?;
            match take(&mut chunks, left).await {
                Ok(chunk) => {
                    let left = left - chunk.len() as u64;
                    Some((Ok(chunk), (left > 0).then_some((chunks, left))))
                }
                Err(problem) => {
                    let _ = fault.set(problem.clone());
                    Some((Err(problem), None))
                }
            }
        }
    });
    Ok(reqwest::Body::wrap_stream(checked))
}

/// All of `size` bytes.
async fn whole(chunks: &mut Chunks, size: u64) -> Result<Bytes, String> {
    if size == 0 {
        return no_more(chunks).await.map(|()| Bytes::new());
    }
    let first = take(chunks, size).await?;
    let mut left = size - first.len() as u64;
    if left == 0 {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    while left > 0 {
        let chunk = take(chunks, left).await?;
        left -= chunk.len() as u64;
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// The next of `left` bytes.
async fn take(chunks: &mut Chunks, left: u64) -> Result<Bytes, String> {
    let chunk = next(chunks)
        .await?
        .ok_or_else(|| "the request's body is shorter than it was declared to be".to_owned())?;
    match left.checked_sub(chunk.len() as u64) {
        Some(0) => no_more(chunks).await.map(|()| chunk),
        Some(_) => Ok(chunk),
        None => Err(TOO_LONG.to_owned()),
    }
}

const TOO_LONG: &str = "the request's body is longer than it was declared to be";

async fn no_more(chunks: &mut Chunks) -> Result<(), String> {
    match next(chunks).await? {
        Some(_) => Err(TOO_LONG.to_owned()),
        None => Ok(()),
    }
}

/// The next chunk that holds something.
async fn next(chunks: &mut Chunks) -> Result<Option<Bytes>, String> {
    loop {
        match chunks.next().await {
            Some(Ok(chunk)) if chunk.is_empty() => {}
            Some(Ok(chunk)) => return Ok(Some(chunk)),
            Some(Err(error)) => {
                return Err(format!("the request's body cannot be read: {error}"));
            }
            None => return Ok(None),
        }
    }
}
