//! JavaScript: npm installs what `package-lock.json` names, and the package's own script builds.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use crate::BuildError;
use crate::process::{Installed, is_at_least, quiet};

/// The oldest Node that `componentize-js` runs on.
const NODE: (u32, u32) = (20, 0);

pub(crate) fn build(
    folder: &Path,
    component: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<(), BuildError> {
    if !is_at_least("node", NODE) {
        return Err(BuildError::new(
            format!("there is no Node {} or later here", NODE.0),
            "install it by your system's packages or from https://nodejs.org",
        ));
    }
    let lock = folder.join("package-lock.json");
    if lock.is_file() {
        let installed = Installed::new(&lock, folder.join("node_modules/.installed.json"))?;
        if !installed.is_current() {
            say("installing what package-lock.json names …");
            npm(folder, &["ci"])?;
            installed.done()?;
        }
    } else if !folder.join("node_modules").is_dir() {
        say("installing what package.json names …");
        npm(folder, &["install"])?;
    }
    say("building with npm …");
    // What an earlier build made must not pass for what this one does.
    match fs::remove_file(component) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(BuildError::io(component, &error));
        }
        _ => {}
    }
    // The component is named by the host, so that a package can be called what it likes.
    let mut build = Command::new("npm");
    build
        .args(["run", "--silent", "build"])
        .current_dir(folder)
        .env("DOCKET_COMPONENT", absolute(component)?);
    quiet(
        &mut build,
        "the package's script `build` must write the component to $DOCKET_COMPONENT",
    )?;
    if component.is_file() {
        return Ok(());
    }
    Err(BuildError::new(
        format!("`npm run build` did not make {}", component.display()),
        "have the package's script `build` write the component to $DOCKET_COMPONENT",
    ))
}

fn npm(folder: &Path, task: &[&str]) -> Result<(), BuildError> {
    let mut install = Command::new("npm");
    install
        .args(task)
        .args([
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ])
        .current_dir(folder);
    quiet(
        &mut install,
        "npm could not install the packages: look at what it says",
    )
}

fn absolute(component: &Path) -> Result<std::path::PathBuf, BuildError> {
    let folder = component.parent().unwrap_or(Path::new("."));
    let whole = fs::canonicalize(folder).map_err(|error| BuildError::io(folder, &error))?;
    Ok(whole.join(component.file_name().unwrap_or_default()))
}
