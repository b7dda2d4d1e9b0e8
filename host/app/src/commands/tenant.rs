//! `docket tenant`: a simulated Microsoft 365 tenant for people to try things on.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use docket_tenant::{DEMO_CLIENT_ID, SystemClock, Tenant, TenantConfig};
use serde_json::json;

use crate::cli::{Global, TenantArgs};
use crate::exit::Exit;
use crate::render::{self, note};

/// The account that projects made for the tenant sign in with.
pub(crate) const SERVICE_ACCOUNT: &str = "svc-docket@contoso.example";

/// Starts the demo's tenant.
pub(crate) async fn start() -> Result<Tenant> {
    Tenant::start(TenantConfig::contoso(), Arc::new(SystemClock))
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
    let origin = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
    let component = |name: &str| {
        components
            .join(name)
            .with_extension("wasm")
            .display()
            .to_string()
    };
    let place = format!(
        "    tenant: {tenant_id}
    client-id: {DEMO_CLIENT_ID}
    authority: {authority}
    endpoints:
      graph: {graph}
      outlook: {outlook}
    # The tenant is simulated on this machine: its CA is its own, its addresses are loopback.
    ca-file: tenant-ca.pem
    allow-addresses:
      - 127.0.0.0/8
",
        tenant_id = tenant.state().tenant_id(),
        authority = origin(tenant.authority()),
        graph = origin(tenant.graph()),
        outlook = origin(tenant.outlook()),
    );
    let text = format!(
        "connections:
  # One account for everybody, and two shared mailboxes.
  contoso:
    kind: service-account
    account: {SERVICE_ACCOUNT}
    mailboxes:
      - contracts@contoso.example
      - invoices@contoso.example
{place}
  # Everybody for themselves.
  people:
    kind: per-user
    fallback: contoso
{place}
plugins:
  exchange:
    source: {exchange}
    grants: all-requested
  graph-import:
    source: {graph_import}
    grants: all-requested
",
        exchange = component("exchange"),
        graph_import = component("graph-import"),
    );
    std::fs::write(folder.join("docket.yaml"), text)?;
    Ok(())
}

pub(crate) async fn run(global: &Global, arguments: &TenantArgs) -> Result<Exit> {
    let tenant = start().await?;
    if let Some(folder) = &arguments.project_to {
        let components = std::path::absolute(&arguments.components)?;
        write_project(&tenant, folder, &components)?;
    }
    let secret = client_secret(&tenant)?;
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
        render::line(&format!("Client id      {DEMO_CLIENT_ID}"));
        render::line(&format!("Client secret  {secret}"));
        render::line(&format!("Account        {SERVICE_ACCOUNT}"));
    }
    note!("Ctrl-C ends the tenant; its mail goes with it.");
    tokio::signal::ctrl_c().await?;
    tenant.shutdown().await;
    Ok(Exit::Success)
}
