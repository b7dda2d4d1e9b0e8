//! Serves the demo tenant until Ctrl-C, for looking at it and for trying other clients on it.

use std::io::Write as _;
use std::sync::Arc;

use docket_tenant::{DEMO_CLIENT_ID, SystemClock, Tenant, TenantConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tenant = Tenant::start(TenantConfig::contoso(), Arc::new(SystemClock)).await?;
    let facts = serde_json::json!({
        "tenant": tenant.state().tenant_id(),
        "authority": tenant.authority(),
        "graph": tenant.graph(),
        "outlook": tenant.outlook(),
        "plain": tenant.plain(),
        "client_id": DEMO_CLIENT_ID,
        "client_secret": tenant.state().client_secret(DEMO_CLIENT_ID),
        "ca_pem": tenant.ca_pem(),
    });
    writeln!(std::io::stdout(), "{facts}")?;
    tokio::signal::ctrl_c().await?;
    tenant.shutdown().await;
    Ok(())
}
