//! `docket plugins list` and `inspect`: what plugins are, ask for and were granted.

use std::path::Path;

use anyhow::Result;
use docket_model::{Digest, RequestRule};
use docket_plugins::pin::Pin;
use docket_sandbox::Plugin;
use serde_json::{Value, json};

use super::{load, quiet_sandbox, read};
use crate::cli::Global;
use crate::exit::{Exit, Failed};
use crate::project::Project;
use crate::render;
use crate::workbench::Workbench;

/// A plugin and what is known of it here.
struct Looked<'a> {
    name: &'a str,
    plugin: &'a Plugin,
    size: u64,
    grants: &'a [RequestRule],
    pin: Option<&'a Pin>,
}

pub(super) async fn list(global: &Global) -> Result<Exit> {
    let bench = Workbench::open(Project::load(global)?).await?;
    let lock = crate::pins::read(&bench.project)?;
    let looked = bench.plugins.iter().map(|(name, held)| Looked {
        name,
        plugin: &held.plugin,
        size: held.size,
        grants: &held.grants,
        pin: lock.plugins.get(name),
    });
    if global.json {
        let list: Vec<Value> = looked.map(|looked| looked.about()).collect();
        render::line(&json!({"plugins": list}).to_string());
        return Ok(Exit::Success);
    }
    let rows: Vec<_> = looked
        .zip(bench.plugins.values())
        .map(|(looked, held)| {
            let manifest = looked.plugin.manifest();
            let actions = manifest.actions.iter().map(|action| action.name.as_str());
            let pinned = if looked.pin.is_some() { "yes" } else { "no" };
            vec![
                looked.name.to_owned(),
                manifest.version.clone(),
                actions.collect::<Vec<_>>().join(" "),
                render::bytes(looked.size),
                pinned.to_owned(),
                held.source.display().to_string(),
            ]
        })
        .collect();
    let head = ["plugin", "version", "actions", "size", "pinned", "source"];
    render::line(&render::table(&head, &rows));
    Ok(Exit::Success)
}

pub(super) async fn inspect(global: &Global, name: &str) -> Result<Exit> {
    let path = Path::new(name);
    if path
        .extension()
        .is_some_and(|extension| extension == "wasm")
    {
        // A component that belongs to no project.
        let bytes = read(path)?;
        let size = bytes.len() as u64;
        let folder = tempfile::tempdir()?;
        let plugin = load(&quiet_sandbox(folder.path())?, name, bytes).await?;
        show(global, &looked(name, &plugin, size));
        return Ok(Exit::Success);
    }
    let bench = Workbench::open(Project::load(global)?).await?;
    let held = bench.plugins.get(name).ok_or_else(|| {
        let known: Vec<&str> = bench.plugins.keys().map(String::as_str).collect();
        Failed::new(Exit::Invalid, format!("docket.yaml has no plugin {name}")).with_help(format!(
            "it has: {}; a file's name ends in .wasm",
            known.join(", ")
        ))
    })?;
    let lock = crate::pins::read(&bench.project)?;
    let looked = Looked {
        name,
        plugin: &held.plugin,
        size: held.size,
        grants: &held.grants,
        pin: lock.plugins.get(name),
    };
    show(global, &looked);
    Ok(Exit::Success)
}

fn looked<'a>(name: &'a str, plugin: &'a Plugin, size: u64) -> Looked<'a> {
    Looked {
        name,
        plugin,
        size,
        grants: &[],
        pin: None,
    }
}

/// Shows a plugin that was not added.
pub(super) fn show_file(global: &Global, name: &str, plugin: &Plugin, size: u64) {
    show(global, &looked(name, plugin, size));
}

fn show(global: &Global, looked: &Looked<'_>) {
    if global.json {
        render::line(&looked.about().to_string());
    } else {
        looked.lines().iter().for_each(|line| render::line(line));
    }
}

impl Looked<'_> {
    fn about(&self) -> Value {
        let pinned: Option<Digest> = self.pin.map(|pin| pin.digest);
        json!({
            "name": self.name,
            "digest": self.plugin.digest(),
            "size": self.size,
            "interface": self.plugin.interface(),
            "imports": self.plugin.imports(),
            "manifest": self.plugin.manifest(),
            "grants": self.grants,
            "pinned": pinned,
        })
    }

    fn lines(&self) -> Vec<String> {
        let manifest = self.plugin.manifest();
        let mut lines = vec![
            format!("{} {}  {}", manifest.id, manifest.version, manifest.summary),
            format!("  {}, {}", self.plugin.digest(), render::bytes(self.size)),
            format!("  interface docket:processor@{}", self.plugin.interface()),
        ];
        let imports = self.plugin.imports().iter();
        let wasi = imports.filter(|name| name.starts_with("wasi:")).count();
        if wasi > 0 {
            lines.push(format!(
                "  imports {wasi} interfaces of WASI, which are inert: no files, no network, a clock \
                 that stands still"
            ));
        }
        if let Some(pin) = self.pin {
            lines.push(format!("  pinned in docket.lock, from {}", pin.source));
        }
        for action in &manifest.actions {
            lines.push(format!(
                "\n{}/{}  {}",
                manifest.id, action.name, action.summary
            ));
            for need in &action.requests {
                let is_granted = self.grants.iter().any(|rule| rule.covers(&need.rule));
                let mark = if is_granted { "granted" } else { "asks   " };
                lines.push(format!(
                    "  {mark} {} {}  {}",
                    need.rule.method, need.rule.url, need.reason
                ));
            }
            for scope in &action.scopes {
                lines.push(format!("  scope   {}  {}", scope.name, scope.reason));
            }
        }
        lines
    }
}
