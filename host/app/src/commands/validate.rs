//! `docket validate`: every problem of every file, with its place.

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
        host.project.workflows()?
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
