//! What breaks on purpose: bodies that are cut off, and connections that end with RST.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// An answer's body, which may break off.
pub(crate) struct ReplyBody {
    rest: Option<Bytes>,
    length: usize,
    breaks: bool,
    pauses: u8,
}

impl ReplyBody {
    /// A body that announces `length` bytes, and breaks off after `rest` if `breaks`.
    pub(crate) fn new(rest: Bytes, length: usize, breaks: bool) -> Self {
        Self {
            rest: Some(rest),
            length,
            breaks,
            pauses: 3,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.rest.take() {
            Some(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            // What came before the break is flushed while this waits.
            _ if self.breaks && self.pauses > 0 => {
                self.pauses -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ if self.breaks => {
                self.breaks = false;
                Poll::Ready(Some(Err(io::Error::other("cut off on purpose"))))
            }
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.breaks && self.rest.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length as u64)
    }
}

/// A stream that ends with RST when it is doomed.
pub(crate) struct Doomable {
    stream: TcpStream,
    doomed: Arc<AtomicBool>,
}

impl Doomable {
    /// A stream that is doomed once `doomed` is set.
    pub(crate) fn new(stream: TcpStream, doomed: Arc<AtomicBool>) -> Self {
        Self { stream, doomed }
    }
}

impl Drop for Doomable {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::SeqCst)
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "no RST");
        }
    }
}

impl Doomable {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }

    /// Nothing is written to a doomed connection, TLS farewells included.
    fn refuse(&self) -> Option<io::Error> {
        self.doomed
            .load(Ordering::SeqCst)
            .then(|| io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Doomable {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Doomable {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.refuse() {
            return Poll::Ready(Err(error));
        }
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.refuse().is_some() {
            return Poll::Ready(Ok(()));
        }
        self.stream().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.refuse() {
            return Poll::Ready(Err(error));
        }
        self.stream().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
