//! One exchange with the sign-in service, in bounds: size, time, and an answer that is one.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

use crate::dial::{self, Transport};
use crate::gate::GateError;

/// The largest answer, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// The longest wait for it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no usable answer; never a part of it.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum NoAnswer {
    /// It may not be asked at all.
    #[error("{0}")]
    Denied(String),
    /// Nothing came, or nothing that makes sense.
    #[error("{0}")]
    Lost(String),
}

/// The sign-in service, as a connection reaches it.
pub(super) struct Service {
    transport: Transport,
    /// Where the connection is in `docket.yaml`.
    place: String,
    /// The application's proof, in the place of a client secret (RFC 7523 section 2.2).
    assertion: Option<SecretString>,
}

/// What a client assertion is.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl<'c> AsyncHttpClient<'c> for Service {
    type Error = NoAnswer;
    type Future = BoxFuture<'c, Result<HttpResponse, NoAnswer>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl Service {
    pub(super) fn new(
        transport: Transport,
        place: String,
        assertion: Option<SecretString>,
    ) -> Self {
        Self {
            transport,
            place,
            assertion,
        }
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, NoAnswer> {
        let (parts, mut body) = request.into_parts();
        if let Some(assertion) = &self.assertion {
            // A JWT needs no encoding in a form.
            body.extend_from_slice(b"&client_assertion_type=");
            body.extend(
                url::form_urlencoded::byte_serialize(ASSERTION_TYPE.as_bytes())
                    .flat_map(str::bytes),
            );
            body.extend_from_slice(b"&client_assertion=");
            body.extend_from_slice(assertion.expose_secret().as_bytes());
        }
        // Gone from memory once it was sent.
        let body = Bytes::from_owner(Zeroizing::new(body));
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|_| NoAnswer::Denied("the sign-in service's URL is not valid".to_owned()))?;
        let client = self
            .transport
            .client(&url, &self.place)
            .map_err(no_answer)?;
        let request = client
            .request(parts.method, url.clone())
            .headers(parts.headers)
            .body(body);
        let (status, body) = finish(request, &url, &self.place).await?;
        // Entra's refusals are JSON whatever their status; anything else that is no success is not
        // its.
        if !status.is_success() && serde_json::from_slice::<serde_json::Value>(&body).is_err() {
            return Err(NoAnswer::Lost(format!(
                "the sign-in service answered {status}, and no JSON"
            )));
        }
        let mut response = HttpResponse::new(body);
        *response.status_mut() = status;
        Ok(response)
    }

    /// Gets a JSON document.
    pub(super) async fn get_json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, NoAnswer> {
        let client = self.transport.client(url, &self.place).map_err(no_answer)?;
        let (status, body) = finish(client.get(url.clone()), url, &self.place).await?;
        if !status.is_success() {
            return Err(NoAnswer::Lost(format!("{url} answered {status}")));
        }
        serde_json::from_slice(&body).map_err(|_| {
            NoAnswer::Lost(format!("{url} did not answer what a sign-in service does"))
        })
    }
}

async fn finish(
    request: reqwest::RequestBuilder,
    url: &Url,
    place: &str,
) -> Result<(http::StatusCode, Vec<u8>), NoAnswer> {
    let host = crate::policy::url::origin(url);
    let failed = |error| no_answer(dial::failed(error, &host, place));
    let mut response = request.timeout(TIMEOUT).send().await.map_err(failed)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(NoAnswer::Lost(format!(
                "{host} answered more than {MAX_ANSWER} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

fn no_answer(error: GateError) -> NoAnswer {
    match error {
        GateError::Denied { .. } | GateError::Fault(_) => NoAnswer::Denied(error.to_string()),
        GateError::Interrupted(text) => {
            NoAnswer::Lost(format!("no answer from the sign-in service: {text}"))
        }
        other => NoAnswer::Lost(other.to_string()),
    }
}
