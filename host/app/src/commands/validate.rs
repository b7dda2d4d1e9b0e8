//! `docket validate`: every problem of every file, with its place.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::cli::{Global, ValidateArgs};
use crate::exit::Exit;
use crate::host::Host;
use crate::project::{Project, read_source};
use crate::render::{self, note};

pub(crate) async fn run(global: &Global, arguments: &ValidateArgs) -> Result<Exit> {
    let host = Host::open(Project::load(global)?, global).await?;
    let files = if arguments.files.is_empty() {
        workflows(&host.project.root)?
    } else {
        arguments.files.clone()
    };
    let mut all = Vec::new();
    let mut bad = 0;
    for file in &files {
        let source = read_source(file)?;
        let (plan, found) = host.check(&source, file);
        render::diagnostics(&found);
        bad += usize::from(plan.is_none());
        all.push(json!({
            "file": file,
            "ok": plan.is_some(),
            "diagnostics": render::diagnostics_json(&found),
        }));
    }
    if global.json {
        render::line(&json!({"files": all}).to_string());
    } else {
        note!("{} checked, {bad} with problems", files.len());
    }
    Ok(if bad == 0 {
        Exit::Success
    } else {
        Exit::Invalid
    })
}

/// The workflows of a project: the YAML files of its folder and of `workflows` in it.
fn workflows(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in [root.to_owned(), root.join("workflows")] {
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let is_yaml = path
                .extension()
                .is_some_and(|kind| kind == "yaml" || kind == "yml");
            let is_project = path.file_name().is_some_and(|name| name == "docket.yaml");
            if is_yaml && !is_project {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
