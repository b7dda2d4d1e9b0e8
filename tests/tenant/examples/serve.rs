//! Serves the demo tenant until Ctrl-C, for looking at it and for trying other clients on it. With
//! `--until-end-of-input` it ends with its standard input too, so that it cannot outlive who started it.

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
    let with_input = std::env::args().any(|argument| argument == "--until-end-of-input");
    let (gone, input) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own: a read of a terminal cannot be given up.
    std::thread::spawn(move || {
        let _gone = gone;
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    });
    tokio::select! {
        done = tokio::signal::ctrl_c() => done?,
        _ = input, if with_input => {}
    }
    tenant.shutdown().await;
    Ok(())
}
