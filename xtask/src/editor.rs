//! Holds the schemas to the YAML language server that editors use: `cargo xtask editor`.
//!
//! The server is installed below `target/referees/editor`, by the lock file in
//! `tests/referees/editor`; the tests that need it are in `tests/e2e/tests/designers_editor.rs`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

/// Installs the server and runs the tests that need it.
pub(crate) fn run_suite(root: &Path) -> Result<ExitCode> {
    let folder = root.join("target/referees/editor");
    std::fs::create_dir_all(&folder)?;
    let source = root.join("tests/referees/editor");
    let node = crate::tools::install_node(root, &folder, &source, &folder)?;
    let mut test = crate::cargo(root);
    test.args([
        "test",
        "--locked",
        "--workspace",
        "--test",
        "designers_editor",
    ])
    .args(["--", "--ignored", "--nocapture"])
    .env("DOCKET_NODE", node);
    crate::run(test)
}
