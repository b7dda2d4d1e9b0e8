//! The host: every room opened over one project's data folder, and wired to the others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, Result};
use docket_connections::{Connections, KeySource, Vault, VaultError};
use docket_engine::{
    Documents, Engine, EngineError, EventStore, Ports, StoreError, Timer, TokioTimer,
};
use docket_journal::{FileDocuments, SqliteStore};
use docket_model::{
    ActionSpec, Catalog, CatalogPlugin, Clock, Plan, PlannedStep, PluginSpec, Project as Spec,
    RequestRule, RunId, SourceFile, WaitFor,
};
use docket_plugins::pin::Lock;
use docket_sandbox::{ComponentStore, Egress, Limits, LoadError, Plugin, Sandbox, SandboxConfig};
use url::Origin;

use crate::cli::Global;
use crate::clock::SystemClock;
use crate::egress::Only;
use crate::exit::{Exit, Failed};
use crate::project::Project;

/// Everything that commands work with.
pub(crate) struct Host {
    pub(crate) project: Project,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) documents: Arc<dyn Documents>,
    /// The same two as what they are, for those who copy them.
    pub(crate) files: (Arc<SqliteStore>, Arc<FileDocuments>),
    pub(crate) connections: Arc<Connections>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) plugins: BTreeMap<String, Installed>,
    /// The workflows that are served, where they are.
    served: RwLock<Option<Vec<Arc<Plan>>>>,
    clock: Arc<dyn Clock>,
}

/// What a host works by.
pub(crate) struct Setting {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timer: Arc<dyn Timer>,
    /// Where the vault's key comes from.
    pub(crate) key: KeySource,
    /// The folder with the components and their compiled code.
    pub(crate) components: PathBuf,
    /// The only origins that plugins may reach, whatever they were granted; any where it is `None`.
    pub(crate) origins: Option<Vec<Origin>>,
}

/// A plugin of the project, ready to run.
pub(crate) struct Installed {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) grants: Vec<RequestRule>,
    pub(crate) source: std::path::PathBuf,
    pub(crate) size: u64,
}

impl Host {
    /// Opens the project's data folder and loads its plugins.
    pub(crate) async fn open(project: Project, global: &Global) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let setting = Setting {
            key: project.key_source(global)?,
            components: project.data.clone(),
            origins: None,
            timer: Arc::new(TokioTimer::new(Arc::clone(&clock))),
            clock,
        };
        Self::open_in(project, setting).await
    }

    /// The same with another key, clock or place for compiled code.
    pub(crate) async fn open_in(project: Project, setting: Setting) -> Result<Self> {
        let data = project.data.clone();
        let store = own(&data)?;
        let files = Arc::new(FileDocuments::open(&data.join("documents"))?);
        let documents: Arc<dyn Documents> = Arc::clone(&files) as _;
        let Setting {
            clock,
            timer,
            key,
            components,
            origins,
        } = setting;
        let vault = vault(&data, &key)?;
        let connections = Connections::open(&project.spec.connections, vault, Arc::clone(&clock))
            .map_err(|error| Failed::new(Exit::Invalid, error.to_string()))?;
        let connections = Arc::new(connections);
        let mut egress: Arc<dyn Egress> = Arc::clone(&connections) as _;
        if let Some(origins) = origins {
            egress = Arc::new(Only::new(egress, &origins));
        }
        let sandbox = Arc::new(sandbox(&components, &documents, egress)?);
        let plugins = install(&project, &sandbox).await?;
        let sqlite = Arc::new(store);
        let store: Arc<dyn EventStore> = Arc::clone(&sqlite) as _;
        let engine = Arc::new(Engine::new(Ports {
            store: Arc::clone(&store),
            documents: Arc::clone(&documents),
            runner: Arc::clone(&sandbox) as _,
            clock: Arc::clone(&clock),
            timer,
        }));
        Ok(Self {
            project,
            store,
            documents,
            files: (sqlite, files),
            connections,
            engine,
            sandbox,
            plugins,
            served: RwLock::default(),
            clock,
        })
    }

    /// What workflows are checked against.
    pub(crate) fn catalog(&self) -> Catalog {
        catalog(&self.project.spec, &self.plugins)
    }

    /// Checks a workflow; its problems are printed.
    pub(crate) fn plan(&self, file: &Path) -> Result<Plan> {
        crate::workbench::plan(&self.catalog(), file)
    }

    /// Checks a workflow and gives what was found.
    pub(crate) fn check(
        &self,
        source: &SourceFile,
        file: &Path,
    ) -> (Option<Plan>, docket_model::Diagnostics) {
        crate::workbench::check(&self.catalog(), source, file)
    }

    /// Takes the workflows as they are served, so that nobody reads their files to know them.
    pub(crate) fn serve(&self, plans: Vec<Arc<Plan>>) {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        *served = Some(plans);
    }

    /// The project's workflows: those that are served, or else what their files say. One with problems
    /// is left out.
    fn plans(&self) -> Vec<Arc<Plan>> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(plans) = &*served {
            return plans.clone();
        }
        drop(served);
        let files = self.project.workflows().unwrap_or_default();
        let read = |file: PathBuf| {
            let source = crate::project::read_source(&file).ok()?;
            self.check(&source, &file).0.map(Arc::new)
        };
        files.into_iter().filter_map(read).collect()
    }

    /// The steps of the project's workflows that use a connection, and the polls of their triggers'
    /// sources, each with its plan.
    pub(crate) fn steps_with(&self, connection: &str) -> Vec<(Arc<Plan>, PlannedStep)> {
        let mut found = Vec::new();
        for plan in self.plans() {
            for step in plan.all_steps().cloned().chain(plan.polls()) {
                let names = [&step.connection, &step.fallback];
                if names.into_iter().flatten().any(|name| name == connection) {
                    found.push((Arc::clone(&plan), step));
                }
            }
        }
        found
    }

    /// What the workflows need of a connection: the scopes of the actions that they use it for, or,
    /// while there is no such workflow, those of all actions.
    pub(crate) fn scopes(&self, connection: &str) -> Vec<String> {
        let steps = self.steps_with(connection);
        let manifest = |plugin: &str| Some(self.plugins.get(plugin)?.plugin.manifest());
        let used = steps
            .iter()
            .filter_map(|(_, step)| manifest(&step.plugin)?.action(&step.action));
        let mut actions: Vec<&ActionSpec> = used.collect();
        if actions.is_empty() {
            let all = self.plugins.values();
            actions.extend(all.flat_map(|installed| &installed.plugin.manifest().actions));
        }
        let needs = actions.into_iter().flat_map(|action| &action.scopes);
        self.connections
            .scopes(connection, needs)
            .unwrap_or_default()
    }

    /// The host's clock, and what waits for its moments.
    pub(crate) fn time(&self) -> (Arc<dyn Clock>, Arc<dyn Timer>) {
        let timer = TokioTimer::new(Arc::clone(&self.clock));
        (Arc::clone(&self.clock), Arc::new(timer))
    }

    /// The present moment.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// An id for a new run: the time, so that ids sort, and chance.
    pub(crate) fn new_run_id(&self) -> Result<RunId> {
        let tail = random_id()?;
        let id = format!("{}-{tail}", self.clock.now().strftime("%Y%m%d-%H%M%S"));
        Ok(id.parse()?)
    }
}

/// 8 letters and digits by chance: enough to tell things of one second apart, and no secret.
pub(crate) fn random_id() -> Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut chance = [0; 8];
    getrandom::fill(&mut chance).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    Ok(chance
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte & 31)]))
        .collect())
}

/// Makes a folder that its owner alone may look into: journals hold addresses and mail.
pub(crate) fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The mode of what others than its owner may look into.
#[cfg(unix)]
pub(crate) fn seen_by_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
pub(crate) fn seen_by_others(_path: &Path) -> Option<u32> {
    None
}

/// Opens the journal of a data folder, and is its only owner from then on.
pub(crate) fn own(data: &Path) -> Result<SqliteStore> {
    make_private(data).map_err(|error| {
        Failed::new(
            Exit::Storage,
            format!("the data folder {}: {error}", data.display()),
        )
        .with_help("give another one with --data, or have this one made writable")
    })?;
    Ok(SqliteStore::open(&data.join("journal.db")).map_err(|error| store_failed(&error))?)
}

/// Opens the vault of a data folder.
pub(crate) fn vault(data: &Path, key: &KeySource) -> Result<Vault> {
    Ok(Vault::open(&data.join("vault"), key).map_err(|error| vault_failed(&error))?)
}

/// A sandbox over a data folder.
pub(crate) fn sandbox(
    data: &Path,
    documents: &Arc<dyn Documents>,
    egress: Arc<dyn Egress>,
) -> Result<Sandbox> {
    let (components, cache) = (data.join("components"), data.join("cache"));
    sandbox_in(components, cache, documents, egress)
}

/// The same with the folders of components and of their compiled code apart.
pub(crate) fn sandbox_in(
    components: PathBuf,
    cache: PathBuf,
    documents: &Arc<dyn Documents>,
    egress: Arc<dyn Egress>,
) -> Result<Sandbox> {
    let config = SandboxConfig {
        components,
        cache,
        limits: Limits::default(),
    };
    Sandbox::new(config, Arc::clone(documents), egress).context("the sandbox does not start")
}

/// What workflows of a project are checked against, with its plugins.
pub(crate) fn catalog(spec: &Spec, plugins: &BTreeMap<String, Installed>) -> Catalog {
    let connections = spec.connections.iter();
    Catalog {
        plugins: plugins
            .iter()
            .map(|(name, installed)| {
                let plugin = CatalogPlugin {
                    manifest: installed.plugin.manifest().clone(),
                    component: installed.plugin.digest(),
                    grants: installed.grants.clone(),
                };
                (name.clone(), plugin)
            })
            .collect(),
        connections: connections
            .clone()
            .map(|(name, spec)| (name.clone(), spec.kind))
            .collect(),
        fallbacks: connections
            .filter_map(|(name, spec)| Some((name.clone(), spec.fallback.clone()?)))
            .collect(),
    }
}

/// Loads the plugins of a project.
pub(crate) async fn install(
    project: &Project,
    sandbox: &Sandbox,
) -> Result<BTreeMap<String, Installed>> {
    let lock = crate::pins::read(project)?;
    let mut installed = BTreeMap::new();
    for (name, spec) in &project.spec.plugins {
        let plugin = install_one(project, sandbox, &lock, name, spec).await?;
        installed.insert(name.clone(), plugin);
    }
    Ok(installed)
}

/// Loads one plugin of a project.
pub(crate) async fn install_one(
    project: &Project,
    sandbox: &Sandbox,
    lock: &Lock,
    name: &str,
    spec: &PluginSpec,
) -> Result<Installed> {
    let plugin = match spec.remote() {
        None => from_file(project, sandbox, lock, name, spec).await,
        Some(remote) => fetched(project, sandbox, lock, name, remote).await,
    };
    let plugin = plugin.map_err(|error| match error.downcast::<Failed>() {
        Ok(failed) => anyhow::Error::from(Failed {
            span: Some(spec.span),
            ..failed
        }),
        Err(error) => error,
    })?;
    Ok(Installed {
        size: plugin.size(),
        grants: spec.grants.rules(plugin.manifest()),
        source: match spec.remote() {
            None => project.root.join(&spec.source),
            Some(_) => spec.source.clone(),
        },
        plugin,
    })
}

/// A plugin from a file of the project.
async fn from_file(
    project: &Project,
    sandbox: &Sandbox,
    lock: &Lock,
    name: &str,
    spec: &PluginSpec,
) -> Result<Arc<Plugin>> {
    let path = project.root.join(&spec.source);
    let bytes = std::fs::read(&path).map_err(|error| {
        Failed::new(
            Exit::Invalid,
            format!("the plugin {name}: {}: {error}", path.display()),
        )
        .with_help(format!("check `plugins.{name}.source` in docket.yaml"))
    })?;
    let plugin = sandbox.load(bytes.clone()).await;
    let plugin = plugin.map_err(|error| load_failed(name, &error))?;
    crate::pins::check(project, lock, name, &plugin)?;
    // Kept only once it is known to be the approved one.
    let kept = sandbox.add(bytes).await;
    Ok(kept.map_err(|error| load_failed(name, &error))?)
}

/// A plugin that was fetched before; nothing is fetched to run a workflow.
async fn fetched(
    project: &Project,
    sandbox: &Sandbox,
    lock: &Lock,
    name: &str,
    remote: &str,
) -> Result<Arc<Plugin>> {
    let missing = |problem: &str, help: String| {
        Failed::new(Exit::Invalid, format!("the plugin {name} {problem}")).with_help(help)
    };
    let Some(pin) = lock.plugins.get(name) else {
        return Err(missing(
            "is not in docket.lock",
            format!(
                "look at what it asks for, and approve it: docket plugins add {remote} --as {name}"
            ),
        )
        .into());
    };
    let failed = |error: LoadError| load_failed(name, &error);
    match sandbox.plugin(pin.digest).await {
        Ok(plugin) => return Ok(plugin),
        Err(LoadError::Missing(_)) => {}
        Err(error) => return Err(failed(error).into()),
    }
    // Who works in a data folder of their own takes it from where it was fetched to.
    let kept = project.shared_data.join("components");
    match ComponentStore::get_from(&kept, pin.digest).map_err(failed)? {
        Some(bytes) => Ok(sandbox.add(bytes).await.map_err(failed)?),
        None => Err(missing(
            "is not on this machine",
            "fetch what docket.lock pins: docket plugins fetch".to_owned(),
        )
        .into()),
    }
}

pub(crate) fn load_failed(name: &str, error: &LoadError) -> Failed {
    let exit = match error {
        LoadError::Io { .. } => Exit::Storage,
        _ => Exit::Invalid,
    };
    let message = format!("the plugin {name} cannot be loaded: {error}");
    Failed::new(exit, message).with_help(error.help())
}

/// The journal's errors by exit code.
pub(crate) fn store_failed(error: &StoreError) -> Failed {
    let failed = Failed::new(Exit::Storage, error.to_string());
    match error {
        StoreError::InUse(_) => failed.with_help("wait for the other docket, or end it"),
        StoreError::Damaged(_) => failed.with_help("restore the data folder from a backup"),
        _ => failed,
    }
}

fn vault_failed(error: &VaultError) -> Failed {
    Failed::new(Exit::Storage, error.to_string())
}

/// The engine's errors by exit code.
pub(crate) fn engine_failed(error: &EngineError) -> Failed {
    let message = error.to_string();
    match error {
        EngineError::SignInNeeded { run, failure, .. } => {
            let remedy = failure.remedy.as_deref().unwrap_or("sign the account in");
            Failed::new(Exit::SignInNeeded, message)
                .with_help(format!("{remedy}; then docket runs resume {run}"))
        }
        EngineError::Store(error) => store_failed(error),
        EngineError::Documents(_) => Failed::new(Exit::Storage, message),
        EngineError::UnknownRun(_)
        | EngineError::StartedDifferently(_)
        | EngineError::MissingDocument { .. }
        | EngineError::Unstartable(_)
        | EngineError::Over(_)
        | EngineError::NotFailed(_)
        | EngineError::UnderWay(_) => Failed::new(Exit::Invalid, message),
        EngineError::Fault { run, .. } => Failed::new(Exit::Fault, message).with_help(format!(
            "nothing is lost; go on with: docket runs resume {run}"
        )),
        EngineError::Parked(run) => Failed::new(Exit::Waits, message)
            .with_help(format!("go on with: docket runs resume {run}")),
        EngineError::Waits { run, path, wait } => {
            Failed::new(Exit::Waits, message).with_help(match wait.as_ref() {
                WaitFor::Approval { .. } => format!(
                    "docket runs approve {run} {path} --by WHO, or reject; then docket runs resume {run}"
                ),
                WaitFor::Event { name } => format!(
                    "docket runs signal {run} {name}; then docket runs resume {run}"
                ),
                _ => format!("docket runs resume {run}"),
            })
        }
    }
}
