//! Kills the serving process at random, and counts the mails.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::run;

/// Builds the host and its tormentor, and lets it rage for so many rounds.
pub(crate) fn rage(root: &Path, rounds: u32, seed: u64, as_json: bool) -> Result<ExitCode> {
    crate::build(root, &["--bin", "docket", "--bin", "docket-chaos"])?;
    let mut chaos = Command::new(root.join("target/debug/docket-chaos"));
    chaos.args(["--rounds", &rounds.to_string(), "--seed", &seed.to_string()]);
    if as_json {
        chaos.arg("--json");
    }
    run(chaos)
}
