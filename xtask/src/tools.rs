//! Node and Python for chores, with the packages that lock files name: the machine's where they are
//! new enough, else Debian's Python, and PyPI's Node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use docket_toolchain::process::{Installed, is_at_least, quiet};

/// The oldest Node that the libraries support.
const NODE: (u32, u32) = (20, 0);
/// What to do where a tool fails.
const HELP: &str =
    "look at what it said above, mostly a registry that cannot be reached, and call again";
/// The oldest Python that the lock files are made for.
const PYTHON: (u32, u32) = (3, 11);

/// A virtual environment with the packages of a lock file, made again only when that changes.
pub(crate) fn venv(root: &Path, work: &Path, lock: &str) -> Result<PathBuf> {
    let folder = work.join(format!("python-{}", lock.trim_end_matches(".txt")));
    let lock = root.join("tests/referees/python").join(lock);
    let installed = Installed::new(&lock, folder.join("installed.txt"))?;
    if installed.is_current() {
        return Ok(folder);
    }
    let python = find_python()?;
    eprintln!("installing {} …", lock.display());
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let made = quiet(
        Command::new(&python).args(["-m", "venv"]).arg(&folder),
        HELP,
    );
    if made.is_err() {
        // Debian keeps what it takes apart from Python itself.
        crate::guests::install(&["python3-venv"])?;
        quiet(
            Command::new(&python).args(["-m", "venv"]).arg(&folder),
            HELP,
        )?;
    }
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args([
        "--no-compile",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "-r",
    ])
    .arg(&lock);
    quiet(&mut pip, HELP)?;
    installed.done()?;
    Ok(folder)
}

/// Python: the one first in the path, or the system's, which is installed where there is neither.
pub(crate) fn find_python() -> Result<PathBuf> {
    for attempt in 0..2 {
        for program in ["python3", "/usr/bin/python3"] {
            if is_at_least(program, PYTHON) {
                return Ok(program.into());
            }
        }
        if attempt == 0 {
            crate::guests::install(&["python3", "python3-venv"])?;
        }
    }
    bail!("there is no Python {}.{} or later here", PYTHON.0, PYTHON.1)
}

/// Installs what the lock file in `source` names into `folder`, again only when that changes; gives
/// the Node to run it with.
pub(crate) fn install_node(
    root: &Path,
    work: &Path,
    source: &Path,
    folder: &Path,
) -> Result<PathBuf> {
    let (program, npm) = find_node(root, work)?;
    let lock = source.join("package-lock.json");
    let installed = Installed::new(&lock, folder.join("installed.json"))?;
    if !installed.is_current() {
        eprintln!("installing {} …", lock.display());
        fs::create_dir_all(folder)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), folder.join(file))?;
        }
        let mut install = Command::new(npm);
        install
            .args([
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ])
            .current_dir(folder);
        // npm is a script that looks for the node beside it.
        put_first(&mut install, &program)?;
        quiet(&mut install, HELP)?;
        installed.done()?;
    }
    Ok(program)
}

/// Has a command find this program, and what lies beside it, before others of the name.
pub(crate) fn put_first(command: &mut Command, program: &Path) -> Result<()> {
    if let Some(folder) = program.parent().filter(|folder| folder.is_absolute()) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(paths)?);
    }
    Ok(())
}

/// Node and npm: the machine's where they are new enough, else those that PyPI has.
pub(crate) fn find_node(root: &Path, work: &Path) -> Result<(PathBuf, PathBuf)> {
    let has_npm = Command::new("npm")
        .arg("--version")
        .output()
        .is_ok_and(|answer| answer.status.success());
    if is_at_least("node", NODE) && has_npm {
        return Ok(("node".into(), "npm".into()));
    }
    let venv = venv(root, work, "requirements-node.txt").with_context(|| {
        format!(
            "there is no Node {} or later here, and it cannot be installed",
            NODE.0
        )
    })?;
    Ok((venv.join("bin/node"), venv.join("bin/npm")))
}
