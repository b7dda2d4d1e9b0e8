//! Journal and vault: read where nobody serves them, and asked of the process that does.

use std::sync::Arc;

use anyhow::Result;
use docket_connections::{Connections, KeySource, Vault};
use docket_engine::{Counts, RunFilter, StoreError, Verdict, WaitFilter};
use docket_journal::{JournalView, Looked};
use docket_model::{Clock as _, SignInHookKind, TriggerKind};
use serde_json::Value;
use tempfile::TempDir;

use super::design::Design;
use super::report::Report;
use super::standing::{self, MOST, RECENT};
use crate::answers;
use crate::cli::Global;
use crate::clock::SystemClock;
use crate::exit::Exit;
use crate::host::{seen_by_others, store_failed};
use crate::project::Project;
use crate::render::{self, note};
use crate::server::client::{Serving, segment};
use crate::server::contact::Contact;

/// A larger journal takes a while to read, in bytes.
const LARGE: u64 = 512 << 20;

/// The connections of a project, opened to be looked at.
pub(super) struct Ways {
    pub(super) connections: Connections,
    /// What stands in for a vault that is not there.
    _stand_in: Option<TempDir>,
}

impl Ways {
    /// With the project's vault, or with none of its secrets. `None` where `docket.yaml` is wrong.
    pub(super) fn open(
        project: &Project,
        vault: Option<Vault>,
        report: &mut Report,
    ) -> Result<Option<Self>> {
        let (vault, stand_in) = match vault {
            Some(vault) => (vault, None),
            None => {
                let folder = tempfile::tempdir()?;
                let key = KeySource::File(folder.path().join("vault.key"));
                (
                    Vault::open(&folder.path().join("vault"), &key)?,
                    Some(folder),
                )
            }
        };
        let connections = &project.spec.connections;
        match Connections::open(connections, vault, Arc::new(SystemClock)) {
            Ok(connections) => Ok(Some(Self {
                connections,
                _stand_in: stand_in,
            })),
            Err(wrong) => {
                for problem in wrong.problems {
                    let help = "put it right in docket.yaml, or in docket.local.yaml beside it";
                    report.problem("connection", Exit::Invalid, problem.to_string(), help);
                }
                Ok(None)
            }
        }
    }
}

/// Looks at what nobody serves. Gives the connections, where all of that can be worked with.
pub(super) fn here(global: &Global, design: &Design, report: &mut Report) -> Result<Option<Ways>> {
    let project = &design.bench.project;
    let view = match journal(project, report) {
        Journal::Readable(view) => Some(view),
        Journal::Absent => None,
        Journal::Owned => {
            let what = "the vault and the connections: another process works with them";
            report.skipped("vault", what);
            return Ok(None);
        }
    };
    let vault = vault(project, global, report)?;
    let ways = Ways::open(project, vault, report)?;
    if let Some(ways) = ways.as_ref().filter(|_| report.is_well("vault")) {
        secrets(design, &ways.connections, report);
    }
    let unfinished = match &view {
        Some(view) => runs(view, report),
        None => Counts::default(),
    };
    server(design, &unfinished, report);
    Ok(ways)
}

/// A journal, as far as the rest needs to know.
enum Journal {
    Readable(Box<JournalView>),
    /// There is none, or it cannot be read now.
    Absent,
    /// Another process has it open.
    Owned,
}

fn journal(project: &Project, report: &mut Report) -> Journal {
    let path = project.data.join("journal.db");
    let shown = path.display();
    let view = match Looked::at(&path) {
        Ok(Looked::Absent) => {
            report.ok("journal", "none yet; it is made when something first runs");
            return Journal::Absent;
        }
        Ok(Looked::InUse(by)) => {
            match Contact::read(&project.data) {
                Some(_) => report.warning(
                    "server",
                    format!("{by} is open, and whoever serve.json names does not answer"),
                    "a docket serve hangs, or just starts: look again, or end it and start it anew; \
                     nothing is lost",
                ),
                None => report.skipped("journal", format!("another docket works with {by}")),
            }
            return Journal::Owned;
        }
        Ok(Looked::Older { found, newest }) => {
            report.warning(
                "journal",
                format!("{shown} is of version {found}, and this docket writes version {newest}"),
                "it is brought up to date when it is next opened; copy the data folder before that if \
                 an older docket may be needed again",
            );
            return Journal::Absent;
        }
        Ok(Looked::Readable(view)) => view,
        Err(error) => {
            broken(&error, report);
            return Journal::Absent;
        }
    };
    if view.size > LARGE {
        note!("reading the journal, {} …", render::bytes(view.size));
    }
    match view.damage() {
        Ok(None) => report.ok("journal", format!("{} are sound", render::bytes(view.size))),
        Ok(Some(damage)) => broken(&StoreError::Damaged(damage), report),
        Err(error) => broken(&error, report),
    }
    Journal::Readable(Box::new(view))
}

fn broken(error: &StoreError, report: &mut Report) {
    report.error("journal", &store_failed(error).into());
}

/// Looks at the runs of a journal; how many are not over, and how.
fn runs(view: &JournalView, report: &mut Report) -> Counts {
    let recent = RunFilter {
        limit: Some(RECENT),
        ..RunFilter::default()
    };
    let waiting = WaitFilter {
        limit: Some(MOST),
        ..WaitFilter::default()
    };
    let look = |report: &mut Report| {
        let mut records = Vec::new();
        for run in view.runs(&recent)? {
            let broken = match view.verify(&run.id)? {
                Verdict::Broken { event, why } => Some(format!("event {event}: {why}")),
                Verdict::Intact { .. } | Verdict::Unknown => None,
            };
            records.push((run.id.to_string(), broken));
        }
        standing::records(&records, report);
        standing::waits(&answers::waits(&view.waiting(&waiting)?), report);
        view.counts()
    };
    look(report).unwrap_or_else(|error: StoreError| {
        broken(&error, report);
        Counts::default()
    })
}

/// Whether there should be a process that serves.
fn server(design: &Design, unfinished: &Counts, report: &mut Report) {
    let left = Contact::read(&design.bench.project.data).map(|contact| contact.address);
    let triggers = design.plans.iter().map(|plan| plan.triggers.len() as u64);
    let waiting = unfinished.waiting.values().sum();
    let mut idle: Vec<String> = [
        (
            triggers.sum(),
            "trigger starts nothing",
            "triggers start nothing",
        ),
        (unfinished.ready, "run stands still", "runs stand still"),
        (
            waiting,
            "step waits, and goes on only once somebody does",
            "steps wait, and go on only once somebody does",
        ),
    ]
    .into_iter()
    .filter(|(number, ..)| *number > 0)
    .map(|(number, one, many)| render::count(number, one, many))
    .collect();
    if let Some(address) = left {
        idle.push(format!(
            "the one that served at {address} ended without saying so"
        ));
    }
    match idle.is_empty() {
        true => report.ok("server", "nobody serves; commands do their work themselves"),
        false => report.warning(
            "server",
            format!("nobody serves: {}", idle.join("; ")),
            "docket serve; or docket runs resume, once",
        ),
    }
}

/// Opens the vault to look at it; `None` where there is none, or where it does not open.
fn vault(project: &Project, global: &Global, report: &mut Report) -> Result<Option<Vault>> {
    let key = match project.key_source(global) {
        Ok(key) => key,
        Err(error) => {
            report.error("vault", &error);
            return Ok(None);
        }
    };
    let folder = project.data.join("vault");
    let vault = match Vault::look(&folder, &key) {
        Ok(vault) => vault,
        Err(error) => {
            // Its words have what to do in them.
            let help = format!("the key comes from {key}; --key-file and --keyring name others");
            report.problem("vault", Exit::Storage, error.to_string(), help);
            return Ok(None);
        }
    };
    match &vault {
        None => report.ok("vault", format!("none yet; its key will come from {key}")),
        Some(_) => match key_beside(project, &key) {
            true => report.warning(
                "vault",
                format!(
                    "its key, {key}, lies in the data folder, whose copies anybody can then read"
                ),
                "docket vault rotate-key --to-file FILE, outside of the data folder",
            ),
            false => report.ok("vault", format!("opens with the key from {key}")),
        },
    }
    if let Some(mode) = seen_by_others(&folder) {
        let shown = folder.display();
        report.warning(
            "vault",
            format!("others may look into {shown} (mode {mode:o})"),
            format!("chmod 700 {shown}"),
        );
    }
    Ok(vault)
}

/// Whether the key lies in the data folder.
fn key_beside(project: &Project, key: &KeySource) -> bool {
    let KeySource::File(file) = key else {
        return false;
    };
    let whole = (file.canonicalize(), project.data.canonicalize());
    matches!(whole, (Ok(file), Ok(data)) if file.starts_with(&data))
}

/// What the vault holds, and what is missing in it.
fn secrets(design: &Design, connections: &Connections, report: &mut Report) {
    let used = design.connections();
    match answers::connections(connections, SystemClock.now()) {
        Ok(found) => standing::connections(found, &used, report),
        Err(error) => unreadable(&error.to_string(), report),
    }
    for plan in &design.plans {
        let mut triggers = plan.triggers.iter();
        if triggers.any(|trigger| matches!(trigger.on, TriggerKind::Webhook)) {
            match connections.hook_secrets(&plan.workflow) {
                Ok(secrets) => standing::webhook(&plan.workflow, secrets.len(), report),
                Err(error) => unreadable(&error.to_string(), report),
            }
        }
    }
    let hook = design.bench.project.spec.sign_in_hook.as_ref();
    if let Some(SignInHookKind::Webhook(webhook)) = hook.map(|hook| &hook.by) {
        let made = "make one with docket connections webhook-secret, and give it to the receiver";
        match (
            connections.webhook(webhook),
            connections.has_webhook_secret(),
        ) {
            (Err(error), _) => {
                let help = "put it right in docket.yaml";
                report.problem("sign-in-hook", Exit::Invalid, error.to_string(), help);
            }
            (_, Err(error)) => unreadable(&error.to_string(), report),
            (_, Ok(false)) => {
                report.problem(
                    "sign-in-hook",
                    Exit::Invalid,
                    "has no secret to sign with",
                    made,
                );
            }
            (_, Ok(true)) => report.ok("sign-in-hook", "has a secret to sign with"),
        }
    }
}

fn unreadable(problem: &str, report: &mut Report) {
    let help = "see that the data folder can be read";
    report.problem("vault", Exit::Storage, problem, help);
}

/// Asks the process that serves.
pub(super) async fn there(serving: &Serving, design: &Design, report: &mut Report) -> Result<()> {
    report.ok(
        "server",
        format!("{} answers, and has proven itself", serving.url()),
    );
    if let Err(error) = ask(serving, design, report).await {
        report.error("server", &error);
    }
    Ok(())
}

async fn ask(serving: &Serving, design: &Design, report: &mut Report) -> Result<()> {
    report.skipped("vault", "whoever serves has it open, and its key");
    let found = serving.get("/api/connections").await?;
    standing::connections(found, &design.connections(), report);
    let triggers = serving.get("/api/triggers").await?;
    for one in triggers["triggers"].as_array().into_iter().flatten() {
        standing::trigger(one, report);
    }
    let recent = serving.get(&format!("/api/runs?limit={RECENT}")).await?;
    let mut records = Vec::new();
    for run in recent["runs"].as_array().into_iter().flatten() {
        let id = run["id"].as_str().unwrap_or_default();
        let verdict = serving
            .get(&format!("/api/runs/{}/verify", segment(id)))
            .await?;
        records.push((id.to_owned(), broken_at(&verdict["runs"][0])));
    }
    standing::records(&records, report);
    standing::waits(
        &serving.get(&format!("/api/waiting?limit={MOST}")).await?,
        report,
    );
    Ok(())
}

/// Where a record was changed, and how.
fn broken_at(verdict: &Value) -> Option<String> {
    (verdict["intact"] == false).then(|| {
        let why = verdict["why"].as_str().unwrap_or_default();
        format!("event {}: {why}", verdict["event"])
    })
}
