//! Asks the process that serves a data folder, over loopback.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use docket_model::DocumentRef;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::contact::{Contact, by_chance, proof};
use crate::exit::{Exit, Failed};

/// How long a process may take to prove that it is the right one.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const MAX_ANSWER: usize = 256 << 20;

/// The process that serves a data folder.
pub(crate) struct Serving(Contact);

impl Serving {
    /// The one of this data folder, if there is one that answers.
    pub(crate) async fn find(data: &Path) -> Option<Self> {
        let serving = Self(Contact::read(data)?);
        // What a process left that did not end well counts for nothing, whoever listens there now.
        let proven = tokio::time::timeout(PATIENCE, serving.proves_itself()).await;
        matches!(proven, Ok(Ok(true))).then_some(serving)
    }

    /// Whether who listens there knows the token.
    async fn proves_itself(&self) -> Result<bool> {
        let challenge = by_chance()?;
        let request = Request::get(format!("/proof?challenge={challenge}"))
            .header(HOST, self.0.address.to_string())
            .body(Full::default())?;
        let (answer, _connection) = self.exchange(request).await?;
        let expected = proof(self.0.digest(), &challenge);
        let given = Limited::new(answer.into_body(), expected.len()).collect();
        let given = given.await.map_err(|_error| self.gone())?.to_bytes();
        Ok(given == expected)
    }

    /// Where it listens, as a URL without a slash at its end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Asks for something.
    ///
    /// # Errors
    /// What the server says is wrong, with its remedy and exit code.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Orders something.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let body = serde_json::to_vec(body)?;
        self.ask(Method::POST, path, Bytes::from(body)).await
    }

    /// Hands a document over.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(crate) async fn put_document(&self, name: &str, bytes: Vec<u8>) -> Result<DocumentRef> {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("name", name)
            .finish();
        let path = format!("/api/documents?{query}");
        let stored = self.ask(Method::POST, &path, Bytes::from(bytes)).await?;
        Ok(serde_json::from_value(stored)?)
    }

    /// Gets bytes and hands them over piece by piece.
    ///
    /// # Errors
    /// As [`Self::get`], and what `take` says.
    pub(crate) async fn fetch(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (mut answer, _connection) = self.send(Method::GET, path, Bytes::new()).await?;
        if !answer.status().is_success() {
            return Err(self
                .read(answer)
                .await
                .err()
                .unwrap_or_else(|| self.gone().into()));
        }
        while let Some(frame) = answer.body_mut().frame().await {
            let frame = frame.map_err(|_error| self.gone())?;
            if let Some(bytes) = frame.data_ref() {
                take(bytes)?;
            }
        }
        Ok(())
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Value> {
        let (answer, _connection) = self.send(method, path, body).await?;
        self.read(answer).await
    }

    fn gone(&self) -> Failed {
        let address = self.0.address;
        let message = format!("the serving process at {address} does not answer any more");
        Failed::new(Exit::Fault, message)
            .with_help("nothing is lost; its runs go on when it serves again")
    }

    /// Sends a request. The connection lives as long as what it is given with the answer.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Response<Incoming>, AbortOnDrop)> {
        let Contact { address, token } = &self.0;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
            .context("the token in serve.json is none")?;
        bearer.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, address.to_string())
            .header(AUTHORIZATION, bearer)
            .body(Full::new(body))?;
        self.exchange(request).await
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, AbortOnDrop)> {
        let stream = TcpStream::connect(self.0.address)
            .await
            .map_err(|_error| self.gone())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_error| self.gone())?;
        let connection = AbortOnDrop(tokio::spawn(connection));
        let answer = sender.send_request(request).await;
        Ok((answer.map_err(|_error| self.gone())?, connection))
    }

    /// Reads an answer that is JSON.
    async fn read(&self, answer: Response<Incoming>) -> Result<Value> {
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|_error| self.gone())?;
        let value: Value = serde_json::from_slice(&body.to_bytes()).with_context(|| {
            let address = self.0.address;
            format!("what answers at {address} is no docket ({status})")
        })?;
        match status.is_success() {
            true => Ok(value),
            false => Err(refused(&value).into()),
        }
    }
}

/// A connection under way; whoever has read its answer ends it.
struct AbortOnDrop(JoinHandle<hyper::Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A problem document as an error of the command line.
fn refused(problem: &Value) -> Failed {
    let exit = problem["exit"].as_u64();
    let exit = exit.map_or(Exit::Fault, Exit::of_code);
    let detail = problem["detail"].as_str();
    let failed = Failed::new(exit, detail.unwrap_or("the serving process refused it"));
    match problem["help"].as_str() {
        Some(help) => failed.with_help(help),
        None => failed,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Somebody else listens where a process served that was killed, and answers whatever it takes.
    async fn impostor(body: &'static str) -> (bool, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let contact = Contact::new(listener.local_addr().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let _published = contact.publish(folder.path()).unwrap();
        let heard = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 4096];
            let count = stream.read(&mut heard).await.unwrap();
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&heard[..count]).into_owned()
        });
        let found = Serving::find(folder.path()).await;
        let heard = heard.await.unwrap();
        assert!(!heard.contains(contact.token.expose_secret()), "{heard}");
        (found.is_some(), heard)
    }

    #[tokio::test]
    async fn whoever_cannot_prove_itself_is_told_nothing() {
        for body in ["{}", r#"{"waiting": []}"#, ""] {
            let (is_believed, heard) = impostor(body).await;
            assert!(!is_believed, "{body}");
            assert!(!heard.to_lowercase().contains("authorization"), "{heard}");
        }
    }

    #[test]
    fn a_proof_is_of_one_token_and_one_challenge() {
        let contact = |port| Contact::new(([127, 0, 0, 1], port).into()).unwrap();
        let (one, other) = (contact(1).digest(), contact(1).digest());
        let challenge = by_chance().unwrap();
        assert!(super::super::contact::is_challenge(&challenge));
        let shown = proof(one, &challenge);
        assert_eq!(shown, proof(one, &challenge));
        assert_ne!(shown, proof(other, &challenge));
        assert_ne!(shown, proof(one, &by_chance().unwrap()));
    }
}
