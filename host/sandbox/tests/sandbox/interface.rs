//! Plugins of every version of the interface that was ever released run, side by side.
//!
//! `tests/interface` keeps, for each released minor, the interface as it was and a plugin written against
//! it that calls all of it. Neither is ever changed; a new minor adds two files.

use std::fs;
use std::path::{Path, PathBuf};

use docket_model::{Digest, StepResult};
use serde_json::json;

use crate::guests::component_of;
use crate::outside::{Memory, Outside, text};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interface")
}

/// The versions that are kept.
fn versions() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("the folder");
    let mut versions: Vec<String> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "wat"))
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    versions.sort();
    versions
}

/// The plugin of a version, built against the interface as it was.
fn kept(version: &str) -> Vec<u8> {
    let read = |kind: &str| {
        let path = folder().join(format!("{version}.{kind}"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    component_of(&read("wat"), &[read("wit")], "processor")
}

#[tokio::test]
async fn every_released_version_runs() {
    let outside = Outside::new().await;
    outside
        .script
        .answer(|sent| Ok(text(if sent.with_token { 201 } else { 200 }, &[], "ok")));
    let document = outside.documents.put("greeting.txt", b"Hello");
    let versions = versions();
    assert!(versions.contains(&"0.1.0".to_owned()), "{versions:?}");
    for version in &versions {
        let plugin = outside.sandbox.add(kept(version)).await;
        let plugin = plugin.unwrap_or_else(|error| panic!("{version}: {error}"));
        assert_eq!(plugin.interface(), version);
        let manifest = plugin.manifest();
        assert_eq!(manifest.id, format!("kept-{}", version.replace('.', "-")));
        assert_eq!(manifest.actions[0].requests[0].reason, "Kept.");
        assert_eq!(manifest.actions[0].scopes[0].name, "copy");
        assert_eq!(manifest.actions[0].examples[0].input, json!(true));

        let mut call = outside.call("copy", json!({"document": document}));
        call.pinned.component = plugin.digest();
        let result = outside.try_run(call, &mut Memory::default()).await;
        let StepResult::Done(output) = result.expect("no fault") else {
            panic!("{version}: it failed")
        };
        let expected = json!({"copy": Digest::of(b"Hello"), "s": [201, 200, 200]});
        assert_eq!(output.value, expected, "{version}");
    }
    let sent = outside.script.sent();
    let urls: Vec<&str> = sent.iter().map(|sent| sent.url.as_str()).collect();
    let each = [
        "https://a.example/one",
        "https://a.example/one",
        "https://a.example/two",
    ];
    assert_eq!(urls, each.repeat(versions.len()));
    let lines = outside.log.lines.lock().expect("lock");
    let lines: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(
        lines,
        ["greeting.txt", "application/pdf", "Hello"].repeat(versions.len())
    );
    assert_eq!(
        *outside.log.reports.lock().expect("lock"),
        versions.len() as u64
    );
}

#[test]
fn the_version_in_force_is_kept_too() {
    // Whoever changes the interface gives it a version, and keeps the files of that one.
    let now = include_str!("../../../../wit/processor.wit");
    let path = folder().join(format!("{}.wit", docket_sandbox::INTERFACE));
    let kept = fs::read_to_string(&path).unwrap_or_default();
    // Comments may be bettered; what plugins link against may not.
    let code = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        code(now),
        code(&kept),
        "{} is not wit/processor.wit",
        path.display()
    );
    let named = format!("package docket:processor@{};", docket_sandbox::INTERFACE);
    assert!(now.contains(&named));
}
