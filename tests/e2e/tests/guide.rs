//! The makers' guide is true: every command of its first section is read out of the page and run, in
//! order, in an empty folder.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use docket_e2e::{Registry, program};

const SECTION: &str = "## From nothing to a published plugin";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The shell blocks of the section.
fn blocks(page: &str) -> Vec<String> {
    let (_, section) = page.split_once(SECTION).expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let mut blocks = Vec::new();
    let mut rest = section;
    while let Some((_, after)) = rest.split_once("```sh\n") {
        let (block, after) = after.split_once("```").expect("a closed block");
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

#[test]
fn every_command_of_the_guide_works() {
    let page = fs::read_to_string(root().join("plugins/README.md")).unwrap();
    let blocks = blocks(&page);
    assert!(blocks.len() >= 7, "{blocks:?}");
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    fs::create_dir(&work).unwrap();
    let registry = Registry::start();
    // One script, as a person has one shell: `cd` counts for what follows.
    let mut script = "set -eu\n".to_owned();
    for block in &blocks {
        if block.contains("$REGISTRY") && registry.is_none() {
            continue;
        }
        script.push_str(block);
    }
    let programs = program().parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap();
    let paths = std::iter::once(programs).chain(std::env::split_paths(&path));
    let address = registry.as_ref().map(|registry| registry.address.as_str());
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&work)
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("REGISTRY", format!("{}/team", address.unwrap_or_default()))
        // What stays from an earlier run is built on, as at a maker's desk.
        .env("CARGO_TARGET_DIR", root().join("target/examples/cargo"))
        .env("XDG_CONFIG_HOME", folder.path().join("config"))
        .env_remove("DOCKET_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    for expected in [
        "0 failed",
        "greeter is added",
        "imports nothing that plugins may not use",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}
