//! What those need who write workflows: the project, and what its plugins say of themselves. Nothing
//! of it touches the journal or the vault, so it works beside `docket serve`, and in a folder that
//! nobody may write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use docket_engine::Documents;
use docket_journal::MemoryDocuments;
use docket_model::{Catalog, Diagnostics, Plan, SourceFile};
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
    /// The folder with the components and their compiled code: the project's, unless nobody may write
    /// there.
    pub(crate) components: PathBuf,
    catalog: Catalog,
    _folder: Option<TempDir>,
}

impl Workbench {
    /// Loads the plugins of a project.
    pub(crate) async fn open(project: Project) -> Result<Self> {
        let can_keep = host::make_private(&project.data)
            .and_then(|()| std::fs::create_dir_all(project.data.join("cache")))
            .is_ok();
        let folder = match can_keep {
            true => None,
            false => Some(tempfile::tempdir()?),
        };
        let components = folder
            .as_ref()
            .map_or(project.data.as_path(), |folder| folder.path())
            .to_owned();
        let documents: Arc<dyn Documents> = Arc::new(MemoryDocuments::new());
        let sandbox = host::sandbox(&components, &documents, Arc::new(Nowhere))?;
        let plugins = host::install(&project, &sandbox).await?;
        let catalog = host::catalog(&project.spec, &plugins);
        Ok(Self {
            project,
            plugins,
            components,
            catalog,
            _folder: folder,
        })
    }

    /// Loads each plugin that can be loaded, and says of the others why not. Of the project's folders
    /// nothing is changed; compiled code is added to the cache, where there is one.
    pub(crate) async fn look(project: Project) -> Result<(Self, BTreeMap<String, anyhow::Error>)> {
        let folder = tempfile::tempdir()?;
        let components = folder.path().join("components");
        let documents: Arc<dyn Documents> = Arc::new(MemoryDocuments::new());
        let open = |cache: PathBuf| {
            host::sandbox_in(components.clone(), cache, &documents, Arc::new(Nowhere))
        };
        let cache = project.data.join("cache");
        // The sandbox would have it private.
        let is_own = cache.is_dir() && host::seen_by_others(&cache).is_none();
        let own = is_own.then(|| open(cache).ok()).flatten();
        let sandbox = match own {
            Some(sandbox) => sandbox,
            None => open(folder.path().join("cache"))?,
        };
        let lock = crate::pins::read(&project).unwrap_or_default();
        let (mut plugins, mut refused) = (BTreeMap::new(), BTreeMap::new());
        for (name, spec) in &project.spec.plugins {
            match host::install_one(&project, &sandbox, &lock, name, spec).await {
                Ok(plugin) => drop(plugins.insert(name.clone(), plugin)),
                Err(error) => drop(refused.insert(name.clone(), error)),
            }
        }
        let catalog = host::catalog(&project.spec, &plugins);
        let bench = Self {
            project,
            plugins,
            components: folder.path().to_owned(),
            catalog,
            _folder: Some(folder),
        };
        Ok((bench, refused))
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
