//! One case: its tenant, its run, and what is there afterwards.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use docket_connections::KeySource;
use docket_engine::{LogLevel, Progress, Reporter};
use docket_model::{
    Arrives, Attached, Case, Event, EventKind, ExpectedResult, MAIL_MARK, RunId, RunResult,
    SourceFile, StepPath, StepResult, TenantState, WaitFor, WrittenContent, WrittenDocument,
    media_type, parse_project, replace_marked,
};
use docket_tenant::{
    Attachment, Body, Fault, Recipient, SeedMail, Tenant, TenantConfig, UserConfig,
};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::Tests;
use super::compare::{self, After, Ending};
use super::time::SkippingClock;
use crate::host::{Host, Setting, engine_failed};
use crate::inputs;
use crate::project::Project;
use crate::simulated;
use crate::workbench::Workbench;

/// How often a run may wait for time to pass.
const MOST_WAITS: usize = 1_000;

/// Runs a case; gives what is not as it must be.
///
/// # Errors
/// Why it cannot be run.
pub(super) async fn run(bench: &Workbench, tests: &Tests, case: &Case) -> Result<Vec<String>> {
    let folder = tests.file.parent().unwrap_or(Path::new(""));
    let clock = SkippingClock::default();
    let tenant = tenant(bench, case, &clock).await?;
    fill(&tenant, &case.tenant, folder)?;
    let place = tempfile::tempdir()?;
    let host = host(bench, &tenant, &clock, place.path()).await?;
    simulated::sign_everybody_in(&host, &tenant, &case.tenant.signed_in).await?;
    for fault in &case.faults {
        tenant.state().add_fault(armed(fault)?);
    }
    let ending = drive((&host, &tenant), tests, case, &clock, folder).await?;
    tenant.state().clear_faults();
    tenant.state().deliver_now();
    let after = After {
        ending,
        events: host.store.events(&run_id()?).await?,
        tenant: tenant.state(),
        folder,
    };
    let problems = compare::problems(&case.expected, &after)?;
    drop(host);
    tenant.shutdown().await;
    Ok(problems)
}

async fn tenant(bench: &Workbench, case: &Case, clock: &SkippingClock) -> Result<Tenant> {
    let state = &case.tenant;
    let people = [&state.people[..], &state.signed_in[..]].concat();
    let manifests = bench.plugins.values().map(|held| held.plugin.manifest());
    let spec = &bench.project.spec;
    let mut config = simulated::tenant_config(spec, manifests, &people, TenantConfig::default());
    for mailbox in &state.mailboxes {
        config.users.push(UserConfig::shared(mailbox, mailbox));
    }
    Tenant::start(config, Arc::new(clock.clone()))
        .await
        .context("the tenant does not start")
}

/// Puts folders and mail into the tenant.
fn fill(tenant: &Tenant, state: &TenantState, folder: &Path) -> Result<()> {
    for (mailbox, folders) in &state.folders {
        for path in folders {
            tenant.state().add_folder(mailbox, path)?;
        }
    }
    for (mail, age) in state.mail.iter().rev().zip(1..) {
        if let Some(path) = &mail.folder
            && tenant.state().messages(&mail.mailbox, Some(path)).is_err()
        {
            tenant.state().add_folder(&mail.mailbox, path)?;
        }
        let mut seed = seed(mail, folder)?;
        seed.age = SignedDuration::from_mins(age);
        tenant.state().add_message(&seed)?;
    }
    Ok(())
}

fn seed(mail: &Arrives, folder: &Path) -> Result<SeedMail> {
    let (name, address) = &mail.from;
    let (is_html, content) = mail.body.clone();
    let mut seed = SeedMail::text(
        &mail.mailbox,
        Recipient::named(name, address),
        &mail.subject,
        "",
    );
    seed.body = Body { is_html, content };
    seed.to = mail.to.iter().map(Recipient::of).collect();
    seed.is_read = mail.is_read;
    if let Some(folder) = &mail.folder {
        seed.folder.clone_from(folder);
    }
    for attached in &mail.attachments {
        let (name, bytes) = match attached {
            Attached::Text { name, text } => (name.clone(), text.clone().into_bytes()),
            Attached::File { path, name } => {
                let file = folder.join(path);
                let bytes = std::fs::read(&file).map_err(|error| inputs::missing(&file, &error))?;
                let own = file.file_name().unwrap_or_default().to_string_lossy();
                (name.clone().unwrap_or_else(|| own.into_owned()), bytes)
            }
        };
        seed.attachments
            .push(Attachment::file(&name, media_type(&name), bytes));
    }
    Ok(seed)
}

/// A fault by the tenant's own words for it.
fn armed(fault: &docket_model::Fault) -> Result<Fault> {
    let mut action = fault.settings.clone();
    action.insert("kind".to_owned(), fault.kind.clone().into());
    let fault = json!({
        "method": fault.method, "path": fault.path, "skip": fault.skip, "times": fault.times,
        "action": action,
    });
    serde_json::from_value(fault).context("the fault is not one of the tenant's")
}

/// A host over a data folder of its own, whose connections go to the tenant.
async fn host(
    bench: &Workbench,
    tenant: &Tenant,
    clock: &SkippingClock,
    place: &Path,
) -> Result<Host> {
    let ca = place.join("tenant-ca.pem");
    std::fs::write(&ca, tenant.ca_pem())?;
    let mut spec = bench.project.spec.clone();
    let text = simulated::connections_text(&spec, tenant, &ca.display().to_string());
    let (local, found) = parse_project(&SourceFile::new("the tenant's connections", text));
    let local = local.with_context(|| found.to_string())?;
    spec.connections.extend(local.connections);
    let project = Project {
        root: bench.project.root.clone(),
        data: place.join("data"),
        shared_data: bench.project.shared_data.clone(),
        spec,
    };
    let setting = Setting {
        clock: Arc::new(clock.clone()),
        timer: Arc::new(clock.clone()),
        key: KeySource::File(place.join("vault.key")),
        components: bench.components.clone(),
        // Whatever else a plugin was granted, it meets nobody real here.
        origins: Some([tenant.graph(), tenant.outlook()].map(Url::origin).into()),
    };
    Host::open_in(project, setting).await
}

fn run_id() -> Result<RunId> {
    "test".parse().map_err(|error| anyhow::anyhow!("{error}"))
}

/// Runs the workflow until it ends, or waits for somebody who will not come.
async fn drive(
    (host, tenant): (&Host, &Tenant),
    tests: &Tests,
    case: &Case,
    clock: &SkippingClock,
    folder: &Path,
) -> Result<Ending> {
    let given = given((host, tenant), case, folder)?;
    let inputs = inputs::resolved(&tests.plan, given)?;
    let run = run_id()?;
    let failed = |error| anyhow::Error::from(engine_failed(&error));
    host.engine
        .start(&run, &tests.plan, inputs)
        .await
        .map_err(failed)?;
    for (signal, number) in case.told.iter().zip(1..) {
        let id = format!("told-{number}");
        host.engine
            .signal(&run, &id, signal.clone())
            .await
            .map_err(failed)?;
    }
    for _ in 0..MOST_WAITS {
        let park = CancellationToken::new();
        let progress = host.engine.advance(&run, Arc::new(Unheard), park).await;
        let rest = match progress.map_err(failed)? {
            Progress::Ended(result) => return Ok(Ending::Over(result)),
            Progress::Waits(rest) => rest,
        };
        let somebody = rest
            .steps
            .iter()
            .find(|step| !matches!(step.wait.on, WaitFor::Timer | WaitFor::Retry { .. }));
        // A deadline passes only where the case is about that.
        let may_pass = case.expected.result == ExpectedResult::Failed;
        match (somebody, rest.wake_at) {
            (Some(step), _) if !may_pass => {
                return Ok(Ending::Waits(format!(
                    "{} waits for {}",
                    step.path, step.wait.on
                )));
            }
            (_, Some(at)) => clock.skip_to(at),
            (Some(step), None) => {
                return Ok(Ending::Waits(format!(
                    "{} waits for {}",
                    step.path, step.wait.on
                )));
            }
            (None, None) => bail!("the run waits for nothing"),
        }
    }
    bail!("the run waited {MOST_WAITS} times, and did not end")
}

/// The inputs, with messages of the tenant as plugins name them, and documents stored.
fn given(
    (host, tenant): (&Host, &Tenant),
    case: &Case,
    folder: &Path,
) -> Result<Map<String, Value>> {
    let [file, text] = WrittenDocument::MARKS;
    let mut replace = |fields: &Map<String, Value>| -> Result<Value> {
        match fields.contains_key(MAIL_MARK) {
            true => message(tenant, fields),
            false => document(host, fields, folder),
        }
    };
    let mut given = Map::new();
    for (name, value) in &case.inputs {
        let value = replace_marked(value, &[file, text, MAIL_MARK], &mut replace)?;
        given.insert(name.clone(), value);
    }
    Ok(given)
}

/// A message of the tenant: `{$mail: SUBJECT, mailbox: ADDRESS}`.
fn message(tenant: &Tenant, fields: &Map<String, Value>) -> Result<Value> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let (Some(subject), Some(mailbox), 2) = (text(MAIL_MARK), text("mailbox"), fields.len()) else {
        bail!("a mail of the tenant is written `{{{MAIL_MARK}: SUBJECT, mailbox: ADDRESS}}`");
    };
    let all = tenant.state().messages(mailbox, None)?;
    let found = all
        .iter()
        .find(|held| held.message.subject.as_deref() == Some(subject));
    match found {
        Some(held) => Ok(json!({"id": held.immutable_id, "mailbox": mailbox})),
        None => bail!("there is no mail `{subject}` in {mailbox}"),
    }
}

fn document(host: &Host, fields: &Map<String, Value>, folder: &Path) -> Result<Value> {
    let written = WrittenDocument::read(fields).map_err(anyhow::Error::msg)?;
    let mut stored = match written.content {
        WrittenContent::File(path) => inputs::store(&folder.join(path), host.documents.as_ref())?,
        WrittenContent::Text(text) => host.documents.put("text", "", text.as_bytes())?,
    };
    if let Some(name) = written.name {
        name.clone_into(&mut stored.name);
    }
    written
        .media_type(&stored.name)
        .clone_into(&mut stored.media_type);
    Ok(serde_json::to_value(stored)?)
}

/// What became of the steps of a run, by its events.
pub(super) fn state_of(events: &[Event], step: &str) -> &'static str {
    let mut state = "not-reached";
    for event in events {
        match &event.kind {
            EventKind::StepFinished { path, result, .. } if *path.step == *step => match result {
                StepResult::Done(_) if state != "failed" => state = "done",
                StepResult::Failed { retry_at: None, .. } => state = "failed",
                _ => {}
            },
            EventKind::StepSkipped { path } if *path.step == *step && state == "not-reached" => {
                state = "skipped";
            }
            EventKind::ItemsExpanded { step: of, items } if **of == *step && items.is_empty() => {
                state = "done";
            }
            _ => {}
        }
    }
    state
}

/// Whether a run ended as it must.
pub(super) const fn result_word(ending: &Ending) -> &'static str {
    match ending {
        Ending::Over(RunResult::Succeeded { .. }) => "succeeded",
        Ending::Over(RunResult::Failed { .. }) => "failed",
        Ending::Over(RunResult::Cancelled) => "cancelled",
        Ending::Waits(_) => "waiting",
    }
}

/// Hears nothing: what a case shows is read from its record.
struct Unheard;

impl Reporter for Unheard {
    fn event(&self, _run: &RunId, _event: &Event) {}

    fn log(&self, _run: &RunId, path: &StepPath, level: LogLevel, message: &str) {
        if level >= LogLevel::Warn {
            tracing::info!(step = %path, "{message}");
        }
    }

    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use docket_model::suite_schema;

    /// Every kind of fault that tests may name is one that the tenant has.
    #[test]
    fn every_fault_is_the_tenants() {
        let schema = suite_schema();
        let kinds = &schema["definitions"]["fault"]["properties"]["fault"]["enum"];
        let kinds = kinds.as_array().expect("a list");
        assert!(kinds.len() > 8, "{kinds:?}");
        for kind in kinds {
            let kind = kind.as_str().expect("a word");
            let settings = json!({
                "millis": 5, "retry_after": "2", "status": 403, "code": "ErrorAccessDenied",
                "user": "anna@example.com"
            });
            let fault = docket_model::Fault {
                method: None,
                path: "*".to_owned(),
                skip: 0,
                times: 1,
                kind: kind.to_owned(),
                settings: settings.as_object().cloned().unwrap_or_default(),
            };
            assert!(armed(&fault).is_ok(), "{kind}");
        }
    }
}
