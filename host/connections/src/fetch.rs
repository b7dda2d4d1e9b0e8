//! What an operator fetches and publishes by hand: components, from web servers and registries.
//!
//! No plugin gets here. The host that the operator named may have any address, as a registry of the
//! house has a private one; a host that a redirect names must have a public one. Credentials go to the
//! origin that they were given for, and to no other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::{Host, Url};

use crate::dial::{Addresses, Authorities, SystemResolver, Transport, failed};
use crate::gate::GateError;

/// Redirects in a row.
const REDIRECTS_AT_MOST: u32 = 5;
/// The longest wait for a whole answer.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A client for what an operator names by hand.
#[derive(Clone)]
pub struct Fetcher {
    named: Transport,
    found: Transport,
}

/// A request.
#[derive(Clone, Default)]
pub struct Fetch {
    /// The headers; one called `authorization` is dropped where a redirect leads elsewhere.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The most bytes of an answer's body.
    pub limit: u64,
    /// Whether the URL was found in an answer, and not named by the operator: then its host must have a
    /// public address.
    pub is_found: bool,
}

/// An answer; any HTTP status is one.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The URL that answered.
    pub url: Url,
    /// The body.
    pub body: Bytes,
}

impl Fetched {
    /// The first header of that name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// The URL may not be fetched: plain HTTP to another machine, or a redirect to a private address.
    #[error("{0}")]
    Refused(String),
    /// The server was not reached, or its answer was cut short.
    #[error("{0}")]
    Failed(String),
    /// The answer is larger than the limit in bytes.
    #[error("the answer has more than {0} bytes")]
    TooLarge(u64),
}

impl Default for Fetcher {
    fn default() -> Self {
        Self::new()
    }
}

impl Fetcher {
    /// A client. Nothing is dialled.
    #[must_use]
    pub fn new() -> Self {
        let transport =
            |addresses| Transport::new(addresses, Authorities::new(), Arc::new(SystemResolver));
        let any = ["0.0.0.0/0", "::/0"].map(str::to_owned);
        Self {
            // Both are ranges.
            named: transport(Addresses::parse(&any).unwrap_or_default()),
            found: transport(Addresses::default()),
        }
    }

    /// Sends a request. A GET or HEAD follows redirects.
    ///
    /// # Errors
    /// [`FetchError`], in words without a credential.
    pub async fn send(&self, method: &str, url: &Url, fetch: Fetch) -> Result<Fetched, FetchError> {
        let method: Method = method
            .parse()
            .map_err(|_| FetchError::Refused(format!("`{method}` is no method")))?;
        let mut headers = headers(&fetch.headers)?;
        let mut url = url.clone();
        let named = (!fetch.is_found).then(|| url.origin());
        let start = url.origin();
        for _ in 0..=REDIRECTS_AT_MOST {
            check_scheme(&url)?;
            if url.origin() != start {
                headers.remove(AUTHORIZATION);
            }
            let transport = if named.as_ref() == Some(&url.origin()) {
                &self.named
            } else {
                &self.found
            };
            let host = url.host_str().unwrap_or_default().to_owned();
            let client = transport.client(&url, "its server").map_err(told)?;
            let response = client
                .request(method.clone(), url.clone())
                .headers(headers.clone())
                .body(fetch.body.clone())
                .timeout(TIMEOUT)
                .send()
                .await
                .map_err(|error| told(failed(error, &host, "its server")))?;
            let next = response.headers().get(LOCATION).cloned();
            let may_follow = matches!(method, Method::GET | Method::HEAD);
            if let Some(next) = next.filter(|_| may_follow && response.status().is_redirection()) {
                let next = next.to_str().ok().and_then(|next| url.join(next).ok());
                url = next.ok_or_else(|| {
                    FetchError::Failed(format!("{host} redirects to what is no URL"))
                })?;
                continue;
            }
            return read(response, url, fetch.limit, &host).await;
        }
        Err(FetchError::Refused(format!(
            "more than {REDIRECTS_AT_MOST} redirects in a row"
        )))
    }
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let invalid = || FetchError::Refused(format!("the header {name} is not valid"));
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
        value.set_sensitive(parsed == AUTHORIZATION);
        headers.append(parsed, value);
    }
    Ok(headers)
}

/// HTTPS, or plain HTTP to this machine, as registries on it speak.
fn check_scheme(url: &Url) -> Result<(), FetchError> {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_here => Ok(()),
        _ => Err(FetchError::Refused(format!(
            "{} is not https",
            url.origin().ascii_serialization()
        ))),
    }
}

async fn read(
    response: reqwest::Response,
    url: Url,
    limit: u64,
    host: &str,
) -> Result<Fetched, FetchError> {
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| told(failed(error, host, "its server")))?;
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(FetchError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched {
        status,
        headers,
        url,
        body: body.into(),
    })
}

fn told(error: GateError) -> FetchError {
    match error {
        GateError::Denied { what, .. } => {
            FetchError::Refused(format!("an answer leads to a private address: {what}"))
        }
        other => FetchError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_leads_to_no_private_address() {
        let url = Url::parse("https://10.0.0.1/token").unwrap();
        let fetch = Fetch {
            is_found: true,
            ..Fetch::default()
        };
        let sent = Fetcher::new().send("GET", &url, fetch).await;
        let Err(FetchError::Refused(why)) = sent else {
            panic!("{sent:?}")
        };
        assert!(why.contains("private address"), "{why}");
    }

    #[tokio::test]
    async fn plain_http_stays_on_this_machine() {
        for url in [
            "http://a.example/x",
            "ftp://a.example/x",
            "http://10.0.0.1/x",
        ] {
            let url = Url::parse(url).unwrap();
            let sent = Fetcher::new().send("GET", &url, Fetch::default()).await;
            assert!(matches!(sent, Err(FetchError::Refused(_))), "{sent:?}");
        }
    }
}
