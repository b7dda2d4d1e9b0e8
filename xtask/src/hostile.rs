//! Runs the hostile plugins against the real host.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{cargo, run};

/// Builds the suite beside everything else, so that nothing is built twice, and runs it.
pub(crate) fn run_suite(root: &Path, as_json: bool) -> Result<ExitCode> {
    let mut build = cargo(root);
    build.args(["build", "--locked", "--workspace"]);
    if run(build)? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    let mut suite = Command::new(root.join("target/debug/docket-hostile"));
    if as_json {
        suite.arg("--json");
    }
    run(suite)
}
