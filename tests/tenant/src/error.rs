//! What can go wrong: starting the tenant, and what Graph answers when a request fails.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

/// Why a tenant could not be started or told what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TenantError {
    /// A loopback listener could not be opened.
    #[error("cannot listen on loopback: {0}")]
    Listen(#[from] std::io::Error),
    /// The certificate could not be made.
    #[error("cannot make the tenant's certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS server could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A private key was not usable.
    #[error("unusable private key: {0}")]
    Key(String),
    /// A URL could not be built.
    #[error("cannot build the tenant's URL: {0}")]
    Url(#[from] url::ParseError),
    /// The configuration or a control call names something that is not there.
    #[error("no such {kind}: {name}")]
    Unknown {
        /// What was looked for: `mailbox`, `folder`, `app`, `user`, `message`.
        kind: &'static str,
        /// The name that was given.
        name: String,
    },
    /// A person was not signed in; the text is what the page said.
    #[error("{0}")]
    SignIn(String),
    /// The tenant's own API did not answer.
    #[error("the tenant does not answer: {0}")]
    Ask(String),
}

impl TenantError {
    pub(crate) fn unknown(kind: &'static str, name: &str) -> Self {
        Self::Unknown {
            kind,
            name: name.to_owned(),
        }
    }
}

/// A refusal in Graph's words: status, `code` and `message` (errors.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GraphError {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    /// Further headers, e.g. `Retry-After` or `WWW-Authenticate`.
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl GraphError {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn item_not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ErrorItemNotFound",
            "The specified object was not found in the store.",
        )
    }

    pub(crate) fn folder_not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ErrorItemNotFound",
            "The specified object was not found in the store., The specified folder could not be found in the store.",
        )
    }

    pub(crate) fn id_malformed() -> Self {
        Self::bad_request("ErrorInvalidIdMalformed", "Id is malformed.")
    }

    pub(crate) fn access_denied() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "ErrorAccessDenied",
            "Access is denied. Check credentials and try again.",
        )
    }

    pub(crate) fn send_as_denied() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "ErrorSendAsDenied",
            "The user account which was used to submit this request does not have the right to send mail on behalf \
             of the specified sending account. Cannot submit message.",
        )
    }

    pub(crate) fn invalid_user(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ErrorInvalidUser",
            format!("The requested user '{name}' is invalid."),
        )
    }

    pub(crate) fn no_mailbox() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "MailboxNotEnabledForRESTAPI",
            "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
        )
    }

    pub(crate) fn no_such_resource(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Request_ResourceNotFound",
            format!(
                "Resource '{name}' does not exist or one of its queried reference-property objects are not present."
            ),
        )
    }

    pub(crate) fn unauthenticated(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", message).with_header(
            "www-authenticate",
            "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
             client_id=\"00000003-0000-0000-c000-000000000000\"",
        )
    }

    /// A conditional access policy wants a fresh sign-in; the client passes `claims` on to it
    /// (claims-challenge.md).
    pub(crate) fn claims_challenge(claims: &str) -> Self {
        let claims = STANDARD.encode(claims);
        Self::new(
            StatusCode::UNAUTHORIZED,
            "InvalidAuthenticationToken",
            "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: \
             TokenIssuedBeforeRevocationTimestamp",
        )
        .with_header(
            "www-authenticate",
            format!(
                "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
                 client_id=\"00000003-0000-0000-c000-000000000000\", error=\"insufficient_claims\", claims=\"{claims}\""
            ),
        )
    }

    /// The mailbox holds as much as it may. The code is reported for sendMail (microsoft-graph-docs#3935);
    /// its status is documented nowhere.
    pub(crate) fn quota_exceeded() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "ErrorQuotaExceeded",
            "Mailbox has exceeded maximum mailbox size.",
        )
    }

    pub(crate) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            "The request entity is too large. The maximum size of a request is 4 MB.",
        )
    }

    pub(crate) fn inefficient_filter() -> Self {
        Self::bad_request(
            "InefficientFilter",
            "The restriction or sort order is too complex for this operation.",
        )
    }

    pub(crate) fn no_segment(segment: &str) -> Self {
        Self::bad_request(
            "BadRequest",
            format!("Resource not found for the segment '{segment}'."),
        )
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        )
    }

    /// The JSON body, with the ids that a support case would ask for.
    pub(crate) fn body(&self, request_id: &str, client_request_id: &str, date: &str) -> Value {
        json!({"error": {
            "code": self.code,
            "message": self.message,
            "innerError": {"date": date, "request-id": request_id, "client-request-id": client_request_id},
        }})
    }
}
