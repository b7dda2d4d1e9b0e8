//! Asks the process that serves a data folder, over loopback.

use std::path::Path;

use anyhow::{Context as _, Result};
use docket_model::DocumentRef;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::net::TcpStream;

use super::contact::Contact;
use crate::exit::{Exit, Failed};

/// The longest answer that is read.
const MAX_ANSWER: usize = 256 << 20;

/// The process that serves a data folder.
pub(crate) struct Serving(Contact);

impl Serving {
    /// The one of this data folder, if there is one that answers.
    pub(crate) async fn find(data: &Path) -> Option<Self> {
        let serving = Self(Contact::read(data)?);
        // What a process left that did not end well counts for nothing, whoever listens there now.
        let answers = serving.get("/api/waiting?limit=1").await.is_ok();
        answers.then_some(serving)
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

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Value> {
        let Contact { address, token } = &self.0;
        let gone = || {
            let message = format!("the serving process at {address} does not answer any more");
            Failed::new(Exit::Fault, message)
                .with_help("nothing is lost; its runs go on when it serves again")
        };
        let stream = TcpStream::connect(address).await.map_err(|_error| gone())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_error| gone())?;
        let connection = tokio::spawn(connection);
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
            .context("the token in serve.json is none")?;
        bearer.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, address.to_string())
            .header(AUTHORIZATION, bearer)
            .body(Full::new(body))?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|_error| gone())?;
        let is_success = answer.status().is_success();
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        connection.abort();
        let body = body.map_err(|_error| gone())?;
        let value: Value = serde_json::from_slice(&body.to_bytes())
            .with_context(|| format!("what answers at {address} is no docket ({status})"))?;
        match is_success {
            true => Ok(value),
            false => Err(refused(&value).into()),
        }
    }
}

/// A problem document as an error of the command line.
fn refused(problem: &Value) -> Failed {
    let exit = match problem["exit"].as_u64() {
        Some(1) => Exit::RunFailed,
        Some(3) => Exit::Invalid,
        Some(4) => Exit::SignInNeeded,
        Some(5) => Exit::Storage,
        _ => Exit::Fault,
    };
    let detail = problem["detail"].as_str();
    let failed = Failed::new(exit, detail.unwrap_or("the serving process refused it"));
    match problem["help"].as_str() {
        Some(help) => failed.with_help(help),
        None => failed,
    }
}
