//! Node and Python for chores, with the packages that lock files name: the machine's where they are
//! new enough, else Debian's Python, and PyPI's Node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The oldest Node that the libraries support.
const NODE: u32 = 20;
/// The oldest Python that the lock files are made for.
const PYTHON: (u32, u32) = (3, 11);

/// A virtual environment with the packages of a lock file, made again only when that changes.
pub(crate) fn venv(root: &Path, work: &Path, lock: &str) -> Result<PathBuf> {
    let folder = work.join(format!("python-{}", lock.trim_end_matches(".txt")));
    let lock = root.join("tests/referees/python").join(lock);
    let wanted =
        fs::read_to_string(&lock).with_context(|| format!("reading {}", lock.display()))?;
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    let python = find_python()?;
    eprintln!("installing {} …", lock.display());
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let made = quiet(Command::new(&python).args(["-m", "venv"]).arg(&folder));
    if made.is_err() {
        // Debian keeps what it takes apart from Python itself.
        crate::guests::install(&["python3-venv"])?;
        quiet(Command::new(&python).args(["-m", "venv"]).arg(&folder))?;
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
    quiet(&mut pip)?;
    fs::write(&stamp, wanted)?;
    Ok(folder)
}

/// Python: the one first in the path, or the system's, which is installed where there is neither.
pub(crate) fn find_python() -> Result<PathBuf> {
    let good = |program: &str| -> bool {
        let asked = Command::new(program).arg("--version").output();
        asked.is_ok_and(|answer| version(&String::from_utf8_lossy(&answer.stdout)) >= Some(PYTHON))
    };
    for attempt in 0..2 {
        for program in ["python3", "/usr/bin/python3"] {
            if good(program) {
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
    let lock = fs::read_to_string(source.join("package-lock.json"))?;
    let stamp = folder.join("installed.json");
    if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        eprintln!(
            "installing {} …",
            source.join("package-lock.json").display()
        );
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
        quiet(&mut install)?;
        fs::write(&stamp, lock)?;
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
    let asked = Command::new("node").arg("--version").output();
    let is_new = asked.is_ok_and(|answer| {
        let text = String::from_utf8_lossy(&answer.stdout);
        version(text.trim_start_matches('v')).is_some_and(|(major, _)| major >= NODE)
    });
    let has_npm = Command::new("npm")
        .arg("--version")
        .output()
        .is_ok_and(|answer| answer.status.success());
    if is_new && has_npm {
        return Ok(("node".into(), "npm".into()));
    }
    let venv = venv(root, work, "requirements-node.txt").with_context(|| {
        format!("there is no Node {NODE} or later here, and it cannot be installed")
    })?;
    Ok((venv.join("bin/node"), venv.join("bin/npm")))
}

/// Major and minor of `3.11.2`, or of a line that ends with it.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split_whitespace().last()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Runs a command whose output matters only when it fails.
fn quiet(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    ensure!(
        output.status.success(),
        "{program} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions() {
        let check = |text: &str, expected| assert_eq!(version(text), expected, "{text}");
        check("Python 3.11.2\n", Some((3, 11)));
        check("20.20.2", Some((20, 20)));
        check("", None);
        check("none", None);
    }
}
