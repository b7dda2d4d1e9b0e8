//! `docket plugins`: makes, tests and adds plugins, and shows what they ask for.

mod add;
mod fetch;
mod look;
mod make;
mod test;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use docket_sandbox::{Limits, Plugin, Sandbox, SandboxConfig};

use crate::cli::{Global, PluginsCommand};
use crate::exit::{Exit, Failed};
use crate::host;

pub(crate) async fn run(global: &Global, command: PluginsCommand) -> Result<Exit> {
    match command {
        PluginsCommand::List => look::list(global).await,
        PluginsCommand::Inspect { plugin } => look::inspect(global, &plugin).await,
        PluginsCommand::Add(arguments) => add::run(global, &arguments).await,
        PluginsCommand::Fetch => fetch::run(global).await,
        PluginsCommand::Push { plugin, reference } => {
            fetch::push(global, &plugin, &reference).await
        }
        PluginsCommand::New(arguments) => make::new(global, &arguments),
        PluginsCommand::Build { folder } => make::build(global, &folder),
        PluginsCommand::Check { plugin } => test::check(global, &plugin).await,
        PluginsCommand::Test(arguments) => test::run(global, &arguments).await,
    }
}

/// A sandbox that keeps components and compiled code in a folder, and from which nothing leaves.
fn quiet_sandbox(folder: &Path) -> Result<Sandbox> {
    let limits = Limits {
        instances: 2,
        ..Limits::default()
    };
    let config = SandboxConfig {
        components: folder.join("components"),
        cache: folder.join("cache"),
        limits,
    };
    let documents = Arc::new(docket_journal::MemoryDocuments::new());
    let egress = Arc::new(crate::egress::Nowhere);
    let name = folder.display().to_string();
    Ok(
        Sandbox::new(config, documents, egress)
            .map_err(|error| host::load_failed(&name, &error))?,
    )
}

/// Loads a component, and keeps nothing of it but its compiled code.
async fn load(sandbox: &Sandbox, name: &str, bytes: Vec<u8>) -> Result<Arc<Plugin>> {
    let loaded = sandbox.load(bytes).await;
    Ok(loaded.map_err(|error| host::load_failed(name, &error))?)
}

/// A component's file: the given one, or the one that a plugin's folder was built into.
fn component_file(plugin: &Path) -> Result<PathBuf> {
    if !plugin.is_dir() {
        return Ok(plugin.to_owned());
    }
    let built = docket_toolchain::component_file(plugin).map_err(|error| make::failed(&error))?;
    if built.is_file() {
        return Ok(built);
    }
    Err(
        Failed::new(Exit::Invalid, format!("{} is not there", built.display()))
            .with_help("build the plugin first: docket plugins build")
            .into(),
    )
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path);
    let bytes = bytes
        .map_err(|error| Failed::new(Exit::Invalid, format!("{}: {error}", path.display())))?;
    Ok(bytes)
}
