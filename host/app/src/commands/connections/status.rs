//! How connections are, what is going to end, and keeping idle sign-ins alive.

use anyhow::Result;
use docket_connections::{ConnectionStatus, Lapse, Severity};
use jiff::Timestamp;
use serde_json::Value;

use crate::administration::Desk;
use crate::exit::Exit;
use crate::render::{self, note};

/// Lists the connections, below them who must sign in, and what ends within 30 days.
pub(super) async fn list(desk: &Desk, as_json: bool) -> Result<Exit> {
    let mut found = desk.list().await?;
    if as_json {
        render::line(&found.to_string());
        return Ok(Exit::Success);
    }
    let status: Vec<ConnectionStatus> = serde_json::from_value(found["connections"].take())?;
    let lapses: Vec<Lapse> = serde_json::from_value(found["forecast"].take())?;
    let rows: Vec<_> = status.iter().map(row).collect();
    let head = [
        "connection",
        "kind",
        "account",
        "credential",
        "its end",
        "signed in",
        "last used",
    ];
    render::line(&render::table(&head, &rows));
    let needed = found["sign-ins-needed"].as_array();
    if let Some(needed) = needed.filter(|needed| !needed.is_empty()) {
        who_must_sign_in(needed);
    }
    for problem in status.iter().flat_map(|one| &one.problems) {
        note!("damaged: {problem}");
    }
    lapses.iter().for_each(warn);
    Ok(Exit::Success)
}

/// Lists the people who must sign in.
fn who_must_sign_in(needed: &[Value]) {
    let moment = |value: &Value| {
        let at = value
            .as_str()
            .and_then(|text| text.parse::<Timestamp>().ok());
        at.map(|at| at.strftime("%F %R").to_string())
    };
    let rows: Vec<_> = needed
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            vec![
                one["user"].as_str().unwrap_or("its account").to_owned(),
                text("connection"),
                one["runs"].to_string(),
                moment(&one["since"]).unwrap_or_default(),
                moment(&one["told-at"]).unwrap_or("not yet".to_owned()),
            ]
        })
        .collect();
    let head = ["who must sign in", "connection", "runs", "since", "told"];
    render::line(&format!("\n{}", render::table(&head, &rows)));
    for one in needed {
        if let Some(error) = one["error"].as_str() {
            note!("nobody could be told: {error}");
        }
    }
}

fn row(status: &ConnectionStatus) -> Vec<String> {
    let moment = |at: jiff::Timestamp| at.strftime("%F %R").to_string();
    let current = status.credentials.first();
    let credential = match current {
        None => "missing".to_owned(),
        Some(one) => {
            let kind = match one.kind {
                docket_connections::CredentialKind::Secret => "secret",
                docket_connections::CredentialKind::Certificate => "certificate",
            };
            match status.credentials.len() {
                1 => kind.to_owned(),
                all => format!("{kind} (+{})", all - 1),
            }
        }
    };
    let end = match current {
        None => String::new(),
        Some(one) => one
            .expires
            .map_or("unknown".to_owned(), |at| at.strftime("%F").to_string()),
    };
    let last = status.signed_in.iter().max_by_key(|one| one.refreshed_at);
    let signed_in = match (last, status.signed_in.len()) {
        _ if status.kind == docket_model::ConnectionKind::AppOnly => "not needed".to_owned(),
        (None, _) => "no".to_owned(),
        (Some(one), 1) => moment(one.since),
        (Some(_), users) => format!("{users} users"),
    };
    vec![
        status.name.clone(),
        status.kind.as_str().to_owned(),
        status.account.clone().unwrap_or_default(),
        credential,
        end,
        signed_in,
        last.map_or(String::new(), |one| moment(one.refreshed_at)),
    ]
}

/// Says what is going to end, as a line with its remedy.
pub(crate) fn warn(lapse: &Lapse) {
    let how = match lapse.severity {
        Severity::Notice => "notice",
        Severity::Warning => "warning",
        Severity::Urgent => "urgent",
        Severity::Critical => "critical",
        Severity::Expired => "expired",
    };
    note!("{how}: {}", lapse.message);
    note!("  help: {}", lapse.remedy);
}

/// Refreshes the sign-ins that nobody used for a day.
pub(super) async fn keep_alive(desk: &Desk, as_json: bool) -> Result<Exit> {
    let kept = desk.keep_alive().await?;
    if as_json {
        render::line(&kept.to_string());
    } else {
        for one in kept["accounts"].as_array().into_iter().flatten() {
            let text = |name: &str| one[name].as_str().unwrap_or_default();
            match one["error"]["message"].as_str() {
                None => note!("{}: {} is kept alive", text("connection"), text("account")),
                Some(message) => {
                    let remedy = one["error"]["remedy"].as_str().unwrap_or_default();
                    note!("{}: {message}; {remedy}", text("connection"));
                }
            }
        }
        note!("{} refreshed, {} failed", kept["refreshed"], kept["failed"]);
    }
    Ok(match kept["failed"].as_u64() {
        Some(0) => Exit::Success,
        _ => Exit::SignInNeeded,
    })
}
