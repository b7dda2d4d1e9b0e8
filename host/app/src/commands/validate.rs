//! `docket validate`: every problem of every file, with its place.

use std::path::{Path, PathBuf};

use anyhow::Result;
use docket_model::{Diagnostic, Diagnostics, parse_suite};
use serde_json::{Value, json};

use crate::cli::{Format, Global, ValidateArgs};
use crate::exit::Exit;
use crate::problems;
use crate::project::{Project, is_test, read_source};
use crate::render::{self, note};
use crate::workbench::Workbench;

/// A file that was checked.
struct Checked {
    file: PathBuf,
    found: Diagnostics,
}

pub(crate) async fn run(global: &Global, arguments: &ValidateArgs) -> Result<Exit> {
    let format = Format::of(arguments.format, global.json);
    let (project, found) = Project::check(global)?;
    let mut checked = Vec::new();
    if !found.is_empty() {
        let file = global.project.join("docket.yaml");
        checked.push(Checked { file, found });
    }
    if let Some(project) = project {
        let bench = Workbench::open(project).await?;
        let files = match arguments.files.is_empty() {
            true => [bench.project.workflows()?, bench.project.tests()?].concat(),
            false => arguments.files.clone(),
        };
        for file in files {
            let source = read_source(&file)?;
            let found = match is_suite(&file) {
                true => parse_suite(&source).1,
                false => bench.check(&source, &file).1,
            };
            checked.push(Checked { file, found });
        }
    }
    tell(&checked, format);
    Ok(match checked.iter().any(|one| one.found.has_errors()) {
        true => Exit::Invalid,
        false => Exit::Success,
    })
}

fn is_suite(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    name.is_some_and(is_test)
}

fn tell(checked: &[Checked], format: Format) {
    let all = || checked.iter().flat_map(|one| &one.found);
    match format {
        Format::Json => {
            let files: Vec<Value> = checked
                .iter()
                .map(|Checked { file, found }| {
                    json!({
                        "file": file,
                        "ok": !found.has_errors(),
                        "diagnostics": render::diagnostics_json(found),
                    })
                })
                .collect();
            checked
                .iter()
                .for_each(|one| render::diagnostics(&one.found));
            render::line(&json!({"files": files}).to_string());
        }
        Format::Sarif => render::line(&format!("{:#}", problems::sarif(all()))),
        Format::Github => {
            all().for_each(|one: &Diagnostic| render::line(&problems::annotation(one)))
        }
        Format::Text => {
            checked
                .iter()
                .for_each(|one| render::diagnostics(&one.found));
            let bad = checked.iter().filter(|one| one.found.has_errors()).count();
            note!("{} checked, {bad} with problems", checked.len());
        }
    }
}
