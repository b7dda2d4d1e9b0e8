//! Trying a connection: token, scopes, mailboxes, folders, rights; and the script that gives them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use anyhow::Result;
use docket_connections::probe::{Check, ProbeLine, ProbeOutcome, ProbeRequest};
use docket_model::{Plan, Template};

use super::refused;
use crate::cli::ProbeArgs;
use crate::exit::Exit;
use crate::host::Host;
use crate::render::{self, note};

/// Tries what the workflows need of a connection, and says how to mend what fails.
pub(super) async fn test(host: &Host, arguments: &ProbeArgs, as_json: bool) -> Result<Exit> {
    let name = &arguments.name;
    let request = ProbeRequest {
        user: arguments.user.clone(),
        scopes: host.scopes(name),
        folders: folders(host, name),
        send: arguments.send,
    };
    let report = host
        .connections
        .probe(name, &request)
        .await
        .map_err(refused)?;
    let exit = match report.is_good() {
        true => Exit::Success,
        false => Exit::Invalid,
    };
    if as_json {
        render::line(&serde_json::to_string(&report)?);
        return Ok(exit);
    }
    render::line(&format!("{} as {}", report.connection, report.account));
    report.lines.iter().for_each(show);
    if !arguments.send {
        note!("\nSend As shows only when a mail is sent: --send sends one from each mailbox to itself");
    }
    Ok(exit)
}

fn show(line: &ProbeLine) {
    let mark = match line.outcome {
        ProbeOutcome::Pass => "✓",
        ProbeOutcome::Fail => "✗",
        ProbeOutcome::Skipped => "·",
    };
    let check = match line.check {
        Check::Token => "token",
        Check::Scope => "scope",
        Check::Mailbox => "mailbox",
        Check::Folder => "folder",
        Check::FullAccess => "Full Access",
        Check::SendAs => "Send As",
        Check::SentItems => "Sent Items",
    };
    let subject = &line.subject;
    render::line(&format!("  {mark} {check:<12} {subject:<36} {}", line.detail));
    for remedy in line.remedy.iter().flat_map(|remedy| remedy.lines()) {
        render::line(&format!("      {remedy}"));
    }
}

/// The folders that the workflows name: mailbox and folder, as they are written or as an input has
/// them by default.
fn folders(host: &Host, connection: &str) -> Vec<(String, String)> {
    let mut found = BTreeSet::new();
    for (plan, step) in host.steps_with(connection) {
        let text = |name: &str| known_text(&plan, field(&step.with, name)?);
        if let (Some(mailbox), Some(folder)) = (text("mailbox"), text("folder")) {
            found.insert((mailbox, folder));
        }
    }
    found.into_iter().collect()
}

fn field<'t>(with: &'t Template, name: &str) -> Option<Cow<'t, Template>> {
    match with {
        Template::Object(fields) => {
            let (_, field) = fields.iter().find(|(key, _)| key == name)?;
            Some(Cow::Borrowed(field))
        }
        Template::Literal(value) => Some(Cow::Owned(Template::Literal(value.get(name)?.clone()))),
        _ => None,
    }
}

fn known_text(plan: &Plan, template: Cow<'_, Template>) -> Option<String> {
    let value = match template.as_ref() {
        Template::Literal(value) => value,
        Template::Expression(text) => {
            let input = text.trim().strip_prefix("inputs.")?;
            plan.inputs.get(input)?.default.as_ref()?
        }
        _ => return None,
    };
    value.as_str().map(str::to_owned)
}

/// Prints the PowerShell for one connection, or for all.
pub(super) fn rights(host: &Host, name: Option<&str>) -> Result<Exit> {
    let names = match name {
        Some(name) => vec![name],
        None => host.connections.names(),
    };
    for name in names {
        let script = host
            .connections
            .rights_script(name, &host.scopes(name))
            .map_err(|error| refused(error.into()))?;
        if script.is_empty() {
            note!("{name}: its users have rights of their own; nothing to give");
        } else {
            render::line(script.trim_end());
        }
    }
    Ok(Exit::Success)
}
