//! Builds and tests the example plugins, and a new project of each template, from a clean state:
//! `cargo xtask examples`.
//!
//! Each example is copied below `target/examples`, where its tools are installed by its lock file, and goes
//! through what its maker would do: `docket plugins build`, `check` and `test`. The last line on
//! standard output counts the cases: `{"passed":39,"failed":0,"skipped":0}`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::tally::Tally;
use crate::tools::{find_node, find_python, put_first};

/// The languages, by the names of the examples' folders and of the templates.
const LANGUAGES: [&str; 3] = ["rust", "js", "python"];

/// What building leaves behind, and no example's source.
const MADE: [&str; 4] = ["build", "node_modules", "target", "__pycache__"];

/// Builds and tests the examples, and a new project of each template (`new-rust`), whose name holds
/// `only`.
pub(crate) fn run(root: &Path, only: Option<&str>) -> Result<ExitCode> {
    crate::build(root, &["--quiet", "--bin", "docket"])?;
    let docket = root.join("target/debug/docket");
    let mut tally = Tally::default();
    for language in LANGUAGES {
        let template = format!("new-{language}");
        for name in [language, &template] {
            if only.is_some_and(|part| !name.contains(part)) {
                continue;
            }
            let runtime = match runtime(root, language) {
                Ok(runtime) => runtime,
                Err(error) => {
                    eprintln!("{name} is skipped: {error:#}");
                    tally.skipped += 1;
                    continue;
                }
            };
            let docket = Docket {
                program: &docket,
                runtime: runtime.as_deref(),
            };
            match example(root, &docket, language, name) {
                Ok((passed, failed)) => {
                    tally.passed += passed;
                    tally.failed += failed;
                }
                Err(error) => {
                    eprintln!("{name}: {error:#}");
                    tally.failed += 1;
                }
            }
        }
    }
    Ok(tally.end())
}

/// The Node or Python that a language's tools run on; Rust needs none.
fn runtime(root: &Path, language: &str) -> Result<Option<PathBuf>> {
    Ok(match language {
        "js" => Some(find_node(root, &root.join("target/referees"))?.0),
        "python" => Some(find_python()?),
        _ => None,
    })
}

/// The `docket` that is tried, and what its tools run on.
struct Docket<'p> {
    program: &'p Path,
    runtime: Option<&'p Path>,
}

impl Docket<'_> {
    fn plugins(&self, step: &str) -> Result<Command> {
        let mut command = Command::new(self.program);
        command.args(["plugins", step]).stdin(Stdio::null());
        if let Some(runtime) = self.runtime {
            put_first(&mut command, runtime)?;
        }
        Ok(command)
    }

    /// A step at an example's folder, about to run.
    fn at(&self, step: &str, folder: &Path) -> Result<Command> {
        eprintln!("docket plugins {step} {}", folder.display());
        let mut command = self.plugins(step)?;
        // One for both packages in Rust, so that what they share is built once.
        let target = folder.with_file_name("cargo");
        command.arg(folder).env("CARGO_TARGET_DIR", target);
        Ok(command)
    }
}

/// Builds, checks and tests one example or new project, and says how many cases passed and failed.
fn example(root: &Path, docket: &Docket<'_>, language: &str, name: &str) -> Result<(u64, u64)> {
    let place = root.join("target/examples");
    let folder = place.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    if name == language {
        copy(&root.join("plugins/examples").join(name), &folder)?;
    } else {
        fs::create_dir_all(&place)?;
        let status = docket
            .plugins("new")?
            .args([name, "--lang", language, "--in"])
            .arg(&place)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(status.success(), "`docket plugins new` ended with {status}");
    }
    let manifest = folder.join("Cargo.toml");
    if manifest.exists() {
        // The SDK stays where it is.
        let sdk = root.join("plugins/sdk");
        let text = fs::read_to_string(&manifest)?;
        fs::write(
            &manifest,
            text.replace("../../sdk", &sdk.display().to_string()),
        )?;
    }
    for step in ["build", "check"] {
        let status = docket.at(step, &folder)?.stdout(Stdio::null()).status()?;
        ensure!(
            status.success(),
            "`docket plugins {step}` ended with {status}"
        );
    }
    let output = docket
        .at("test", &folder)?
        .arg("--json")
        .stderr(Stdio::inherit())
        .output()?;
    let report: Value =
        serde_json::from_slice(&output.stdout).context("`docket plugins test` gave no report")?;
    let count = |field: &str| report[field].as_u64();
    match (count("passed"), count("failed")) {
        (Some(passed), Some(failed)) => Ok((passed, failed)),
        _ => anyhow::bail!("`docket plugins test` reported {report}"),
    }
}

/// Copies an example's source; links become what they lead to.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if MADE.iter().any(|made| name == *made) {
            continue;
        }
        let target = to.join(&name);
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
