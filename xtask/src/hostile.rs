//! Runs the hostile plugins against the real host.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::run;

/// Builds the suite and runs it.
pub(crate) fn run_suite(root: &Path, as_json: bool) -> Result<ExitCode> {
    crate::build(root, &["--bin", "docket-hostile"])?;
    let mut suite = Command::new(root.join("target/debug/docket-hostile"));
    if as_json {
        suite.arg("--json");
    }
    run(suite)
}
