//! The rules of the house that no compiler checks: which room may know which, what each file must
//! say of itself, and how large a room may grow.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the workspace")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["host", "plugins", "tests", "xtask"] {
        sources(&root().join(folder), &mut found);
    }
    assert!(
        found.len() > 50,
        "the walk must have found the workspace, not {} files",
        found.len()
    );
    found
}

/// The names in the `[dependencies]` table of a room's manifest.
fn dependencies(room: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join(room).join("Cargo.toml")).expect("a manifest");
    let table = manifest
        .split("[dependencies]")
        .nth(1)
        .expect("dependencies");
    table
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn rooms_know_only_what_they_may() {
    let rules: &[(&str, &[&str])] = &[
        (
            "host/model",
            &[
                "docket-", "tokio", "reqwest", "rusqlite", "wasmtime", "hyper", "axum",
            ],
        ),
        (
            "host/engine",
            &[
                "docket-connections",
                "docket-sandbox",
                "docket-journal",
                "reqwest",
                "rusqlite",
                "wasmtime",
            ],
        ),
        (
            "host/journal",
            &[
                "docket-connections",
                "docket-sandbox",
                "reqwest",
                "wasmtime",
            ],
        ),
        (
            "host/connections",
            &[
                "docket-engine",
                "docket-sandbox",
                "docket-journal",
                "wasmtime",
            ],
        ),
        (
            "host/sign-ins",
            &[
                "docket-sandbox",
                "docket-journal",
                "docket-plugins",
                "reqwest",
                "rusqlite",
                "wasmtime",
                "secrecy",
            ],
        ),
        (
            "host/sandbox",
            &["docket-journal", "reqwest", "hyper", "rusqlite", "oauth2"],
        ),
        (
            "host/plugins",
            &[
                "docket-toolchain",
                "docket-tenant",
                "reqwest",
                "hyper",
                "rusqlite",
                "wasmtime",
            ],
        ),
        (
            "host/toolchain",
            &["docket-", "tokio", "reqwest", "wasmtime"],
        ),
        (
            "plugins/exchange",
            &["docket-model", "tokio", "reqwest", "wasmtime"],
        ),
        (
            "plugins/graph-import",
            &["docket-model", "tokio", "reqwest", "wasmtime"],
        ),
    ];
    for (room, forbidden) in rules {
        for name in dependencies(room) {
            let is_forbidden = forbidden.iter().any(|start| name.starts_with(start));
            assert!(!is_forbidden, "{room} must not depend on {name}");
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in all_sources() {
        let text = fs::read_to_string(&path).expect("a source");
        assert!(
            text.trim_start().starts_with("//!"),
            "{} must open with module documentation",
            path.display()
        );
    }
}

#[test]
fn no_file_holds_two_ideas() {
    for path in all_sources() {
        let text = fs::read_to_string(&path).expect("a source");
        let lines = text.lines().count();
        // A file may be longer that says why it is one idea all the same.
        let has_reason = text.contains("//! Long because ");
        assert!(
            lines <= 600 || has_reason,
            "{} has {lines} lines: look for its second idea",
            path.display()
        );
    }
}

#[test]
fn no_built_component_is_kept() {
    fn walk(folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            // What is built, and what commands keep in a project, is in no commit.
            let is_kept = name != "target"
                && name != ".git"
                && name != "node_modules"
                && name != ".docket"
                && name != ".docket-local";
            if path.is_dir() && is_kept {
                walk(&path);
            }
            assert!(
                path.extension().is_none_or(|extension| extension != "wasm"),
                "{} is a built component",
                path.display()
            );
        }
    }
    walk(&root());
}
