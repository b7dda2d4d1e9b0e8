//! `docket demo`: both example workflows against a simulated tenant, from sign-in to mailbox.

mod seen;
mod sign_in;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use docket_model::{RunId, RunResult};
use docket_tenant::Tenant;
use secrecy::SecretString;
use serde_json::{Value, json};

use self::seen::Seen;

use crate::administration::Desk;
use crate::cli::{DemoArgs, Global};
use crate::commands::{connections, run, tenant};
use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::project::Project;
use crate::render::{self, note};

const CONNECTION: &str = "contoso";

pub(crate) async fn run(global: &Global, arguments: &DemoArgs) -> Result<Exit> {
    let stage = Stage::set(global, arguments).await?;
    let runs = match arguments.sign_in {
        true => sign_in::play(&stage).await?,
        false => play(&stage).await?,
    };
    let has_failed = runs.iter().any(|run| run["state"] != "succeeded");
    let seen = Seen::ask(&stage.tenant).await?;
    seen.show();
    if arguments.keep {
        note!(
            "\nthe mailboxes are at {} until Ctrl-C",
            stage.tenant.plain()
        );
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
    stage.tenant.shutdown().await;
    Ok(if has_failed {
        Exit::RunFailed
    } else {
        Exit::Success
    })
}

/// A tenant, and a project in a folder of its own that uses it.
struct Stage {
    tenant: Tenant,
    /// As for any other command, but for the project.
    global: Global,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn set(global: &Global, arguments: &DemoArgs) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("docket-demo-").tempdir()?;
        let project = folder.path().join("project");
        copy_folder(&arguments.workflows, &project).with_context(|| {
            format!(
                "the workflows of {} cannot be copied",
                arguments.workflows.display()
            )
        })?;
        let tenant = tenant::start().await?;
        note!("a simulated tenant, contoso.example: {}", tenant.plain());
        let components = std::path::absolute(&arguments.components)?;
        tenant::write_project(&tenant, &project, &components)?;
        let global = Global {
            project: Some(project),
            data: None,
            key_file: Some(folder.path().join("vault.key")),
            keyring: false,
            ..global.clone()
        };
        let stage = Self {
            tenant,
            global,
            folder,
        };
        if arguments.sign_in {
            sign_in::add_hook(&stage.project())?;
        }
        let host = Arc::new(stage.open().await?);
        for connection in [CONNECTION, sign_in::PEOPLE] {
            let secret = SecretString::from(tenant::client_secret(&stage.tenant)?);
            host.connections
                .set_client_secret(connection, &secret, None)?;
        }
        sign_in(&Desk::Here(host), &stage.tenant).await?;
        Ok(stage)
    }

    /// Opens the host over the project.
    async fn open(&self) -> Result<Host> {
        Host::open(Project::load(&self.global)?, &self.global).await
    }

    fn project(&self) -> std::path::PathBuf {
        self.folder.path().join("project")
    }
}

/// Both example workflows, one after the other.
async fn play(stage: &Stage) -> Result<Vec<Value>> {
    let host = stage.open().await?;
    let folder = stage.project();
    let mut runs = Vec::new();
    for (file, inputs) in [
        (
            "signed-contract-confirmation.yaml",
            contract_inputs(&folder),
        ),
        ("import-invoices.yaml", Vec::new()),
    ] {
        note!("");
        let done = run::workflow(&host, &folder.join(file), None, &inputs, None).await?;
        runs.push(ended(&done.id, &done.workflow, &done.result));
    }
    Ok(runs)
}

/// A run as the last line has it.
fn ended(id: &RunId, workflow: &str, result: &RunResult) -> Value {
    let state = match result {
        RunResult::Succeeded { .. } => "succeeded",
        RunResult::Failed { .. } => "failed",
        RunResult::Cancelled => "cancelled",
    };
    json!({"id": id, "workflow": workflow, "state": state})
}

/// The real flow, with the tenant's person at the browser.
async fn sign_in(desk: &Desk, tenant: &Tenant) -> Result<()> {
    let signed_in = connections::sign_in(desk, CONNECTION, None, |link| async move {
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
