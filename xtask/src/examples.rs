//! Builds and tests the example plugins, and a new project of each template, from a clean state:
//! `cargo xtask examples`.
//!
//! Each example is copied below `target/examples`, where its tools are installed by its lock file, and goes
//! through what its maker would do: `docket plugins build`, `check` and `test`. The last line on
//! standard output counts the cases: `{"passed":39,"failed":0,"skipped":0}`.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::tally::Tally;

/// The languages, by the names of the examples' folders and of the templates; and the program without
/// which they are skipped.
const LANGUAGES: [(&str, Option<&str>); 3] = [
    ("rust", None),
    ("js", Some("node")),
    ("python", Some("python3")),
];

/// What building leaves behind, and no example's source.
const MADE: [&str; 4] = ["build", "node_modules", "target", "__pycache__"];

/// Builds and tests the examples, and a new project of each template (`new-rust`), whose name holds
/// `only`.
pub(crate) fn run(root: &Path, only: Option<&str>) -> Result<ExitCode> {
    let mut build = crate::cargo(root);
    // Of the whole workspace, as the tests build it, so that nothing is built twice.
    build.args([
        "build",
        "--quiet",
        "--locked",
        "--workspace",
        "--bin",
        "docket",
    ]);
    ensure!(build.status()?.success(), "docket does not build");
    let docket = root.join("target/debug/docket");
    let mut tally = Tally::default();
    for (language, needs) in LANGUAGES {
        let template = format!("new-{language}");
        for name in [language, &template] {
            if only.is_some_and(|part| !name.contains(part)) {
                continue;
            }
            if let Some(program) = needs.filter(|program| !runs(program)) {
                eprintln!("{name} is skipped: there is no {program} here");
                tally.skipped += 1;
                continue;
            }
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

fn runs(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|answer| answer.status.success())
}

/// Builds, checks and tests one example or new project, and says how many cases passed and failed.
fn example(root: &Path, docket: &Path, language: &str, name: &str) -> Result<(u64, u64)> {
    let place = root.join("target/examples");
    let folder = place.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    if name == language {
        copy(&root.join("plugins/examples").join(name), &folder)?;
    } else {
        fs::create_dir_all(&place)?;
        let status = Command::new(docket)
            .args(["plugins", "new", name, "--lang", language, "--in"])
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
        let status = plugins(docket, step, &folder)
            .stdout(Stdio::null())
            .status()?;
        ensure!(
            status.success(),
            "`docket plugins {step}` ended with {status}"
        );
    }
    let output = plugins(docket, "test", &folder)
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

/// Where the examples are.
fn examples_folder(folder: &Path) -> &Path {
    folder.parent().unwrap_or(folder)
}

fn plugins(docket: &Path, step: &str, folder: &Path) -> Command {
    eprintln!("docket plugins {step} {}", folder.display());
    let mut command = Command::new(docket);
    command
        .args(["plugins", step])
        .arg(folder)
        // One for both packages in Rust, so that what they share is built once.
        .env("CARGO_TARGET_DIR", examples_folder(folder).join("cargo"))
        .stdin(Stdio::null());
    command
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
