//! Sign-ins by the browser: `/sign-in/{connection}?user=…` leads to the sign-in service, and its
//! answer comes to `/callback`, which is what is registered for this machine, or to `/oauth/callback`
//! where the connection's `redirect-uri` says so. None asks for the token: people come here by a link, and only
//! the right account's sign-in is taken.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use docket_connections::{Callback, ConnectionError, FinishError};

use super::Service;
use super::api::pairs;
use super::body::Whole;
use super::problem::Problem;
use crate::administration;

/// Nothing of another origin runs, and no other page frames it.
const PAGE: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

pub(super) async fn begin(
    State(service): State<Arc<Service>>,
    Path(connection): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut user = None;
    for (name, value) in pairs(query.as_deref()) {
        if name == "user" {
            user = Some(value);
        }
    }
    // Entra takes any port of localhost, and looks at the path (reply-url.md).
    let here = format!("http://localhost:{}/callback", service.address.port());
    let spec = service.host.project.spec.connections.get(&connection);
    let here = spec
        .is_none_or(|spec| spec.redirect_uri.is_none())
        .then_some(here);
    let begun = administration::begin_sign_in(&service.host, connection, user, here).await;
    let begun = begun.map_err(|error| refused(&error))?;
    let headers = [
        (header::LOCATION, begun.authorize_url.to_string()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

fn refused(error: &ConnectionError) -> Problem {
    let status = match error {
        ConnectionError::Unknown(_) => StatusCode::NOT_FOUND,
        ConnectionError::Auth(_) => StatusCode::BAD_GATEWAY,
        ConnectionError::Vault(_) => return Problem::fault(&error.to_string()),
        _ => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, error.to_string())
}

pub(super) async fn callback(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
) -> Response {
    finish(&service, query.as_deref().unwrap_or_default()).await
}

/// The same where the answer comes as a form.
pub(super) async fn posted(
    State(service): State<Arc<Service>>,
    form: Whole,
) -> Result<Response, Problem> {
    let form = form.bytes()?;
    let answer = std::str::from_utf8(&form).unwrap_or_default();
    Ok(finish(&service, answer).await)
}

async fn finish(service: &Service, answer: &str) -> Response {
    let Some(answer) = Callback::from_query(answer) else {
        let what = "This is where the sign-in service sends its answers, and this is none.";
        return page(StatusCode::BAD_REQUEST, "No sign-in", what);
    };
    match service.host.connections.finish_sign_in(answer).await {
        Ok(signed_in) => {
            let who = &signed_in.principal;
            tracing::info!(connection = %who.connection, "signed in");
            let mut text = format!("{} is signed in as {}.", who.connection, who.account);
            if !signed_in.missing.is_empty() {
                text += &format!(" Not granted: {}.", signed_in.missing.join(", "));
            }
            text += " You can close this page.";
            page(StatusCode::OK, "Signed in", &text)
        }
        Err(FinishError::Unknown) => {
            let what = "This answer belongs to no sign-in that is under way: it was used already, \
                        took longer than 10 minutes, or was not asked for. Open the link again.";
            page(StatusCode::BAD_REQUEST, "Not signed in", what)
        }
        Err(FinishError::Auth(error)) => {
            page(StatusCode::FORBIDDEN, "Not signed in", &error.to_string())
        }
    }
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:1.1rem/1.5 system-ui;max-width:40rem;margin:15vh auto;padding:0 1rem}}\
         </style><h1>{title}</h1><p>{}</p></html>",
        escape(text)
    );
    let headers = [
        (header::CONTENT_SECURITY_POLICY, PAGE),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, Html(html)).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
