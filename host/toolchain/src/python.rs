//! Python: `componentize-py`, as `requirements.txt` names it, in a virtual environment of the folder's
//! own, makes a component of `plugin.py` and all that it imports.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::BuildError;
use crate::process::{Installed, is_at_least, quiet};

/// The oldest Python that `componentize-py` runs on.
const PYTHON: (u32, u32) = (3, 10);

pub(crate) fn build(
    folder: &Path,
    component: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<(), BuildError> {
    let tools = environment(folder, say)?;
    say("building with componentize-py …");
    let mut build = Command::new(tools.join("componentize-py"));
    build
        .args(["--wit-path", "wit", "--world", "processor"])
        .args(["componentize", "plugin", "--output"])
        .arg(Path::new("build").join(component.file_name().unwrap_or_default()))
        .current_dir(folder);
    quiet(
        &mut build,
        "mend what it says in plugin.py, and build again",
    )
}

/// The programs of the virtual environment, made again only when `requirements.txt` changes.
fn environment(folder: &Path, say: &mut dyn FnMut(&str)) -> Result<PathBuf, BuildError> {
    // From the folder itself: that is where its programs are started.
    let whole = fs::canonicalize(folder).map_err(|error| BuildError::io(folder, &error))?;
    let place = whole.join("build/python");
    let programs = place.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let installed = Installed::new(&whole.join("requirements.txt"), place.join("installed.txt"))?;
    if installed.is_current() {
        return Ok(programs);
    }
    let python = ["python3", "python", "/usr/bin/python3"]
        .into_iter()
        .find(|program| is_at_least(program, PYTHON))
        .ok_or_else(|| {
            BuildError::new(
                format!("there is no Python {}.{} or later here", PYTHON.0, PYTHON.1),
                "install it by your system's packages or from https://python.org",
            )
        })?;
    say("installing what requirements.txt names …");
    if place.exists() {
        fs::remove_dir_all(&place).map_err(|error| BuildError::io(&place, &error))?;
    }
    quiet(
        Command::new(python).args(["-m", "venv"]).arg(&place),
        "on Debian, `apt-get install python3-venv` brings what it lacks",
    )?;
    let mut install = Command::new(programs.join("python"));
    install
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--only-binary", ":all:", "-r", "requirements.txt"])
        .current_dir(&whole);
    quiet(
        &mut install,
        "pip could not install the packages: look at what it says",
    )?;
    installed.done()?;
    Ok(programs)
}
