//! One request as the tenant sees it, and one answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use crate::clock::{graph_time, http_date};
use crate::error::GraphError;
use crate::guid::guid;

/// Which of the tenant's origins was addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The sign-in origin (TLS).
    Login,
    /// Graph (TLS).
    Graph,
    /// The upload origin (TLS).
    Outlook,
    /// Everything over plain http.
    Plain,
}

/// A whole request: head and body.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) origin: Origin,
    /// Scheme, host and port as the client wrote them, e.g. `https://localhost:4711`.
    pub(crate) base: String,
    /// Where upload sessions of this origin live.
    pub(crate) upload_base: String,
    pub(crate) method: Method,
    /// The path as sent, still percent-encoded.
    pub(crate) path: String,
    /// The query as sent, without `?`.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) request_id: String,
    pub(crate) now: Timestamp,
}

impl Call {
    /// A header's value, if it is readable text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The decoded query, in order.
    pub(crate) fn query_pairs(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .into_owned()
            .collect()
    }

    /// One decoded query value; the name is compared without case.
    pub(crate) fn query_value(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
    }

    /// The body as a decoded form.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body)
            .into_owned()
            .collect()
    }

    /// What to answer as `client-request-id`: the one sent, else the request's own id.
    pub(crate) fn client_request_id(&self) -> &str {
        self.header("client-request-id").unwrap_or(&self.request_id)
    }

    /// A new request id.
    pub(crate) fn new_request_id() -> String {
        guid()
    }

    /// Whether the `Content-Type` is `essence`.
    pub(crate) fn has_content_type(&self, essence: &str) -> bool {
        self.header("content-type")
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(essence))
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// JSON as Graph labels it.
    pub(crate) fn graph_json(status: StatusCode, value: &Value) -> Self {
        Self::bytes(
            status,
            "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8",
            serde_json::to_vec(value).unwrap_or_default(),
        )
    }

    /// Plain JSON.
    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        Self::bytes(
            status,
            "application/json; charset=utf-8",
            serde_json::to_vec(value).unwrap_or_default(),
        )
    }

    pub(crate) fn html(status: StatusCode, page: String) -> Self {
        Self::bytes(status, "text/html; charset=utf-8", page)
    }

    pub(crate) fn bytes(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        }
        .with("content-type", content_type)
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::empty(StatusCode::FOUND).with("location", location)
    }

    /// Sets a header; a name or value that HTTP cannot carry is left out.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.insert(name, value);
        }
        self
    }

    /// A Graph refusal as an answer.
    pub(crate) fn refusal(error: &GraphError, call: &Call) -> Self {
        let date = graph_time(call.now).trim_end_matches('Z').to_owned();
        let body = error.body(&call.request_id, call.client_request_id(), &date);
        let mut reply = Self::bytes(
            error.status,
            "application/json",
            serde_json::to_vec(&body).unwrap_or_default(),
        );
        for (name, value) in &error.headers {
            reply = reply.with(name, value);
        }
        reply
    }

    /// Adds the headers that every Graph answer has.
    pub(crate) fn with_graph_headers(self, call: &Call) -> Self {
        self.with("request-id", &call.request_id)
            .with("client-request-id", call.client_request_id())
            .with("cache-control", "private")
            .with("strict-transport-security", "max-age=31536000")
            .with(
                "x-ms-ags-diagnostic",
                "{\"ServerInfo\":{\"DataCenter\":\"Loopback\",\"Slice\":\"E\",\"Ring\":\"1\",\"ScaleUnit\":\"000\",\
                 \"RoleInstance\":\"DOCKET0000001\"}}",
            )
            .with("date", &http_date(call.now))
    }
}
