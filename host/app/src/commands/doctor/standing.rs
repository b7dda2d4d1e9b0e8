//! How connections, triggers and runs stand: the same documents whether they were read here or asked for.

use std::collections::{BTreeMap, BTreeSet};

use docket_connections::{ConnectionStatus, CredentialKind, Lapse, LapseKind, Severity};
use docket_model::ConnectionKind;
use serde_json::Value;

use super::report::Report;
use crate::exit::Exit;

/// How many of the last runs' records are verified.
pub(super) const RECENT: u32 = 20;
/// How many waits are looked at, which is as many as a serving process lists.
pub(super) const MOST: u32 = 1_000;

/// How the connections are. Those in `used` are named in workflows.
pub(super) fn connections(mut found: Value, used: &BTreeSet<String>, report: &mut Report) {
    let status = serde_json::from_value::<Vec<ConnectionStatus>>(found["connections"].take());
    let lapses = serde_json::from_value::<Vec<Lapse>>(found["forecast"].take());
    let (Ok(status), Ok(lapses)) = (status, lapses) else {
        return report.error(
            "connection",
            &anyhow::anyhow!("what is told of the connections cannot be read"),
        );
    };
    for one in &status {
        let mut is_well = true;
        for lapse in lapses.iter().filter(|lapse| lapse.connection == one.name) {
            is_well = false;
            let (message, remedy) = (&lapse.message, &lapse.remedy);
            match (lapse.severity, lapse.kind) {
                (_, LapseKind::Damaged) => {
                    report.problem("connection", Exit::Storage, message, remedy);
                }
                (Severity::Expired, _) => {
                    report.problem("connection", Exit::SignInNeeded, message, remedy);
                }
                _ => report.warning("connection", message, remedy),
            }
        }
        if let Some(lack) = one.lack() {
            is_well = false;
            match used.contains(&one.name) {
                true => {
                    report.problem("connection", Exit::SignInNeeded, lack.message, lack.remedy);
                }
                false => report.warning(
                    "connection",
                    format!("{}; no workflow uses it", lack.message),
                    lack.remedy,
                ),
            }
        }
        if is_well {
            report.ok("connection", summary(one));
        }
    }
}

fn summary(status: &ConnectionStatus) -> String {
    let credential = status.credentials.first().map(|one| {
        let kind = match one.kind {
            CredentialKind::Secret => "a client secret",
            CredentialKind::Certificate => "a certificate",
        };
        match one.expires {
            Some(end) => format!("{kind} until {}", end.strftime("%F")),
            None => format!("{kind} whose end is not known"),
        }
    });
    let who = match (status.kind, &status.signed_in[..]) {
        (ConnectionKind::AppOnly, _) => None,
        (_, []) => Some("nobody has signed in".to_owned()),
        (_, [one]) => Some(format!("{} has signed in", one.account)),
        (_, many) => Some(format!("{} users have signed in", many.len())),
    };
    let known: Vec<String> = who.into_iter().chain(credential).collect();
    let (name, kind) = (&status.name, status.kind.as_str());
    format!("{name} ({kind}): {}", known.join(", "))
}

/// A trigger of a serving process.
pub(super) fn trigger(one: &Value, report: &mut Report) {
    let text = |name: &str| one[name].as_str().unwrap_or_default();
    if let Some(message) = one["message"].as_str() {
        let exit = match text("state") {
            "sign-in-needed" => Exit::SignInNeeded,
            _ => Exit::Invalid,
        };
        report.problem(
            "trigger",
            exit,
            format!("{} fails since {}: {message}", text("name"), text("since")),
            one["help"]
                .as_str()
                .unwrap_or("docket triggers list shows it; it is tried again and again"),
        );
    } else {
        report.ok("trigger", format!("{}, {}", text("name"), text("state")));
    }
    if one["kind"] == "webhook" {
        webhook(
            text("workflow"),
            one["secrets"].as_array().map_or(0, Vec::len),
            report,
        );
    }
}

/// A workflow's webhook with so many secrets.
pub(super) fn webhook(workflow: &str, secrets: usize, report: &mut Report) {
    match secrets {
        0 => report.problem(
            "webhook",
            Exit::Invalid,
            format!("that of {workflow} has no secret, so every request to it is refused"),
            format!("docket triggers set-secret {workflow} makes one, for the sender"),
        ),
        _ => report.ok("webhook", format!("that of {workflow} has a secret")),
    }
}

/// The records of the last runs: an id, and what was changed of it.
pub(super) fn records(records: &[(String, Option<String>)], report: &mut Report) {
    let broken: Vec<_> = records
        .iter()
        .filter_map(|(id, broken)| Some((id, broken.as_ref()?)))
        .collect();
    for (id, why) in &broken {
        report.problem(
            "record",
            Exit::Storage,
            format!("the record of run {id} was changed, at {why}"),
            "what comes before that event is as it was written; a backup that was made before the \
             change has the rest; docket runs verify looks at all runs",
        );
    }
    if broken.is_empty() && !records.is_empty() {
        let count = records.len();
        let all = "docket runs verify looks at all";
        report.ok(
            "record",
            match count {
                1 => format!("the last run's is as it was written; {all}"),
                _ => format!("those of the last {count} runs are as they were written; {all}"),
            },
        );
    }
}

/// Waits of the same kind for the same account.
struct Group<'w> {
    /// The one that has waited longest.
    first: &'w Value,
    runs: BTreeSet<&'w str>,
}

/// What runs wait for, the longest first.
pub(super) fn waits(found: &Value, report: &mut Report) {
    let waiting = found["waiting"].as_array().map_or(&[][..], Vec::as_slice);
    let mut groups: BTreeMap<[&str; 3], Group<'_>> = BTreeMap::new();
    for one in waiting {
        let text = |name: &str| one[name].as_str().unwrap_or_default();
        let key = ["kind", "connection", "user"].map(text);
        let group = groups.entry(key).or_insert_with(|| Group {
            first: one,
            runs: BTreeSet::new(),
        });
        group.runs.insert(text("run"));
    }
    for ([kind, ..], group) in &groups {
        wait(kind, group, report);
    }
    if waiting.is_empty() {
        report.ok("runs", "none waits");
    }
    if waiting.len() >= MOST as usize {
        report.skipped("runs", format!("the waits after the first {MOST}"));
    }
}

fn wait(kind: &str, group: &Group<'_>, report: &mut Report) {
    let text = |name: &str| group.first[name].as_str().unwrap_or_default();
    let (what, count) = (text("for"), group.runs.len());
    let since = text("since").parse::<jiff::Timestamp>();
    let since = since.map_or(String::new(), |at| at.strftime("%F %R").to_string());
    let help = group.first["help"].as_str();
    let line = match (kind, count) {
        ("sign-in", 1) => format!("1 waits for {what}, since {since}"),
        ("sign-in", _) => format!("{count} wait for {what}, the first since {since}"),
        (_, 1) => format!("1 waits since {since}: {what}"),
        _ => format!("{count} wait, the first since {since}: {what}"),
    };
    match kind {
        "sign-in" => {
            let authorize = format!("docket connections authorize {}", text("connection"));
            let help = help.unwrap_or(&authorize);
            report.problem("runs", Exit::SignInNeeded, line, help);
        }
        "retry" => report.warning(
            "runs",
            format!("{line}, after: {}", text("message")),
            help.map_or_else(
                || format!("docket runs show {} --effects", text("run")),
                str::to_owned,
            ),
        ),
        _ => report.ok("runs", line),
    }
}
