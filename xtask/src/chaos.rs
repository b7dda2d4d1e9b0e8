//! Kills the serving process at random, and counts the mails.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{cargo, run};

/// Builds the host and its tormentor, and lets it rage for so many rounds.
pub(crate) fn rage(root: &Path, rounds: u32, seed: u64, as_json: bool) -> Result<ExitCode> {
    let mut build = cargo(root);
    // Of the whole workspace, so that dependencies have the features that they have for the tests.
    build.args(["build", "--locked", "--workspace"]);
    build.args(["--bin", "docket", "--bin", "docket-chaos"]);
    if run(build)? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    let mut chaos = Command::new(root.join("target/debug/docket-chaos"));
    chaos.args(["--rounds", &rounds.to_string(), "--seed", &seed.to_string()]);
    if as_json {
        chaos.arg("--json");
    }
    run(chaos)
}
