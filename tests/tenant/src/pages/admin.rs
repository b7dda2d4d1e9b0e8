//! What an administrator would look for: apps with their secrets' expiry, sign-ins, requests, faults.
//! No secret's value is shown.

use http::StatusCode;
use jiff::Timestamp;

use crate::pages::layout;
use crate::state::TenantState;
use crate::store::html::escape;
use crate::wire::Reply;

/// The most rows of a table.
const ROWS: usize = 100;

/// The whole page.
pub(super) fn page(state: &TenantState) -> Reply {
    let main = format!(
        "<h1>Administration</h1><h2>Apps</h2>{}<h2>Sign-ins</h2>{}<h2>Limits</h2>{}<h2>Faults</h2>{}<h2>Requests</h2>{}",
        apps(state),
        sign_ins(state),
        limits(state),
        faults(state),
        requests(state),
    );
    Reply::html(StatusCode::OK, layout(state, "Administration", &main))
}

/// A table; cells are text, and escaped here.
fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return "<p class=\"soft\">None.</p>".to_owned();
    }
    let row = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: String = cells
            .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)))
            .collect();
        format!("<tr>{cells}</tr>")
    };
    let head = row("th", &mut heads.iter().copied());
    let body: String = rows
        .iter()
        .map(|cells| row("td", &mut cells.iter().map(String::as_str)))
        .collect();
    format!("<div class=\"wide\"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>")
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn apps(state: &TenantState) -> String {
    let now = state.now();
    let world = state.world();
    let mut rows: Vec<Vec<String>> = world
        .directory
        .apps
        .values()
        .map(|app| {
            let secrets: Vec<String> = app
                .secrets
                .iter()
                .map(|secret| {
                    let days = secret.expires.duration_since(now).as_hours() / 24;
                    let until = secret.expires.strftime("%Y-%m-%d");
                    if secret.expires <= now {
                        format!("{} expired {until}", secret.id)
                    } else {
                        format!("{} until {until}, {days} days", secret.id)
                    }
                })
                .collect();
            let permissions = app.config.delegated.iter().chain(&app.config.roles);
            let permissions: Vec<&str> = permissions.map(String::as_str).collect();
            vec![
                app.config.name.clone(),
                app.config.client_id.clone(),
                secrets.join("; "),
                app.config.certificates.len().to_string(),
                permissions.join(", "),
            ]
        })
        .collect();
    rows.sort();
    let heads = [
        "Name",
        "Client id",
        "Secrets",
        "Certificates",
        "Permissions",
    ];
    table(&heads, &rows)
}

fn sign_ins(state: &TenantState) -> String {
    let rows: Vec<Vec<String>> = state
        .sign_ins()
        .into_iter()
        .rev()
        .take(ROWS)
        .map(|one| {
            let result = one
                .refusal
                .map_or_else(|| "issued".to_owned(), |code| format!("AADSTS{code}"));
            let app = if one.app.is_empty() {
                one.client_id
            } else {
                one.app
            };
            vec![
                moment(one.at),
                one.user.unwrap_or_else(|| "(the app itself)".to_owned()),
                app,
                one.grant,
                one.credential,
                result,
            ]
        })
        .collect();
    let heads = ["When", "Who", "App", "Grant", "Credential", "Result"];
    table(&heads, &rows)
}

fn limits(state: &TenantState) -> String {
    let (counts, limits) = (state.throttle_counts(), state.throttle());
    let is_on = if limits.enabled { "on" } else { "off" };
    let heads = [
        "Limits",
        "Requests",
        "At once, at most",
        "Over the limits",
        "Refused (429)",
    ];
    let row = [
        is_on.to_owned(),
        counts.requests.to_string(),
        counts.highest_in_flight.to_string(),
        counts.over_limits.to_string(),
        counts.refused.to_string(),
    ];
    table(&heads, &[row.into()])
}

fn faults(state: &TenantState) -> String {
    let rows: Vec<Vec<String>> = state
        .faults()
        .into_iter()
        .map(|fault| {
            let action = serde_json::to_string(&fault.action).unwrap_or_default();
            let method = fault.method.unwrap_or_else(|| "any".to_owned());
            let times = fault
                .times
                .map_or_else(|| "always".to_owned(), |times| times.to_string());
            vec![
                fault.id,
                format!("{method} {}", fault.path),
                action,
                times,
                fault.hits.to_string(),
            ]
        })
        .collect();
    table(&["Name", "On", "What", "Times", "Hits"], &rows)
}

fn requests(state: &TenantState) -> String {
    let rows: Vec<Vec<String>> = state
        .newest_requests(ROWS)
        .into_iter()
        .map(|one| {
            let status = one
                .status
                .map_or_else(|| "reset".to_owned(), |status| status.to_string());
            vec![
                moment(one.at),
                one.method,
                one.path,
                status,
                one.body_size.to_string(),
            ]
        })
        .collect();
    table(&["When", "Method", "Path", "Status", "Bytes sent"], &rows)
}
