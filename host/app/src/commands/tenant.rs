//! `docket tenant`: a simulated Microsoft 365 tenant for people to try things on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use docket_model::{SourceFile, parse_project};
use docket_tenant::{DEMO_CLIENT_ID, SystemClock, Tenant, TenantConfig};
use serde_json::json;

use super::init;
use crate::cli::{Global, TenantArgs};
use crate::exit::{Exit, Failed};
use crate::host::{self, Host};
use crate::project::{LOCAL_FILE, Project};
use crate::render::{self, note};
use crate::simulated;
use crate::workbench::Workbench;

/// The account that projects made for the tenant sign in with.
pub(crate) const SERVICE_ACCOUNT: &str = "svc-docket@contoso.example";
/// How a local project file begins that this command wrote, and may replace.
const MARK: &str = "# Written by `docket tenant`, and gone when it ends.\n";

/// Starts the demo's tenant.
pub(crate) async fn start() -> Result<Tenant> {
    start_with(TenantConfig::contoso()).await
}

async fn start_with(config: TenantConfig) -> Result<Tenant> {
    Tenant::start(config, Arc::new(SystemClock))
        .await
        .context("the simulated tenant does not start")
}

/// The client secret of the tenant's app registration.
pub(crate) fn client_secret(tenant: &Tenant) -> Result<String> {
    tenant
        .state()
        .client_secret(DEMO_CLIENT_ID)
        .context("the tenant has no client secret")
}

/// Writes a `docket.yaml` that uses the tenant, and the tenant's CA beside it.
pub(crate) fn write_project(tenant: &Tenant, folder: &Path, components: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("tenant-ca.pem"), tenant.ca_pem())?;
    let file = SourceFile::new("docket.yaml", init::connections_text());
    let (spec, found) = parse_project(&file);
    let spec = spec.with_context(|| found.to_string())?;
    let connections = simulated::connections_text(&spec, tenant, "tenant-ca.pem");
    let plugins = init::plugins_text(|name| {
        let component = components.join(name).with_extension("wasm");
        component.display().to_string()
    });
    std::fs::write(
        folder.join("docket.yaml"),
        format!("{connections}\n{plugins}"),
    )?;
    Ok(())
}

/// A project that uses the tenant for as long as this lives.
struct Lent {
    file: PathBuf,
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Without it the project is as it was. Where it cannot be removed, nothing answers, and every
        // command names the file.
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Starts a tenant for a project, signs its accounts in, and has it use the tenant. A folder without
/// a project gets one.
async fn lend(global: &Global, folder: &Path, components: &Path) -> Result<(Tenant, Lent)> {
    if !folder.join("docket.yaml").exists() {
        init::make(global, folder, components).await?;
    }
    let file = folder.join(LOCAL_FILE);
    match std::fs::read_to_string(&file) {
        Ok(text) if !text.starts_with(MARK) => {
            let message = format!("{} is there, and is your own", file.display());
            return Err(Failed::new(Exit::Usage, message)
                .with_help("move it away for as long as the tenant is up")
                .into());
        }
        Ok(_) => std::fs::remove_file(&file)?,
        Err(_) => {}
    }
    let global = global.within(folder);
    let bench = Workbench::open(Project::load(&global)?).await?;
    let manifests = bench.plugins.values().map(|held| held.plugin.manifest());
    let people = [
        "anna@contoso.example".to_owned(),
        "ben@contoso.example".to_owned(),
    ];
    let is_demo = |client_id: &str| client_id == DEMO_CLIENT_ID;
    let mut specs = bench.project.spec.connections.values();
    // The demo's people and mail are of use to projects of its directory alone.
    let (people, base) = match specs.any(|spec| is_demo(&spec.client_id)) {
        true => (&people[..], TenantConfig::contoso()),
        false => (&[][..], TenantConfig::default()),
    };
    let config = simulated::tenant_config(&bench.project.spec, manifests, people, base);
    let tenant = start_with(config).await?;
    let data = folder.join(".docket-local");
    host::make_private(&data)?;
    let ca = data.join("tenant-ca.pem");
    std::fs::write(&ca, tenant.ca_pem())?;
    let ca = std::path::absolute(ca)?.display().to_string();
    let text = simulated::connections_text(&bench.project.spec, &tenant, &ca);
    let lent = Lent { file };
    std::fs::write(&lent.file, format!("{MARK}{text}"))?;
    init::write_schemas(&bench)?;
    let host = Host::open(Project::load(&global)?, &global).await?;
    simulated::sign_everybody_in(&host, &tenant, people).await?;
    Ok((tenant, lent))
}

pub(crate) async fn run(global: &Global, arguments: &TenantArgs) -> Result<Exit> {
    let (tenant, lent) = match &arguments.project_to {
        Some(folder) => {
            let (tenant, lent) = lend(global, folder, &arguments.components).await?;
            (tenant, Some(lent))
        }
        None => (start().await?, None),
    };
    let secret = client_secret(&tenant).ok();
    if global.json {
        render::line(
            &json!({
                "pages": tenant.plain().as_str(),
                "authority": tenant.authority().as_str(),
                "graph": tenant.graph().as_str(),
                "outlook": tenant.outlook().as_str(),
                "tenant": tenant.state().tenant_id(),
                "client-id": DEMO_CLIENT_ID,
                "client-secret": secret,
                "account": SERVICE_ACCOUNT,
            })
            .to_string(),
        );
    } else {
        render::line(&format!("Mailboxes      {}", tenant.plain()));
        render::line(&format!("Sign-in        {}", tenant.authority()));
        render::line(&format!("Graph          {}", tenant.graph()));
        if let Some(secret) = secret {
            render::line(&format!("Client id      {DEMO_CLIENT_ID}"));
            render::line(&format!("Client secret  {secret}"));
            render::line(&format!("Account        {SERVICE_ACCOUNT}"));
        }
    }
    if let Some(lent) = &lent {
        note!("{} has the project use it", lent.file.display());
    }
    note!("Ctrl-C ends the tenant; its mail goes with it.");
    ended().await?;
    drop(lent);
    tenant.shutdown().await;
    Ok(Exit::Success)
}

/// Waits for Ctrl-C, or for SIGTERM where there is such a thing.
async fn ended() -> Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminated.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}
