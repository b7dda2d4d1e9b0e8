//! The whole host over a simulated tenant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docket_connections::{Connections, KeySource, LoopbackRedirect, Vault};
use docket_engine::{Documents, Engine, EventStore, LogLevel, Ports, Reporter};
use docket_journal::{FileDocuments, SqliteStore};
use docket_model::{
    Catalog, CatalogPlugin, ConnectionKind, ConnectionLimits, ConnectionSpec, DocumentRef, Event,
    Plan, RunId, RunResult, SourceFile, StepPath, resolve_inputs,
};
use docket_sandbox::{Limits, Sandbox, SandboxConfig};
use docket_tenant::{DEMO_CLIENT_ID, Tenant, TenantConfig};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::LabClock;

/// The name of the laboratory's connection.
const CONNECTION: &str = "contoso";
/// The name of the one with which everybody signs in for themselves.
const PEOPLE: &str = "people";
/// The account that the laboratory's connection signs in.
pub(crate) const ACCOUNT: &str = "svc-docket@contoso.example";

/// What a host needs to know of a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TenantFacts {
    /// The directory's id.
    pub tenant_id: String,
    /// The sign-in origin.
    pub authority: Url,
    /// Graph's origin.
    pub graph: Url,
    /// The upload origin.
    pub outlook: Url,
    /// The authority to trust, PEM.
    pub ca_pem: String,
    /// The demo application's secret.
    pub client_secret: String,
}

impl TenantFacts {
    /// Those of a running tenant.
    #[must_use]
    pub fn of(tenant: &Tenant) -> Self {
        let state = tenant.state();
        Self {
            tenant_id: state.tenant_id(),
            authority: tenant.authority().clone(),
            graph: tenant.graph().clone(),
            outlook: tenant.outlook().clone(),
            ca_pem: tenant.ca_pem().to_owned(),
            client_secret: state.client_secret(DEMO_CLIENT_ID).expect("a secret"),
        }
    }
}

/// A data folder for hosts that use a tenant, wherever that runs.
pub struct Ground {
    /// The clock of the hosts.
    pub clock: LabClock,
    /// What hosts ask of a mailbox.
    pub limits: ConnectionLimits,
    facts: TenantFacts,
    folder: TempDir,
}

/// A tenant, a data folder, and what they need.
pub struct Lab {
    /// The tenant.
    pub tenant: Tenant,
    /// The clock that host and tenant share.
    pub clock: LabClock,
    ground: Ground,
}

/// An open host; dropping it closes the data folder.
pub struct Host {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The documents.
    pub documents: Arc<dyn Documents>,
    catalog: Catalog,
}

/// The folder of the built components.
///
/// # Panics
/// Where they are not built: `cargo xtask guests` does that.
#[must_use]
pub fn components() -> PathBuf {
    let folder = workspace().join("target/guests/components");
    assert!(
        folder.join("exchange.wasm").exists(),
        "run `cargo xtask guests` first"
    );
    folder
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Lab {
    /// A tenant with an account that has signed in by the real flow.
    pub async fn start() -> Self {
        Self::start_with(TenantConfig::contoso()).await
    }

    /// The same with another tenant.
    pub async fn start_with(config: TenantConfig) -> Self {
        let clock = LabClock::default();
        Self::start_by(config, clock.clone(), Arc::new(clock)).await
    }

    /// The same with clocks of their own for hosts and tenant.
    pub async fn start_by(
        config: TenantConfig,
        clock: LabClock,
        tenants: Arc<dyn docket_tenant::Clock>,
    ) -> Self {
        let tenant = Tenant::start(config, tenants).await.expect("a tenant");
        let ground = Ground::new(TenantFacts::of(&tenant), clock.clone());
        ground
            .sign_in(async |link| tenant.sign_in(link, ACCOUNT).await.expect("let in"))
            .await;
        Self {
            tenant,
            clock,
            ground,
        }
    }

    /// Sets what the hosts that are opened from now on ask of a mailbox.
    pub fn limit(&mut self, limits: ConnectionLimits) {
        self.ground.limits = limits;
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.ground.data()
    }

    /// Signs a user in for themselves, by the connection `people`. No host may be open.
    pub async fn sign_in_user(&self, user: &str) {
        let person = async |link: &Url| self.tenant.sign_in(link, user).await.expect("let in");
        self.ground.sign_in_to(PEOPLE, Some(user), person).await;
    }

    /// Ends the tenant, and leaves the data folder for somebody to look at.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        self.ground.folder.keep()
    }

    /// Opens the host over a journal on disk.
    pub async fn open(&self) -> Host {
        self.ground.open().await
    }

    /// The same with something between engine and journal.
    pub async fn open_with(
        &self,
        between: impl FnOnce(Arc<dyn EventStore>) -> Arc<dyn EventStore>,
    ) -> Host {
        self.ground.open_with(between).await
    }

    /// The same with other limits of what a plugin may use.
    pub async fn open_limited(
        &self,
        between: impl FnOnce(Arc<dyn EventStore>) -> Arc<dyn EventStore>,
        limits: Limits,
    ) -> Host {
        self.ground.open_limited(between, limits).await
    }

    /// The tenant's mailboxes by its API, once everything under way has arrived.
    pub async fn mailboxes(&self) -> Value {
        self.tenant.state().deliver_now();
        self.tenant
            .ask("/_tenant/mailboxes")
            .await
            .expect("an answer")
    }
}

impl Ground {
    /// A new folder for hosts of that tenant.
    #[must_use]
    pub fn new(facts: TenantFacts, clock: LabClock) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), &facts.ca_pem).expect("the CA");
        Self {
            clock,
            limits: ConnectionLimits::default(),
            facts,
            folder,
        }
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    fn specs(&self) -> BTreeMap<String, ConnectionSpec> {
        let origin = |url: &dyn ToString| url.to_string().trim_end_matches('/').to_owned();
        let spec = |kind| ConnectionSpec {
            authority: origin(&self.facts.authority),
            endpoints: BTreeMap::from([
                ("graph".to_owned(), origin(&self.facts.graph)),
                ("outlook".to_owned(), origin(&self.facts.outlook)),
            ]),
            allow_addresses: vec!["127.0.0.0/8".to_owned()],
            ca_file: Some(self.folder.path().join("ca.pem")),
            limits: self.limits,
            ..ConnectionSpec::new(
                kind,
                self.facts.tenant_id.clone(),
                DEMO_CLIENT_ID.to_owned(),
            )
        };
        let shared = ConnectionSpec {
            account: Some(ACCOUNT.to_owned()),
            mailboxes: Some(
                ["contracts", "invoices"]
                    .map(|name| format!("{name}@contoso.example"))
                    .into(),
            ),
            ..spec(ConnectionKind::ServiceAccount)
        };
        BTreeMap::from([
            (CONNECTION.to_owned(), shared),
            (PEOPLE.to_owned(), spec(ConnectionKind::PerUser)),
        ])
    }

    fn connections(&self) -> Connections {
        let key = KeySource::File(self.folder.path().join("vault.key"));
        let vault = Vault::open(&self.folder.path().join("vault"), &key).expect("a vault");
        Connections::open(&self.specs(), vault, Arc::new(self.clock.clone())).expect("connections")
    }

    /// Signs the account in by the real flow; `person` opens the link in a browser, and says what
    /// the application answered in the end.
    pub async fn sign_in(&self, person: impl AsyncFnOnce(&Url) -> u16) {
        self.sign_in_to(CONNECTION, None, person).await;
    }

    async fn sign_in_to(
        &self,
        connection: &str,
        user: Option<&str>,
        person: impl AsyncFnOnce(&Url) -> u16,
    ) {
        let connections = self.connections();
        let secret = SecretString::from(self.facts.client_secret.as_str());
        connections
            .set_client_secret(connection, &secret, None)
            .expect("stored");
        let redirect = LoopbackRedirect::bind().await.expect("loopback");
        let scopes = [
            "Mail.ReadWrite",
            "Mail.Send",
            "Mail.ReadWrite.Shared",
            "Mail.Send.Shared",
            "Mail.Read",
            "Mail.Read.Shared",
        ]
        .map(str::to_owned);
        let begun = connections
            .begin_sign_in(connection, user, Some(&redirect.redirect_uri()), &scopes)
            .expect("a sign-in");
        let (landed, answer) =
            tokio::join!(person(&begun.authorize_url), redirect.wait(&begun.state));
        assert_eq!(landed, 200);
        connections
            .finish_sign_in(answer.expect("an answer"))
            .await
            .expect("signed in");
    }

    /// Opens the host over a journal on disk.
    pub async fn open(&self) -> Host {
        self.open_with(|store| store).await
    }

    /// The same with something between engine and journal.
    pub async fn open_with(
        &self,
        between: impl FnOnce(Arc<dyn EventStore>) -> Arc<dyn EventStore>,
    ) -> Host {
        self.open_limited(between, Limits::default()).await
    }

    /// The same with other limits of what a plugin may use.
    pub async fn open_limited(
        &self,
        between: impl FnOnce(Arc<dyn EventStore>) -> Arc<dyn EventStore>,
        limits: Limits,
    ) -> Host {
        let folder = self.folder.path();
        let store: Arc<dyn EventStore> =
            Arc::new(SqliteStore::open(&folder.join("journal.db")).expect("a journal"));
        let documents: Arc<dyn Documents> =
            Arc::new(FileDocuments::open(&folder.join("documents")).expect("documents"));
        let config = SandboxConfig {
            components: folder.join("components"),
            // Shared by all laboratories, so that each component is compiled once.
            cache: workspace().join("target/guests/compiled"),
            limits,
        };
        let sandbox = Sandbox::new(config, Arc::clone(&documents), Arc::new(self.connections()))
            .expect("a sandbox");
        let mut plugins = BTreeMap::new();
        for name in ["exchange", "graph-import", "probe"] {
            let bytes =
                std::fs::read(components().join(name).with_extension("wasm")).expect("a component");
            let plugin = sandbox.add(bytes).await.expect("a plugin");
            let grants = plugin
                .manifest()
                .actions
                .iter()
                .flat_map(|action| action.requests.iter().map(|need| need.rule.clone()))
                .collect();
            let about = CatalogPlugin {
                manifest: plugin.manifest().clone(),
                component: plugin.digest(),
                grants,
            };
            plugins.insert(name.to_owned(), about);
        }
        let engine = Engine::new(Ports {
            store: between(store),
            documents: Arc::clone(&documents),
            runner: Arc::new(sandbox),
            clock: Arc::new(self.clock.clone()),
            timer: Arc::new(self.clock.clone()),
        });
        let connections = BTreeMap::from([
            (CONNECTION.to_owned(), ConnectionKind::ServiceAccount),
            (PEOPLE.to_owned(), ConnectionKind::PerUser),
        ]);
        Host {
            engine: Arc::new(engine),
            documents,
            catalog: Catalog {
                plugins,
                connections,
                ..Catalog::default()
            },
        }
    }
}

impl Host {
    /// The plan of one of the example workflows.
    #[must_use]
    pub fn plan(&self, file: &str) -> Plan {
        let folder = workspace().join("workflows");
        let text = std::fs::read_to_string(folder.join(file)).expect("a workflow");
        self.plan_of(file, &text)
    }

    /// The plan of a workflow's text; templates are those of the examples.
    #[must_use]
    pub fn plan_of(&self, name: &str, text: &str) -> Plan {
        let folder = workspace().join("workflows");
        let load = |name: &str| {
            std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())
        };
        let (plan, found) =
            docket_model::validate(&SourceFile::new(name, text), &self.catalog, &load);
        plan.unwrap_or_else(|| panic!("{found}"))
    }

    /// The inputs of the confirmation workflow, with a document of `size` bytes.
    #[must_use]
    pub fn confirmation(&self, size: usize) -> Map<String, Value> {
        let put = |name: &str, bytes: &[u8]| -> DocumentRef {
            self.documents
                .put(name, "application/pdf", bytes)
                .expect("stored")
        };
        let document = put("agreement.pdf", &vec![b'%'; size]);
        let certificate = put("certificate.pdf", b"%PDF-1.7 certificate");
        let inputs = json!({
            "title": "Framework supply agreement",
            "signers": [{"name": "Anna", "email": "anna.berger@fabrikam.example"}],
            "document": document,
            "certificate": certificate,
        });
        match inputs {
            Value::Object(inputs) => inputs,
            _ => Map::new(),
        }
    }

    /// Starts a run.
    pub async fn start(
        &self,
        run: &RunId,
        plan: &Plan,
        inputs: Map<String, Value>,
    ) -> Result<(), docket_engine::EngineError> {
        let inputs = resolve_inputs(plan, inputs).expect("inputs that fit");
        self.engine.start(run, plan, inputs).await
    }

    /// Starts a run, or finds it started, and drives it to its end.
    ///
    /// # Panics
    /// Where it does not come to an end by itself.
    pub async fn run(&self, run: &str, plan: &Plan, inputs: Map<String, Value>) -> RunResult {
        let run: RunId = run.parse().expect("an id");
        self.start(&run, plan, inputs).await.expect("a run");
        let driven = self.drive(&run).await;
        driven.unwrap_or_else(|error| panic!("run {run}: {error}"))
    }

    /// Drives a run until it ends or waits for somebody.
    pub async fn drive(&self, run: &RunId) -> Result<RunResult, docket_engine::EngineError> {
        let park = CancellationToken::new();
        self.engine.drive(run, Arc::new(Silent), park).await
    }
}

/// Hears nothing.
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _run: &RunId, _event: &Event) {}
    fn log(&self, _run: &RunId, _path: &StepPath, _level: LogLevel, _message: &str) {}
    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {}
}
