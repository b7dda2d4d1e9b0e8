//! Trying a connection, line by line; and the script that gives the rights.

use anyhow::Result;
use docket_connections::probe::{Check, ProbeLine, ProbeOutcome};

use crate::administration::Desk;
use crate::cli::ProbeArgs;
use crate::exit::Exit;
use crate::render::{self, note};

/// Tries what the workflows need of a connection, and says how to mend what fails.
pub(super) async fn test(desk: &Desk, arguments: &ProbeArgs, as_json: bool) -> Result<Exit> {
    let ProbeArgs { name, user, send } = arguments;
    let report = desk.probe(name, user.as_deref(), *send).await?;
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
        note!(
            "\nSend As shows only when a mail is sent: --send sends one from each mailbox to itself"
        );
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
    render::line(&format!(
        "  {mark} {check:<12} {subject:<36} {}",
        line.detail
    ));
    for remedy in line.remedy.iter().flat_map(|remedy| remedy.lines()) {
        render::line(&format!("      {remedy}"));
    }
}

/// Prints the PowerShell for one connection, or for all.
pub(super) async fn rights(desk: &Desk, name: Option<&str>) -> Result<Exit> {
    for (name, script) in desk.rights(name).await? {
        if script.is_empty() {
            note!("{name}: its users have rights of their own; nothing to give");
        } else {
            render::line(script.trim_end());
        }
    }
    Ok(Exit::Success)
}
