//! AADSTS failures: number, OAuth `error`, text, and the full JSON (reference-error-codes.md).

use http::StatusCode;
use serde_json::{Value, json};

use crate::identity::aadsts_rows::ROWS;
use crate::wire::Call;

/// What a conditional access policy demands of the next sign-in.
pub(crate) const CLAIMS: &str =
    "{\"access_token\":{\"capolids\":{\"essential\":true,\"values\":[\"docket-policy\"]}}}";

/// A failure of the sign-in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aadsts {
    pub(crate) code: u32,
    pub(crate) error: &'static str,
    pub(crate) message: String,
    /// `suberror`, where clients know one.
    pub(crate) suberror: Option<&'static str>,
    /// A claims challenge that the next sign-in must pass on.
    pub(crate) claims: Option<String>,
}

/// The failure with this number.
pub(crate) fn aadsts(code: u32) -> Aadsts {
    let row = ROWS.iter().find(|(number, ..)| *number == code);
    let (error, message) = row.map_or(
        ("invalid_grant", "The request failed."),
        |(_, error, message)| (*error, *message),
    );
    let suberror = match code {
        50076 | 50079 | 50074 | 50072 | 50158 => Some("basic_action"),
        65001 => Some("consent_required"),
        53000 | 53001 | 53003 | 530_032 | 530_035 => Some("message_only"),
        50173 | 700_082 | 70008 | 700_084 | 70043 => Some("bad_token"),
        _ => None,
    };
    let claims = matches!(code, 50076 | 50079 | 50158).then(|| CLAIMS.to_owned());
    Aadsts {
        code,
        error,
        message: message.to_owned(),
        suberror,
        claims,
    }
}

impl Aadsts {
    /// The same with another text.
    pub(crate) fn about(mut self, message: &str) -> Self {
        message.clone_into(&mut self.message);
        self
    }

    /// The same with another OAuth error.
    pub(crate) fn with_error(mut self, error: &'static str) -> Self {
        self.error = error;
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self.error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "temporarily_unavailable" | "server_error" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// `AADSTSn: …` with the lines that support asks for.
    pub(crate) fn description(&self, call: &Call) -> String {
        format!(
            "AADSTS{}: {}\r\nTrace ID: {}\r\nCorrelation ID: {}\r\nTimestamp: {}",
            self.code,
            self.message,
            call.request_id,
            correlation(call),
            timestamp(call),
        )
    }

    /// The token endpoint's JSON.
    pub(crate) fn body(&self, call: &Call) -> Value {
        let mut body = json!({
            "error": self.error,
            "error_description": self.description(call),
            "error_codes": [self.code],
            "timestamp": timestamp(call),
            "trace_id": call.request_id,
            "correlation_id": correlation(call),
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.code),
        });
        if let Some(suberror) = self.suberror {
            body["suberror"] = suberror.into();
        }
        if let Some(claims) = &self.claims {
            body["claims"] = claims.clone().into();
        }
        body
    }
}

/// The client's own id for the exchange, from header or query.
fn correlation(call: &Call) -> String {
    call.header("client-request-id")
        .map(str::to_owned)
        .or_else(|| call.query_value("client-request-id"))
        .unwrap_or_else(|| call.request_id.clone())
}

fn timestamp(call: &Call) -> String {
    call.now.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
