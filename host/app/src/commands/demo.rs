//! `docket demo`: both example workflows against a simulated tenant, from sign-in to mailbox.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use docket_model::RunResult;
use docket_tenant::Tenant;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use crate::cli::{DemoArgs, Global};
use crate::commands::{connections, run, tenant};
use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::project::Project;
use crate::render::{self, note};

const CONNECTION: &str = "contoso";

pub(crate) async fn run(global: &Global, arguments: &DemoArgs) -> Result<Exit> {
    let folder = tempfile::Builder::new().prefix("docket-demo-").tempdir()?;
    let project_folder = folder.path().join("project");
    copy_folder(&arguments.workflows, &project_folder).with_context(|| {
        format!(
            "the workflows of {} cannot be copied",
            arguments.workflows.display()
        )
    })?;
    let tenant = tenant::start().await?;
    note!("a simulated tenant, contoso.example: {}", tenant.plain());
    tenant::write_project(
        &tenant,
        &project_folder,
        &std::path::absolute(&arguments.components)?,
    )?;

    let global = Global {
        project: project_folder.clone(),
        data: None,
        key_file: Some(folder.path().join("vault.key")),
        ..global.clone()
    };
    let host = Host::open(Project::load(&global)?, &global).await?;
    host.connections.set_client_secret(
        CONNECTION,
        &SecretString::from(tenant::client_secret(&tenant)?),
        None,
    )?;
    sign_in(&host, &tenant).await?;

    let mut runs = Vec::new();
    for (file, inputs) in [
        (
            "signed-contract-confirmation.yaml",
            contract_inputs(&project_folder),
        ),
        ("import-invoices.yaml", Vec::new()),
    ] {
        note!("");
        let file = project_folder.join(file);
        let done = run::workflow(&host, &file, None, &inputs, None).await?;
        let state = match &done.result {
            RunResult::Succeeded { .. } => "succeeded",
            RunResult::Failed { .. } => "failed",
            RunResult::Cancelled => "cancelled",
        };
        runs.push(json!({"id": done.id, "workflow": done.workflow, "state": state}));
    }
    let has_failed = runs.iter().any(|run| run["state"] != "succeeded");

    // What the host believes does not count: the tenant is asked.
    settle(&tenant);
    let seen = Seen::ask(&tenant).await?;
    seen.show();
    if arguments.keep {
        note!("\nthe mailboxes are at {} until Ctrl-C", tenant.plain());
        tokio::signal::ctrl_c().await?;
    }
    if global.json {
        render::line(
            &json!({
                "runs": runs, "sent": seen.sent, "drafts": seen.drafts, "moved": seen.moved
            })
            .to_string(),
        );
    }
    tenant.shutdown().await;
    Ok(if has_failed {
        Exit::RunFailed
    } else {
        Exit::Success
    })
}

/// The real flow, with the tenant's person at the browser.
async fn sign_in(host: &Host, tenant: &Tenant) -> Result<()> {
    let signed_in = connections::sign_in(host, CONNECTION, None, |link| async move {
        tenant.sign_in(&link, tenant::SERVICE_ACCOUNT).await?;
        Ok(())
    })
    .await?;
    note!(
        "signed in as {} by authorization code with PKCE",
        signed_in.principal.account
    );
    Ok(())
}

fn contract_inputs(folder: &Path) -> Vec<String> {
    let document = |name: &str| folder.join("documents").join(name).display().to_string();
    let signers = json!([
        {"name": "Anna Berger", "email": "anna.berger@contoso.example"},
        {"name": "Ben Keller", "email": "ben.keller@fabrikam.example"}
    ]);
    vec![
        "title=Framework supply agreement 2026-117".to_owned(),
        format!("signers={signers}"),
        format!("document=@{}", document("framework-agreement-2026-117.pdf")),
        format!(
            "certificate=@{}",
            document("signature-certificate-2026-117.pdf")
        ),
    ]
}

/// Exchange moves a sent mail to Sent Items a while after it took it; nobody waits for that here.
fn settle(tenant: &Tenant) {
    tenant.state().deliver_now();
}

/// What the tenant says is in its mailboxes.
struct Seen {
    sent: Vec<Value>,
    drafts: usize,
    moved: usize,
}

impl Seen {
    async fn ask(tenant: &Tenant) -> Result<Self> {
        let answer = tenant.ask("/_tenant/mailboxes").await?;
        let mut seen = Self {
            sent: Vec::new(),
            drafts: 0,
            moved: 0,
        };
        for mailbox in answer["mailboxes"].as_array().into_iter().flatten() {
            for message in mailbox["messages"].as_array().into_iter().flatten() {
                match message["folder"].as_str() {
                    Some("Sent Items") => seen.sent.push(sent(&mailbox["mailbox"], message)),
                    Some("Drafts") => seen.drafts += 1,
                    Some("Processed") => seen.moved += 1,
                    _ => {}
                }
            }
        }
        Ok(seen)
    }

    fn show(&self) {
        note!("\nIn the tenant");
        for mail in &self.sent {
            let text = |name: &str| mail[name].as_str().unwrap_or_default().to_owned();
            note!(
                "  {} / {}: {}",
                text("mailbox"),
                text("folder"),
                text("subject")
            );
            let to: Vec<_> = strings(&mail["to"]);
            note!("      to {}", to.join(", "));
            for file in mail["attachments"].as_array().into_iter().flatten() {
                note!(
                    "      with {} ({})",
                    file["name"].as_str().unwrap_or_default(),
                    render::bytes(file["size"].as_u64().unwrap_or_default())
                );
            }
        }
        note!(
            "  {} replies in Drafts, {} invoices in Processed",
            self.drafts,
            self.moved
        );
    }
}

fn sent(mailbox: &Value, message: &Value) -> Value {
    let attachments: Vec<Value> = message["attachments"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|file| {
            let fields = ["name", "size", "sha256"];
            fields
                .map(|name| (name.to_owned(), file[name].clone()))
                .into_iter()
                .collect::<Map<_, _>>()
        })
        .map(Value::Object)
        .collect();
    json!({
        "mailbox": mailbox,
        "folder": message["folder"],
        "subject": message["subject"],
        "to": message["to"],
        "attachments": attachments,
    })
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).map_err(|error| {
        Failed::new(Exit::Usage, format!("{}: {error}", from.display()))
            .with_help("give the folder of the example workflows with --workflows")
    })? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
