//! `docket.lock` of a project: read, written, and held against the plugins.

use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use docket_plugins::pin::{Lock, Refusal};
use docket_sandbox::Plugin;

use crate::exit::{Exit, Failed};
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

/// Writes a file whole: what was there stays until the new text is.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".docket-")
            .tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        #[cfg(unix)]
        {
            // As a file that an editor made; a temporary one is its owner's alone.
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(path).map_or(0o644, |about| about.permissions().mode());
            let mode = std::fs::Permissions::from_mode(mode);
            file.as_file().set_permissions(mode)?;
        }
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    Ok(write()
        .map_err(|error| Failed::new(Exit::Storage, format!("{}: {error}", path.display())))?)
}

/// Refuses a component that is not the one that was approved.
pub(crate) fn check(lock: &Lock, name: &str, plugin: &Plugin, source: &Path) -> Result<()> {
    let source = source.display();
    let add = format!("docket plugins add {source} --as {name}");
    match lock.check(name, plugin.digest(), plugin.manifest()) {
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
