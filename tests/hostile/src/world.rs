//! The real host over a simulated tenant and a malicious server.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use docket_connections::{Connections, KeySource, LoopbackRedirect, Resolve, Vault};
use docket_e2e::{LabClock, components};
use docket_engine::{Documents, Engine, EventStore, Ports, StepRunner};
use docket_journal::{FileDocuments, SqliteStore};
use docket_model::{
    Catalog, CatalogPlugin, ConnectionKind, ConnectionSpec, Event, EventKind, Manifest,
    RequestRule, RunId, SourceFile, StepResult, resolve_inputs,
};
use docket_sandbox::{Limits, LoadError, Plugin, Sandbox, SandboxConfig};
use docket_tenant::{DEMO_CLIENT_ID, Tenant, TenantConfig};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::outside::{Outside, UPLOAD_SECRET};
use crate::secrets::Secrets;
use crate::watch::{Heard, Watch};

/// The connection whose tokens the malicious server gets by right.
const ECHO: &str = "echo";
/// The connection to the tenant.
const TENANT: &str = "contoso";
const ACCOUNT: &str = "svc-docket@contoso.example";
/// What every memory search must find once: so it is known to look at the right place.
const CONTROL: &str = "control-text-that-the-probe-holds-in-its-memory";
/// A document that no case is given.
pub(crate) const OTHER_RUNS: &[u8] = b"%PDF-1.7 a document of another run";

/// Endpoints of the echo connection beside its audience and files: names and addresses that lead to
/// where nothing may be dialled.
const INSIDE: [(&str, &str, &str); 9] = [
    ("loop", "loop.test", "127.0.0.2"),
    ("private", "private.test", "10.0.0.1"),
    ("metadata", "metadata.test", "169.254.169.254"),
    ("six", "six.test", "::1"),
    ("mapped", "mapped.test", "::ffff:127.0.0.1"),
    ("zero", "zero.test", "0.0.0.0"),
    ("nat", "nat.test", "64:ff9b::7f00:1"),
    ("literal", "169.254.169.254", "169.254.169.254"),
    ("bracket", "[::1]", "::1"),
];

/// Knows the names of this world only.
struct Names;

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let inside = INSIDE.iter().find(|(_, name, _)| *name == host);
        let address = match inside {
            Some((_, _, address)) => address,
            None => "127.0.0.1",
        };
        let address = address.parse().map_err(io::Error::other)?;
        Ok(vec![address])
    }
}

/// The host and its outside.
pub(crate) struct World {
    tenant: Tenant,
    outside: Outside,
    sandbox: Arc<Sandbox>,
    engine: Engine,
    store: Arc<dyn EventStore>,
    probe: CatalogPlugin,
    /// The search for the secrets so far.
    known: Mutex<Option<Arc<Secrets>>>,
    folder: TempDir,
}

/// How an attempt ended, and what was heard of it.
pub(crate) struct Ran {
    pub(crate) result: StepResult,
    pub(crate) heard: Heard,
}

fn limits() -> Limits {
    Limits {
        instances: 24,
        memory: 16 << 20,
        cpu: Duration::from_secs(2),
        describe_cpu: Duration::from_millis(500),
        host_calls: 50_000,
        call_bytes: 1 << 20,
        effects: 50,
        document_bytes: 4 << 20,
        answer_bytes: 5 << 20,
        handles: 64,
        // Long enough for an honest request on a busy machine; slow answers are cut after it.
        request_timeout: Duration::from_secs(30),
        component_bytes: 4 << 20,
        ..Limits::default()
    }
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let clock = LabClock::default();
        let tenant = Tenant::start(TenantConfig::contoso(), Arc::new(clock.clone())).await?;
        let outside = Outside::start().await?;
        let authorities = format!("{}\n{}", tenant.ca_pem(), outside.ca_pem);
        std::fs::write(folder.path().join("ca.pem"), authorities)?;

        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        let key = KeySource::File(folder.path().join("vault.key"));
        let vault = Vault::open(&data.join("vault"), &key)?;
        let specs = specs(&tenant, &outside, folder.path());
        let clock = Arc::new(clock);
        let connections =
            Connections::open_with(&specs, vault, Arc::clone(&clock) as _, Arc::new(Names))?;
        for name in [ECHO, TENANT] {
            sign_in(&connections, &tenant, name).await?;
        }

        let store: Arc<dyn EventStore> = Arc::new(SqliteStore::open(&data.join("journal.db"))?);
        let documents: Arc<dyn Documents> = Arc::new(FileDocuments::open(&data.join("documents"))?);
        documents.put("other.pdf", "application/pdf", OTHER_RUNS)?;
        let config = SandboxConfig {
            components: data.join("components"),
            // Shared by all tests, so that the probe is compiled once.
            cache: components().join("../compiled"),
            limits: limits(),
        };
        let sandbox = Sandbox::new(config, Arc::clone(&documents), Arc::new(connections))?;
        let sandbox = Arc::new(sandbox);
        let probe = std::fs::read(components().join("probe.wasm"))?;
        let probe = sandbox.add(probe).await?;
        let grants = grants(outside.port);
        let probe = about(&probe, probe.manifest().clone(), grants);
        let engine = Engine::new(Ports {
            store: Arc::clone(&store),
            documents,
            runner: Arc::clone(&sandbox) as Arc<dyn StepRunner>,
            clock: Arc::clone(&clock) as _,
            timer: clock,
        });
        let world = Self {
            tenant,
            outside,
            sandbox,
            engine,
            store,
            probe,
            known: Mutex::default(),
            folder,
        };
        world.check_search().await?;
        Ok(world)
    }

    /// Every secret so far.
    pub(crate) fn secrets(&self) -> Result<Arc<Secrets>> {
        let mut all = self.tenant.state().secrets();
        all.push(UPLOAD_SECRET.to_owned());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(known) if known.count() == all.len() => Ok(Arc::clone(known)),
            _ => Ok(Arc::clone(known.insert(Arc::new(Secrets::new(&all)?)))),
        }
    }

    /// Adds a component.
    pub(crate) async fn add(&self, component: Vec<u8>) -> Result<CatalogPlugin, LoadError> {
        let plugin = self.sandbox.add(component).await?;
        Ok(about(&plugin, plugin.manifest().clone(), Vec::new()))
    }

    /// Runs an action of the probe.
    pub(crate) async fn probe(
        &self,
        run: &str,
        connection: &str,
        action: &str,
        input: &Value,
    ) -> Result<Ran> {
        let place = |host: &str| format!("https://{host}.test:{}", self.outside.port);
        let mut input = input.to_string();
        for (name, value) in [
            ("{audience}", place("audience")),
            ("{files}", place("files")),
            ("{granted}", place("granted")),
            ("{evil}", place("evil")),
            ("{port}", self.outside.port.to_string()),
            (
                "{graph}",
                self.tenant
                    .graph()
                    .as_str()
                    .trim_end_matches('/')
                    .to_owned(),
            ),
        ] {
            input = input.replace(name, &value);
        }
        let mut input: Value = serde_json::from_str(&input)?;
        if let Some(fields) = input.as_object_mut() {
            fields.insert("look".to_owned(), true.into());
        }
        let step = format!("probe/{action}");
        self.run(run, "probe", &self.probe, connection, &step, &input)
            .await
    }

    /// Runs the first action of a component that was added.
    pub(crate) async fn guest(&self, run: &str, plugin: &CatalogPlugin) -> Result<Ran> {
        let action = &plugin.manifest.actions[0].name;
        let step = format!("guest/{action}");
        self.run(run, "guest", plugin, TENANT, &step, &json!({"look": true}))
            .await
    }

    async fn run(
        &self,
        run: &str,
        name: &str,
        plugin: &CatalogPlugin,
        connection: &str,
        uses: &str,
        input: &Value,
    ) -> Result<Ran> {
        // JSON is YAML, and the rest of the workflow is the same for all.
        let text = format!(
            "workflow: hostile\non:\n  manual:\nconnections:\n  {name}: {connection}\nsteps:\n  \
             - id: step\n    uses: {uses}\n    with: {input}\n"
        );
        let catalog = Catalog {
            plugins: BTreeMap::from([(name.to_owned(), plugin.clone())]),
            connections: [ECHO, TENANT]
                .map(|name| (name.to_owned(), ConnectionKind::ServiceAccount))
                .into(),
            fallbacks: BTreeMap::new(),
        };
        let no_templates = |_: &str| Err("there are no templates".to_owned());
        let source = SourceFile::new("hostile.yaml", &text);
        let (plan, found) = docket_model::validate(&source, &catalog, &no_templates);
        let plan = plan.with_context(|| found.to_string())?;
        let inputs = resolve_inputs(&plan, Map::new())
            .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let run: RunId = run.parse()?;
        self.engine.start(&run, &plan, inputs).await?;
        let watch = Watch::new(self.secrets()?);
        let reporter = Arc::clone(&watch) as _;
        self.engine
            .drive(&run, reporter, CancellationToken::new())
            .await?;
        let events = self.store.events(&run).await?;
        let finished = events.into_iter().rev().find_map(result_of);
        Ok(Ran {
            result: finished.context("no attempt was made")?,
            heard: watch.heard(),
        })
    }

    /// What must not have left: a request to the ungranted host, and a secret to anybody but the
    /// token's audience.
    pub(crate) fn left(&self) -> Result<Vec<String>> {
        let secrets = Secrets::new(&self.tenant.state().secrets())?;
        let mut left = Vec::new();
        for seen in self.outside.seen() {
            if seen.host == "evil.test" || seen.host == "loop.test" {
                left.push(format!("a request reached {}", seen.host));
            }
            if seen.host != "audience.test" {
                let found = secrets.find(&seen.bytes).into_iter();
                left.extend(found.map(|hit| format!("{} received {hit}", seen.host)));
            }
        }
        Ok(left)
    }

    /// The secrets in the data folder, which the host still uses.
    pub(crate) fn written(&self) -> Result<(usize, Vec<String>)> {
        self.secrets()?
            .find_in_folder(&self.folder.path().join("data"))
    }

    /// A search that finds nothing proves something only if it finds what is there.
    async fn check_search(&self) -> Result<()> {
        let watch = Watch::new(Arc::new(Secrets::new(&[CONTROL])?));
        let found = self.control(&watch).await?;
        ensure!(
            found.leaks.iter().any(|leak| leak.contains("memory")),
            "the search did not find what is in a guest's memory ({} bytes were searched)",
            found.searched
        );
        Ok(())
    }

    async fn control(&self, watch: &Arc<Watch>) -> Result<Heard> {
        let text = format!(
            "workflow: control\non:\n  manual:\nsteps:\n  - id: step\n    uses: probe/echo\n    \
             with: {{\"look\": true, \"text\": \"{CONTROL}\"}}\n"
        );
        let catalog = Catalog {
            plugins: BTreeMap::from([("probe".to_owned(), self.probe.clone())]),
            ..Catalog::default()
        };
        let no_templates = |_: &str| Err("there are no templates".to_owned());
        let source = SourceFile::new("control.yaml", &text);
        let (plan, found) = docket_model::validate(&source, &catalog, &no_templates);
        let plan = plan.with_context(|| found.to_string())?;
        let run: RunId = "control".parse()?;
        self.engine.start(&run, &plan, json!({})).await?;
        let reporter = Arc::clone(watch) as _;
        self.engine
            .drive(&run, reporter, CancellationToken::new())
            .await?;
        Ok(watch.heard())
    }
}

fn result_of(event: Event) -> Option<StepResult> {
    match event.kind {
        EventKind::StepFinished { result, .. } => Some(result),
        _ => None,
    }
}

fn about(plugin: &Plugin, manifest: Manifest, grants: Vec<RequestRule>) -> CatalogPlugin {
    CatalogPlugin {
        manifest,
        component: plugin.digest(),
        grants,
    }
}

/// Everything at every endpoint, and one host that is nobody's endpoint.
fn grants(port: u16) -> Vec<RequestRule> {
    let inside = INSIDE.iter().map(|(name, ..)| *name);
    let mut grants = Vec::new();
    for endpoint in ["graph", "files"].into_iter().chain(inside) {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE",
        ] {
            grants.push(RequestRule {
                method: method.to_owned(),
                url: format!("{{{endpoint}}}/**"),
            });
        }
    }
    grants.push(RequestRule {
        method: "GET".to_owned(),
        url: format!("https://granted.test:{port}/**"),
    });
    grants
}

fn specs(tenant: &Tenant, outside: &Outside, folder: &Path) -> BTreeMap<String, ConnectionSpec> {
    let trim = |url: &dyn ToString| url.to_string().trim_end_matches('/').to_owned();
    let spec = |endpoints: BTreeMap<String, String>, addresses: &str| {
        let kind = ConnectionKind::ServiceAccount;
        let tenant_id = tenant.state().tenant_id();
        ConnectionSpec {
            account: Some(ACCOUNT.to_owned()),
            authority: trim(tenant.authority()),
            endpoints,
            mailboxes: Some(
                ["contracts", "invoices"]
                    .map(|name| format!("{name}@contoso.example"))
                    .into(),
            ),
            allow_addresses: vec![addresses.to_owned()],
            ca_file: Some(folder.join("ca.pem")),
            ..ConnectionSpec::new(kind, tenant_id, DEMO_CLIENT_ID.to_owned())
        }
    };
    let mut echo: BTreeMap<String, String> = INSIDE
        .iter()
        .map(|(name, host, _)| ((*name).to_owned(), format!("https://{host}")))
        .collect();
    for (name, host) in [("graph", "audience"), ("files", "files")] {
        echo.insert(
            name.to_owned(),
            format!("https://{host}.test:{}", outside.port),
        );
    }
    // Something listens at this name, too, and must not be reached.
    echo.insert(
        "loop".to_owned(),
        format!("https://loop.test:{}", outside.port),
    );
    let contoso = BTreeMap::from([
        ("graph".to_owned(), trim(tenant.graph())),
        ("outlook".to_owned(), trim(tenant.outlook())),
    ]);
    BTreeMap::from([
        (ECHO.to_owned(), spec(echo, "127.0.0.1")),
        (TENANT.to_owned(), spec(contoso, "127.0.0.0/8")),
    ])
}

async fn sign_in(connections: &Connections, tenant: &Tenant, name: &str) -> Result<()> {
    let secret = tenant.state().client_secret(DEMO_CLIENT_ID);
    let secret = SecretString::from(secret.context("the tenant has no secret")?);
    connections.set_client_secret(name, &secret, None)?;
    let redirect = LoopbackRedirect::bind().await?;
    let scopes = ["Mail.ReadWrite.Shared", "Mail.Send.Shared", "Mail.Read"].map(str::to_owned);
    let begun = connections.begin_sign_in(name, None, Some(&redirect.redirect_uri()), &scopes)?;
    let person = tenant.sign_in(&begun.authorize_url, ACCOUNT);
    let (landed, answer) = tokio::join!(person, redirect.wait(&begun.state));
    landed?;
    connections.finish_sign_in(answer?).await?;
    Ok(())
}
