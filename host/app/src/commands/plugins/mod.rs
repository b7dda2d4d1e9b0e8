//! `docket plugins`: what the plugins are, what they ask for and what they were granted.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use docket_model::{Manifest, RequestRule};
use serde_json::{Value, json};

use crate::cli::{Global, PluginsCommand};
use crate::exit::{Exit, Failed};
use crate::host::{self, Host};
use crate::project::Project;
use crate::render;

pub(crate) async fn run(global: &Global, command: PluginsCommand) -> Result<Exit> {
    match command {
        PluginsCommand::List => {
            let host = Host::open(Project::load(global)?, global).await?;
            if global.json {
                let list: Vec<Value> = host
                    .plugins
                    .iter()
                    .map(|(name, held)| {
                        about(
                            name,
                            held.plugin.manifest(),
                            held.plugin.digest(),
                            held.size,
                            &held.grants,
                        )
                    })
                    .collect();
                render::line(&json!({"plugins": list}).to_string());
            } else {
                let rows: Vec<_> = host
                    .plugins
                    .iter()
                    .map(|(name, held)| {
                        let manifest = held.plugin.manifest();
                        let actions = manifest.actions.iter().map(|action| action.name.as_str());
                        vec![
                            name.clone(),
                            manifest.version.clone(),
                            actions.collect::<Vec<_>>().join(" "),
                            render::bytes(held.size),
                            held.source.display().to_string(),
                        ]
                    })
                    .collect();
                let head = ["plugin", "version", "actions", "size", "source"];
                render::line(&render::table(&head, &rows));
            }
            Ok(Exit::Success)
        }
        PluginsCommand::Inspect { plugin } => {
            let path = Path::new(&plugin);
            if path
                .extension()
                .is_some_and(|extension| extension == "wasm")
            {
                inspect_file(path, global.json).await
            } else {
                let host = Host::open(Project::load(global)?, global).await?;
                let held = host.plugins.get(&plugin).ok_or_else(|| {
                    let known: Vec<&str> = host.plugins.keys().map(String::as_str).collect();
                    Failed::new(Exit::Invalid, format!("docket.yaml has no plugin {plugin}"))
                        .with_help(format!(
                            "it has: {}; a file's name ends in .wasm",
                            known.join(", ")
                        ))
                })?;
                let manifest = held.plugin.manifest();
                show(
                    &plugin,
                    manifest,
                    held.plugin.digest(),
                    held.size,
                    &held.grants,
                    global.json,
                );
                Ok(Exit::Success)
            }
        }
    }
}

/// Looks at a component that belongs to no project.
async fn inspect_file(path: &Path, as_json: bool) -> Result<Exit> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failed::new(Exit::Invalid, format!("{}: {error}", path.display())))?;
    let folder = tempfile::tempdir()?;
    let sandbox = docket_sandbox::Sandbox::new(
        docket_sandbox::SandboxConfig {
            components: folder.path().join("components"),
            cache: folder.path().join("cache"),
            limits: docket_sandbox::Limits::default(),
        },
        Arc::new(docket_journal::MemoryDocuments::new()),
        Arc::new(crate::egress::Nowhere),
    )?;
    let size = bytes.len() as u64;
    let name = path.display().to_string();
    let plugin = sandbox
        .load(bytes)
        .await
        .map_err(|error| host::load_failed(&name, &error))?;
    show(
        &name,
        plugin.manifest(),
        plugin.digest(),
        size,
        &[],
        as_json,
    );
    Ok(Exit::Success)
}

fn about(
    name: &str,
    manifest: &Manifest,
    digest: docket_model::Digest,
    size: u64,
    grants: &[RequestRule],
) -> Value {
    json!({
        "name": name, "digest": digest, "size": size, "manifest": manifest, "grants": grants,
    })
}

fn show(
    name: &str,
    manifest: &Manifest,
    digest: docket_model::Digest,
    size: u64,
    grants: &[RequestRule],
    as_json: bool,
) {
    if as_json {
        render::line(&about(name, manifest, digest, size, grants).to_string());
        return;
    }
    render::line(&format!(
        "{} {}  {}",
        manifest.id, manifest.version, manifest.summary
    ));
    render::line(&format!("  {digest}, {}", render::bytes(size)));
    for action in &manifest.actions {
        render::line(&format!(
            "\n{}/{}  {}",
            manifest.id, action.name, action.summary
        ));
        for need in &action.requests {
            let mark = if grants.contains(&need.rule) {
                "granted"
            } else {
                "asks   "
            };
            render::line(&format!(
                "  {mark} {} {}  {}",
                need.rule.method, need.rule.url, need.reason
            ));
        }
        for scope in &action.scopes {
            render::line(&format!("  scope   {}  {}", scope.name, scope.reason));
        }
    }
}
