//! What those need who write workflows: the project, and what its plugins say of themselves. Nothing
//! of it touches the journal or the vault, so it works beside `docket serve`, and in a folder that
//! nobody may write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use docket_engine::Documents;
use docket_journal::MemoryDocuments;
use docket_model::{Catalog, Diagnostics, Plan, SourceFile};
use docket_sandbox::{Limits, Sandbox, SandboxConfig};
use tempfile::TempDir;

use crate::egress::Nowhere;
use crate::exit::{Exit, Failed};
use crate::host::{self, Installed};
use crate::project::{self, Project};
use crate::render;

/// A project with its plugins loaded.
pub(crate) struct Workbench {
    pub(crate) project: Project,
    pub(crate) plugins: BTreeMap<String, Installed>,
    /// Where compiled components are kept.
    pub(crate) cache: PathBuf,
    catalog: Catalog,
    /// Where the components lie while this lives.
    _components: TempDir,
}

impl Workbench {
    /// Loads the plugins of a project.
    pub(crate) async fn open(project: Project) -> Result<Self> {
        let components = tempfile::tempdir()?;
        let cache = project.data.join("cache");
        // Compiled code is kept where runs look for it, unless nobody may write there.
        let can_keep = host::make_private(&project.data)
            .and_then(|()| std::fs::create_dir_all(&cache))
            .is_ok();
        let cache = match can_keep {
            true => cache,
            false => components.path().join("cache"),
        };
        let config = SandboxConfig {
            components: components.path().join("components"),
            cache: cache.clone(),
            limits: Limits::default(),
        };
        let documents: Arc<dyn Documents> = Arc::new(MemoryDocuments::new());
        let sandbox = Sandbox::new(config, documents, Arc::new(Nowhere))
            .context("the sandbox does not start")?;
        let plugins = host::install(&project, &sandbox).await?;
        let catalog = host::catalog(&project.spec, &plugins);
        Ok(Self {
            project,
            plugins,
            cache,
            catalog,
            _components: components,
        })
    }

    /// What workflows are checked against.
    pub(crate) const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Checks a workflow and gives what was found.
    pub(crate) fn check(&self, source: &SourceFile, file: &Path) -> (Option<Plan>, Diagnostics) {
        check(&self.catalog, source, file)
    }

    /// The plan of a workflow; its problems are printed.
    pub(crate) fn plan(&self, file: &Path) -> Result<Plan> {
        plan(&self.catalog, file)
    }
}

/// Checks a workflow and gives what was found. Body templates lie below its folder.
pub(crate) fn check(
    catalog: &Catalog,
    source: &SourceFile,
    file: &Path,
) -> (Option<Plan>, Diagnostics) {
    let folder = file.parent().unwrap_or(Path::new(""));
    let load = |name: &str| project::read_template(folder, name);
    docket_model::validate(source, catalog, &load)
}

/// The plan of a workflow; its problems are printed.
pub(crate) fn plan(catalog: &Catalog, file: &Path) -> Result<Plan> {
    let source = project::read_source(file)?;
    let (plan, found) = check(catalog, &source, file);
    render::diagnostics(&found);
    plan.ok_or_else(|| {
        Failed::new(
            Exit::Invalid,
            format!("{} cannot run as it is", file.display()),
        )
        .into()
    })
}
