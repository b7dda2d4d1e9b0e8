//! What the doctor says, and what it leaves as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use docket_e2e::{Desk, Project};
use serde_json::Value;

pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The one check of that kind and state whose message has `part`; panics where there is none.
#[track_caller]
pub(crate) fn check<'c>(report: &'c Value, about: &str, state: &str, part: &str) -> &'c Value {
    let all = report["checks"].as_array().unwrap();
    all.iter()
        .find(|one| {
            let message = one["message"].as_str().unwrap();
            one["about"] == about && one["state"] == state && message.contains(part)
        })
        .unwrap_or_else(|| panic!("no {state} of {about} with {part:?}: {report:#}"))
}

/// Runs the doctor over a project, which must end with this code.
#[track_caller]
pub(crate) fn doctor(project: &Project, code: i32) -> Value {
    let (out, err) = project.ends(&["doctor", "--json"], code);
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    assert_eq!(report["exit"], code);
    report
}

/// Every file below a folder, but the cache, with what it holds.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if path.ends_with("cache") => {}
            true => found.extend(files(&path)),
            false => {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}

pub(crate) fn redacted(text: &str, desk: &Desk) -> String {
    let shown = |path: &Path| path.display().to_string();
    let text = text
        .replace(&shown(desk.docket.project()), "PROJECT")
        .replace(&shown(desk.docket.data()), "DATA")
        .replace(&shown(desk.docket.key()), "KEY")
        .replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let size = |line: &str, word: &str| match line.split_once(word) {
        Some((_, rest)) if line.contains(" are ") => {
            let (_, rest) = rest.split_once(" are ").unwrap();
            format!("{}{word}SIZE are {rest}", line.split(word).next().unwrap())
        }
        _ => line.to_owned(),
    };
    let lines = text
        .lines()
        .map(|line| size(&size(line, "disk        "), "journal     "));
    lines.map(|line| line + "\n").collect()
}
