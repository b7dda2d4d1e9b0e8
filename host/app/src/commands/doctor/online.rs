//! The network: whether it answers, and what the connections may do there.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use docket_connections::probe::ProbeOutcome;
use docket_connections::{Ahead, Answer};
use docket_model::ConnectionKind;

use super::design::Design;
use super::report::Report;
use super::store::Ways;
use crate::administration::Desk;
use crate::cli::Global;
use crate::exit::Exit;
use crate::host::Host;
use crate::render::note;
use crate::server::client::Serving;

/// Asks the hosts of the connections, and tries each connection that somebody set up.
pub(super) async fn look(
    global: &Global,
    design: Design,
    serving: Option<Serving>,
    ways: Option<Ways>,
    report: &mut Report,
) -> Result<()> {
    let project = design.bench.project;
    let is_open = ways.is_some();
    let ways = match ways {
        Some(ways) => Some(ways),
        None => Ways::open(&project, None, report)?,
    };
    let Some(ways) = ways else {
        return Ok(());
    };
    note!("asking the hosts of the connections …");
    reach(&ways, report).await;
    let status = ways.connections.status().unwrap_or_default();
    drop(ways);
    // Of a serving process's vault only that process knows what is in it.
    let lacking = status.iter().filter(|one| is_open && one.lack().is_some());
    let lacking: BTreeSet<&str> = lacking.map(|one| one.name.as_str()).collect();
    let mut names = Vec::new();
    for (name, spec) in &project.spec.connections {
        let why_not = match (&spec.provider, spec.kind) {
            (Some(_), _) => "only Microsoft 365 is tried".to_owned(),
            (None, ConnectionKind::PerUser) => {
                format!("docket connections test {name} --user USER tries one")
            }
            (None, _) if lacking.contains(name.as_str()) => "it is not set up".to_owned(),
            (None, _) => {
                names.push(name.clone());
                continue;
            }
        };
        report.skipped("probe", format!("{name}: {why_not}"));
    }
    if names.is_empty() {
        return Ok(());
    }
    let can_open = ["journal", "vault", "data", "plugin", "lock"];
    let desk = match serving {
        Some(serving) => Desk::There(serving),
        None if is_open && can_open.iter().all(|about| report.is_well(about)) => {
            match Host::open(project, global).await {
                Ok(host) => Desk::Here(Arc::new(host)),
                Err(error) => {
                    report.error("probe", &error);
                    return Ok(());
                }
            }
        }
        None => {
            let names = names.join(", ");
            report.skipped("probe", format!("{names}: what is above comes first"));
            return Ok(());
        }
    };
    for name in names {
        probe(&desk, &name, report).await;
    }
    Ok(())
}

async fn reach(ways: &Ways, report: &mut Report) {
    for host in ways.connections.reach().await {
        let (origin, by) = (&host.origin, host.connections.join(", "));
        match host.answer {
            Answer::Failed { message, remedy } => report.problem(
                "network",
                Exit::Invalid,
                format!("{origin} ({by}): {message}"),
                remedy,
            ),
            Answer::Answered(ahead) => {
                report.ok("network", format!("{origin} ({by}) answers"));
                if let Some(ahead) = ahead {
                    clock(origin, ahead, report);
                }
            }
        }
    }
}

fn clock(origin: &str, ahead: Ahead, report: &mut Report) {
    let seconds = ahead.0.as_secs();
    let how = match seconds {
        0.. => format!("{seconds} s ahead of"),
        _ => format!("{} s behind", -seconds),
    };
    let help = "set it by NTP: timedatectl set-ntp true, or chronyd";
    match (ahead.is_off(), ahead.is_refused()) {
        (false, _) => {}
        (true, false) => {
            report.warning(
                "clock",
                format!("this machine's is {how} that of {origin}"),
                help,
            );
        }
        (true, true) => report.problem(
            "clock",
            Exit::Invalid,
            format!("this machine's is {how} that of {origin}: tokens and signatures are refused"),
            help,
        ),
    }
}

/// Tries one connection; what is well of it is one line.
async fn probe(desk: &Desk, name: &str, report: &mut Report) {
    note!("trying {name} …");
    let found = match desk.probe(name, None, false).await {
        Ok(found) => found,
        Err(error) => return report.error("probe", &error),
    };
    let mut passed = 0;
    for line in &found.lines {
        match line.outcome {
            ProbeOutcome::Pass => passed += 1,
            ProbeOutcome::Skipped => {}
            ProbeOutcome::Fail => report.problem(
                "probe",
                Exit::Invalid,
                format!("{name}, {}: {}", line.subject, line.detail).replace(", :", ":"),
                line.remedy
                    .as_deref()
                    .unwrap_or("docket connections test shows more"),
            ),
        }
    }
    if found.is_good() {
        let account = &found.account;
        report.ok(
            "probe",
            format!("{name}: {account} may do {passed} of the things tried"),
        );
    }
}
