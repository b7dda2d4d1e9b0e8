//! What was wrong with a request, as `application/problem+json` (RFC 9457). Beside its members there
//! is `help`, what to do about it, `exit`, the exit code that the command line has for it, and, where
//! inputs do not fit, `problems`, each with `input`, `detail` and `help`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use docket_engine::{EngineError, StoreError};
use docket_model::InputProblem;
use serde_json::json;

use crate::exit::{Exit, Failed};
use crate::host::{engine_failed, store_failed};

/// Why a request was refused.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    failed: Box<Failed>,
    /// What is wrong with the inputs, one by one.
    inputs: Vec<InputProblem>,
    /// How to be let in, with 401.
    challenge: &'static str,
}

/// The challenge of all that asks for the token.
const BEARER: &str = "Bearer";
/// The challenge of all that asks for a signature (Standard Webhooks).
const SIGNATURE: &str = "Webhook-Signature";

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::failed(status, Failed::new(Exit::Invalid, detail))
    }

    fn failed(status: StatusCode, failed: Failed) -> Self {
        Self {
            status,
            failed: Box::new(failed),
            inputs: Vec::new(),
            challenge: BEARER,
        }
    }

    /// A request that is not signed as it must be.
    pub(super) fn unsigned(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            challenge: SIGNATURE,
            ..Self::new(status, detail)
        }
    }

    /// Inputs that `what` does not fit, each with what is wrong with it.
    pub(super) fn of_inputs(status: StatusCode, what: &str, inputs: Vec<InputProblem>) -> Self {
        let texts: Vec<&str> = inputs.iter().map(|one| one.message.as_str()).collect();
        let detail = format!(
            "{what} does not fit the workflow's inputs: {}",
            texts.join("; ")
        );
        let mut failed = Failed::new(Exit::Invalid, detail);
        failed.help = inputs.iter().find_map(|one| one.help.clone());
        Self {
            inputs,
            ..Self::failed(status, failed)
        }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.failed.help = Some(help.into());
        self
    }

    /// A body or parameter that does not fit.
    pub(super) fn of_invalid(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
            .with_help("send a JSON object with the members that this address takes")
    }

    /// An error of the command line's.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        let failed = Failed::of(error);
        match failed.exit {
            Exit::Fault if !error.is::<Failed>() => Self::fault(&failed.message),
            _ => Self::of_failed(&failed),
        }
    }

    fn of_failed(failed: &Failed) -> Self {
        let status = match failed.exit {
            Exit::Usage | Exit::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Exit::Storage => StatusCode::INSUFFICIENT_STORAGE,
            Exit::SignInNeeded | Exit::RunFailed | Exit::Waits => StatusCode::CONFLICT,
            Exit::Success | Exit::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::failed(status, failed.clone())
    }

    /// A fault of the host; what it is stands in the log.
    pub(super) fn fault(what: &str) -> Self {
        tracing::error!("a request could not be answered: {what}");
        let failed = Failed::new(Exit::Fault, "the request could not be answered")
            .with_help("the log of the serving process says why");
        Self::failed(StatusCode::INTERNAL_SERVER_ERROR, failed)
    }
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        Self::of_failed(&failed)
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let status = match &error {
            EngineError::UnknownRun(_) => StatusCode::NOT_FOUND,
            EngineError::StartedDifferently(_)
            | EngineError::Over(_)
            | EngineError::NotFailed(_)
            | EngineError::UnderWay(_)
            | EngineError::Waits { .. }
            | EngineError::Parked(_)
            | EngineError::SignInNeeded { .. } => StatusCode::CONFLICT,
            EngineError::MissingDocument { .. } | EngineError::Unstartable(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            EngineError::Store(error) => status_of(error),
            EngineError::Fault { .. } | EngineError::Documents(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::failed(status, engine_failed(&error))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::failed(status_of(&error), store_failed(&error))
    }
}

const fn status_of(error: &StoreError) -> StatusCode {
    match error {
        StoreError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self {
            status,
            failed,
            inputs,
            challenge,
        } = self;
        let mut body = json!({
            "type": "about:blank", "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(), "detail": failed.message, "help": failed.help,
            "exit": failed.exit as u8,
        });
        if !inputs.is_empty()
            && let Some(fields) = body.as_object_mut()
        {
            let one = |one: InputProblem| json!({"input": one.name, "detail": one.message, "help": one.help});
            fields.insert("problems".to_owned(), inputs.into_iter().map(one).collect());
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            let how = HeaderValue::from_static(challenge);
            headers.insert(header::WWW_AUTHENTICATE, how);
        }
        response
    }
}
