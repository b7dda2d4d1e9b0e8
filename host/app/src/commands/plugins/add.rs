//! `docket plugins add`: shows what a plugin asks for, asks, and pins it.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use docket_model::{Digest, Manifest};
use docket_plugins::pin::{Asks, Lock, Pin, Source, set_source};
use docket_sandbox::Plugin;
use serde_json::json;

use super::fetch;
use crate::cli::{AddArgs, Global};
use crate::exit::{Exit, Failed};
use crate::files;
use crate::host;
use crate::pins;
use crate::project::Project;
use crate::render::{self, note};

pub(super) async fn run(global: &Global, arguments: &AddArgs) -> Result<Exit> {
    let project = Project::load(global)?;
    let lock = pins::read(&project)?;
    let source: Source =
        arguments
            .source
            .parse()
            .map_err(|error: docket_plugins::pin::InvalidSource| {
                Failed::new(Exit::Usage, error.to_string())
            })?;
    let bytes = fetch::component(&project, &source, arguments.digest).await?;
    let written = match &source {
        Source::File(path) => from_root(&project, path)?,
        remote => remote.to_string(),
    };
    let digest = Digest::of(&bytes);
    let sandbox = fetch::keeper(&project)?;
    let size = bytes.len() as u64;
    // Kept only once it is approved.
    let plugin = super::load(&sandbox, &source.to_string(), bytes.clone()).await?;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => plugin.manifest().id.clone(),
    };
    let yaml = project.root.join("docket.yaml");
    let text = std::fs::read_to_string(&yaml)?;
    // Before anybody is asked: a project that cannot be changed should say so first.
    let changed = set_source(&text, &name, &written)
        .map_err(|error| Failed::new(Exit::Invalid, error.to_string()).with_help(error.help()))?;

    let before = lock.plugins.get(&name);
    show(&name, &plugin, size, before);
    if before.is_some_and(|pin| pin.digest == digest && pin.source == written) && text == changed {
        note!("{name} is pinned already.");
        return Ok(done(global, &name, &plugin));
    }
    approve(arguments.yes, &name)?;

    sandbox
        .add(bytes)
        .await
        .map_err(|error| host::load_failed(&name, &error))?;
    let mut lock = lock.clone();
    let pin = Pin::new(written, digest, plugin.manifest());
    lock.plugins.insert(name.clone(), pin);
    keep(
        &project,
        &lock,
        (text != changed).then_some(changed.as_str()),
    )?;
    note!("{name} is added: docket.yaml names it, and docket.lock pins it.");
    for (other, spec) in &project.spec.plugins {
        if !lock.plugins.contains_key(other) {
            let source = spec.source.display();
            note!("{other} is not in docket.lock: docket plugins add {source} --as {other}");
        }
    }
    Ok(done(global, &name, &plugin))
}

fn done(global: &Global, name: &str, plugin: &Arc<Plugin>) -> Exit {
    if global.json {
        let asks = Asks::of(plugin.manifest());
        let digest = plugin.digest();
        render::line(&json!({"name": name, "digest": digest, "asks": asks}).to_string());
    }
    Exit::Success
}

/// A file as `docket.yaml` names it: from the project's folder where it lies in it, else whole.
fn from_root(project: &Project, path: &Path) -> Result<String> {
    let whole = |path: &Path| {
        let found = std::fs::canonicalize(path);
        found.map_err(|error| Failed::new(Exit::Invalid, format!("{}: {error}", path.display())))
    };
    let (whole, root) = (whole(path)?, whole(&project.root)?);
    let written = whole.strip_prefix(&root).unwrap_or(&whole);
    Ok(written.display().to_string())
}

/// The lock first: with it alone a project refuses the plugin, and never uses one unseen.
fn keep(project: &Project, lock: &Lock, yaml: Option<&str>) -> Result<()> {
    pins::write(project, lock)?;
    if let Some(yaml) = yaml {
        files::write_whole(&project.root.join("docket.yaml"), yaml)?;
    }
    Ok(())
}

/// Shows all that is asked for, or, of an update, what changes.
fn show(name: &str, plugin: &Plugin, size: u64, before: Option<&Pin>) {
    let manifest = plugin.manifest();
    note!(
        "{name}: {} {}  {}",
        manifest.id,
        manifest.version,
        manifest.summary
    );
    note!("  {}, {}", plugin.digest(), render::bytes(size));
    let asks = Asks::of(manifest);
    let Some(pin) = before else {
        if asks.is_empty() {
            note!("It asks for nothing: no requests and no scopes.");
        } else {
            note!("It asks for:");
            asks.lines().iter().for_each(|line| {
                note!("  {line}");
                reasons(manifest, line)
                    .iter()
                    .for_each(|why| note!("      {why}"));
            });
        }
        return;
    };
    note!("It replaces version {} ({}).", pin.version, pin.digest);
    let more = asks.beyond(&pin.asks);
    let less = pin.asks.beyond(&asks);
    if more.is_empty() {
        note!("It asks for nothing more than was approved.");
    } else {
        note!("It asks for more than was approved:");
        more.lines().iter().for_each(|line| {
            note!("  + {line}");
            reasons(manifest, line)
                .iter()
                .for_each(|why| note!("      {why}"));
        });
    }
    less.lines().iter().for_each(|line| note!("  - {line}"));
}

/// Why a request or a scope is asked for, once for each reason, with the actions.
fn reasons(manifest: &Manifest, line: &str) -> Vec<String> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for action in &manifest.actions {
        let requests = action.requests.iter().map(|need| {
            let line = format!("{} {}", need.rule.method, need.rule.url);
            (line, &need.reason)
        });
        let scopes = action.scopes.iter().flat_map(|scope| {
            let names = [
                Some(&scope.name),
                scope.shared.as_ref(),
                scope.application.as_ref(),
            ];
            let names = names.into_iter().flatten();
            names.map(|name| (format!("scope {name}"), &scope.reason))
        });
        for (_, reason) in requests.chain(scopes).filter(|(asked, _)| asked == line) {
            match found.iter_mut().find(|(known, _)| known == reason) {
                Some((_, actions)) if actions.contains(&action.name.as_str()) => {}
                Some((_, actions)) => actions.push(&action.name),
                None => found.push((reason.clone(), vec![&action.name])),
            }
        }
    }
    found
        .into_iter()
        .map(|(reason, actions)| format!("{}: {reason}", actions.join(", ")))
        .collect()
}

/// Asks a person, and never takes silence for a yes.
fn approve(yes: bool, name: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    let refused = |why: &str| {
        Failed::new(Exit::Invalid, format!("{name} was not added: {why}"))
            .with_help("look at what it asks for; --yes approves it without a question")
    };
    if !std::io::stdin().is_terminal() {
        return Err(refused("nobody is there to approve it").into());
    }
    note!("Add it? [y/N]");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused("it was not approved").into()),
    }
}
