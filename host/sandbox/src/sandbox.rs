//! The sandbox: the engine, the components that it keeps, and the plugins made of them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use docket_engine::Documents;
use docket_model::Digest;
use tokio::sync::{Mutex, Semaphore};
use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use crate::attempt::Attempt;
use crate::bindings::{Processor, ProcessorPre, actions};
use crate::cache::Cache;
use crate::engine::Engine;
use crate::inspect::{Outline, inspect};
use crate::{ComponentStore, Egress, Limits, LoadError, Plugin, manifest, trap, wasi};

/// Where the sandbox keeps its things, and what guests may use up.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// The folder of components, kept for as long as a run may need them.
    pub components: PathBuf,
    /// The folder of compiled components, which may be lost at any time.
    pub cache: PathBuf,
    /// The limits of each attempt.
    pub limits: Limits,
}

/// Loads plugins and runs attempts. Needs a tokio runtime with its timer on.
pub struct Sandbox {
    pub(crate) shared: Arc<Shared>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) egress: Arc<dyn Egress>,
    pub(crate) slots: Semaphore,
    plugins: RwLock<HashMap<Digest, Arc<Plugin>>>,
    /// Held while a plugin is made: many runs may need the same one at once, as after a restart.
    loading: Mutex<()>,
}

/// What loading needs, also on a thread of its own.
pub(crate) struct Shared {
    engine: Engine,
    linker: Linker<Attempt>,
    cache: Cache,
    components: ComponentStore,
}

impl Sandbox {
    /// Starts the engine.
    ///
    /// # Errors
    /// [`LoadError::Io`] for a folder that cannot be used, [`LoadError::Engine`] for a machine that
    /// does not give the address space.
    pub fn new(
        config: SandboxConfig,
        documents: Arc<dyn Documents>,
        egress: Arc<dyn Egress>,
    ) -> Result<Self, LoadError> {
        let engine = Engine::new(&config.limits)?;
        let components = ComponentStore::open(config.components)?;
        let cache =
            Cache::open(&config.cache, engine.wasmtime()).map_err(|source| LoadError::Io {
                path: config.cache,
                source,
            })?;
        let mut linker = Linker::new(engine.wasmtime());
        Processor::add_to_linker::<_, HasSelf<_>>(&mut linker, |attempt: &mut Attempt| attempt)
            .map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        let slots = Semaphore::new(config.limits.instances as usize);
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                linker,
                cache,
                components,
            }),
            limits: Arc::new(config.limits),
            documents,
            egress,
            slots,
            plugins: RwLock::default(),
            loading: Mutex::default(),
        })
    }

    /// Checks and compiles a component, and asks it what it is; keeps nothing but the compiled code.
    /// Compiling takes about a second for each megabyte, on a thread that may block.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load(&self, bytes: Vec<u8>) -> Result<Arc<Plugin>, LoadError> {
        let digest = Digest::of(&bytes);
        self.once(digest, async { Ok(bytes) }).await
    }

    /// A plugin that is loaded, or is made of the bytes of that digest.
    async fn once(
        &self,
        digest: Digest,
        bytes: impl Future<Output = Result<Vec<u8>, LoadError>>,
    ) -> Result<Arc<Plugin>, LoadError> {
        if let Some(plugin) = self.loaded(digest) {
            return Ok(plugin);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(plugin) = self.loaded(digest) {
            return Ok(plugin);
        }
        let bytes = bytes.await?;
        let size = bytes.len() as u64;
        let (shared, limits) = (Arc::clone(&self.shared), Arc::clone(&self.limits));
        let compile = move || shared.compile(digest, &bytes, &limits);
        let (outline, pre) = tokio::task::spawn_blocking(compile)
            .await
            .map_err(|error| LoadError::Engine(error.to_string()))??;
        let described = self.describe(&pre).await?;
        let (manifest, schemas) = manifest::read(described)?;
        let plugin = Arc::new(Plugin {
            digest,
            size,
            outline,
            manifest,
            schemas,
            pre,
        });
        let mut plugins = self.plugins.write().unwrap_or_else(PoisonError::into_inner);
        plugins.insert(digest, Arc::clone(&plugin));
        Ok(plugin)
    }

    /// The same, and keeps the component, so that runs that are pinned to it outlive the process.
    ///
    /// # Errors
    /// [`LoadError`]; a component that does not load is not kept.
    pub async fn add(&self, bytes: Vec<u8>) -> Result<Arc<Plugin>, LoadError> {
        let plugin = self.load(bytes.clone()).await?;
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || shared.components.put(&bytes))
            .await
            .map_err(|error| LoadError::Engine(error.to_string()))??;
        Ok(plugin)
    }

    /// A plugin by its component's digest, from memory or from the component store.
    ///
    /// # Errors
    /// [`LoadError::Missing`] for a component that was never added.
    pub async fn plugin(&self, digest: Digest) -> Result<Arc<Plugin>, LoadError> {
        let shared = Arc::clone(&self.shared);
        self.once(digest, async move {
            tokio::task::spawn_blocking(move || shared.components.get(digest))
                .await
                .map_err(|error| LoadError::Engine(error.to_string()))??
                .ok_or(LoadError::Missing(digest))
        })
        .await
    }

    /// Makes an instance and drops it; for benchmarks.
    #[doc(hidden)]
    pub async fn instantiate(&self, plugin: &Plugin) -> bool {
        let mut store = self.store(Attempt::describing(&self.limits));
        plugin.pre.instantiate_async(&mut store).await.is_ok()
    }

    /// Maps a compiled component from the cache and drops it; for benchmarks.
    #[doc(hidden)]
    #[must_use]
    pub fn map_cached(&self, digest: Digest) -> bool {
        self.shared
            .cache
            .load(self.shared.engine.wasmtime(), digest)
            .is_some()
    }

    fn loaded(&self, digest: Digest) -> Option<Arc<Plugin>> {
        self.plugins
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&digest)
            .cloned()
    }

    /// Calls `describe` in an instance without any capability.
    async fn describe(&self, pre: &ProcessorPre<Attempt>) -> Result<actions::Manifest, LoadError> {
        let _slot = self
            .slots
            .acquire()
            .await
            .map_err(|e| LoadError::Engine(e.to_string()))?;
        let mut store = self.store(Attempt::describing(&self.limits));
        let described = async {
            let plugin = pre.instantiate_async(&mut store).await?;
            plugin
                .docket_processor_actions()
                .call_describe(&mut store)
                .await
        };
        match described.await {
            Ok(manifest) => Ok(manifest),
            Err(error) => match trap::failure_of(error, store.into_data().end(), &self.limits) {
                Ok(failure) => Err(LoadError::Describe(Box::new(failure))),
                Err(stop) => Err(LoadError::Engine(stop.to_string())),
            },
        }
    }

    /// A store with every limit set.
    pub(crate) fn store(&self, attempt: Attempt) -> Store<Attempt> {
        let mut store = Store::new(self.shared.engine.wasmtime(), attempt);
        store.limiter(|attempt| &mut attempt.meter);
        store.set_hostcall_fuel(self.limits.call_bytes);
        if let Some(fuel) = self.limits.fuel {
            // It fails only where the engine does not count, and this one does.
            let _ = store.set_fuel(fuel);
        }
        store.epoch_deadline_callback(|mut context| {
            context
                .data_mut()
                .meter
                .tick()
                .map_err(wasmtime::Error::new)
        });
        store.set_epoch_deadline(1);
        store
    }
}

impl Shared {
    fn compile(
        &self,
        digest: Digest,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<(Outline, ProcessorPre<Attempt>), LoadError> {
        let outline = inspect(bytes, limits)?;
        let engine = self.engine.wasmtime();
        let component = match self.cache.load(engine, digest) {
            Some(component) => component,
            None => self
                .cache
                .compile(engine, digest, bytes)
                .map_err(|error| LoadError::Malformed(format!("{error:#}")))?,
        };
        let mismatch = |error: wasmtime::Error| LoadError::Mismatch(format!("{error:#}"));
        let pre = if outline.has_wasi() {
            let mut linker = self.linker.clone();
            wasi::link(&mut linker, &component).map_err(mismatch)?;
            linker.instantiate_pre(&component)
        } else {
            self.linker.instantiate_pre(&component)
        };
        let pre = ProcessorPre::new(pre.map_err(mismatch)?).map_err(mismatch)?;
        Ok((outline, pre))
    }
}
