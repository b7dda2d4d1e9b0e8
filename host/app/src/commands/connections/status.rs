//! How connections are, what is going to end, and keeping idle sign-ins alive.

use anyhow::Result;
use docket_connections::{ConnectionStatus, Lapse, Severity, VaultError};
use serde_json::json;

use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::render::{self, note};

fn unreadable(error: VaultError) -> Failed {
    Failed::new(Exit::Storage, error.to_string())
}

/// Lists the connections, and below them what ends within 30 days.
pub(super) fn list(host: &Host, as_json: bool) -> Result<Exit> {
    let status = host.connections.status().map_err(unreadable)?;
    let lapses = host.connections.forecast(host.now()).map_err(unreadable)?;
    if as_json {
        render::line(&json!({"connections": status, "forecast": lapses}).to_string());
        return Ok(Exit::Success);
    }
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
    for problem in status.iter().flat_map(|one| &one.problems) {
        note!("damaged: {problem}");
    }
    lapses.iter().for_each(warn);
    Ok(Exit::Success)
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
pub(super) async fn keep_alive(host: &Host, as_json: bool) -> Result<Exit> {
    let kept = host
        .connections
        .keep_alive(host.now())
        .await
        .map_err(unreadable)?;
    let failed = kept.iter().filter(|one| one.error.is_some()).count();
    if as_json {
        render::line(&json!({"refreshed": kept.len() - failed, "accounts": kept}).to_string());
    } else {
        for one in &kept {
            match &one.error {
                None => note!("{}: {} is kept alive", one.connection, one.account),
                Some(error) => {
                    note!("{}: {error}", one.connection);
                }
            }
        }
        note!("{} refreshed, {failed} failed", kept.len() - failed);
    }
    Ok(match failed {
        0 => Exit::Success,
        _ => Exit::SignInNeeded,
    })
}
