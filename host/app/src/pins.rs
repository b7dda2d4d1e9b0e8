//! `docket.lock` of a project: read, written, and held against the plugins.

use std::path::Path;

use anyhow::Result;
use docket_model::SignaturePolicy;
use docket_plugins::pin::{Lock, Refusal};
use docket_sandbox::Plugin;

use crate::exit::{Exit, Failed};
use crate::files;
use crate::project::Project;

/// The file's name, beside `docket.yaml`.
pub(crate) const FILE: &str = "docket.lock";

/// Reads the project's lock; one that is not there pins nothing.
pub(crate) fn read(project: &Project) -> Result<Lock> {
    let path = project.root.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Lock::read(&text).map_err(|error| {
            Failed::new(Exit::Invalid, error.to_string()).with_help(error.help())
        })?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
        Err(error) => {
            Err(Failed::new(Exit::Invalid, format!("{}: {error}", path.display())).into())
        }
    }
}

/// Writes the project's lock.
pub(crate) fn write(project: &Project, lock: &Lock) -> Result<()> {
    files::write_whole(&project.root.join(FILE), &lock.to_text())
}

/// Refuses a component that is not the one that was approved.
pub(crate) fn check(project: &Project, lock: &Lock, name: &str, plugin: &Plugin) -> Result<()> {
    let spec = project.spec.plugins.get(name);
    let source = spec
        .map_or(Path::new(""), |spec| spec.source.as_path())
        .display();
    let add = format!("docket plugins add {source} --as {name}");
    let must_be_signed = project.spec.signatures.policy == SignaturePolicy::Require;
    match lock.check(name, plugin.digest(), plugin.manifest()) {
        // Signatures are looked at when a plugin is added; one that never was has none.
        Ok(()) if must_be_signed && !lock.plugins.contains_key(name) => Err(Failed::new(
            Exit::Invalid,
            format!(
                "the plugin {name} was never added, and `signatures` in docket.yaml requires that \
                 plugins are signed when they are"
            ),
        )
        .with_help(format!("have it signed, and add it: {add}"))
        .into()),
        Ok(()) => Ok(()),
        Err(Refusal::Unknown) => Err(Failed::new(
            Exit::Invalid,
            format!("the plugin {name} is not in docket.lock, where others are"),
        )
        .with_help(format!("look at what it asks for, and approve it: {add}"))
        .into()),
        Err(Refusal::Differs {
            approved,
            version,
            beyond,
        }) => {
            let mut message = format!(
                "the plugin {name} is not the one that was approved: {source} has {}, and \
                 docket.lock pins {approved} (version {version})",
                plugin.digest()
            );
            if !beyond.is_empty() {
                message.push_str("; it asks for more than was approved:");
                for line in beyond.lines() {
                    message.push_str("\n  + ");
                    message.push_str(&line);
                }
            }
            Err(Failed::new(Exit::Invalid, message)
                .with_help(format!(
                    "if the change is meant, approve it: {add}; if not, put the approved component \
                     back"
                ))
                .into())
        }
    }
}
