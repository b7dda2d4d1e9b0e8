//! `docket validate`: every problem of every file, with its place.

mod watch;

use std::path::{Path, PathBuf};

use anyhow::Result;
use docket_model::{Diagnostic, Diagnostics, SourceFile, Span, check_suite, parse_suite};
use serde_json::{Value, json};

use super::test::workflow_of;
use crate::cli::{Format, Global, ValidateArgs};
use crate::exit::{Exit, Failed};
use crate::problems;
use crate::project::{Project, is_test, read_source};
use crate::render::{self, note};
use crate::workbench::Workbench;

/// A file that was checked.
struct Checked {
    file: PathBuf,
    found: Diagnostics,
}

/// What a check found, and the files of the plugins that it needed.
struct Report {
    checked: Vec<Checked>,
    components: Vec<PathBuf>,
}

pub(crate) async fn run(global: &Global, arguments: &ValidateArgs) -> Result<Exit> {
    let format = Format::of(arguments.format, global.json);
    if arguments.watch {
        return watch::run(global, &arguments.files, format).await;
    }
    let checked = check(global, &arguments.files).await?.checked;
    tell(&checked, format);
    Ok(match checked.iter().any(|one| one.found.has_errors()) {
        true => Exit::Invalid,
        false => Exit::Success,
    })
}

/// Checks `docket.yaml`, and then these files, or all of the project where there are none.
async fn check(global: &Global, files: &[PathBuf]) -> Result<Report> {
    let file = global.root().join("docket.yaml");
    let (project, mut found) = Project::check(global)?;
    let (mut checked, mut components) = (Vec::new(), Vec::new());
    if let Some(project) = project {
        let plugins = project.spec.plugins.values();
        let from_files = plugins.filter(|spec| spec.remote().is_none());
        components.extend(from_files.map(|spec| project.root.join(&spec.source)));
        match Workbench::open(project).await {
            Ok(bench) => {
                let files = match files.is_empty() {
                    true => [bench.project.workflows()?, bench.project.tests()?].concat(),
                    false => files.to_vec(),
                };
                checked.extend(files.into_iter().map(|file| {
                    let found = check_file(&bench, &file).unwrap_or_else(|error| {
                        let mut found = Diagnostics::new();
                        found.push(unreadable(&file, &error));
                        found
                    });
                    Checked { file, found }
                }));
            }
            // A plugin is not there, or not the one that was approved.
            Err(error) if is_invalid(&error) => found.push(unreadable(&file, &error)),
            Err(error) => return Err(error),
        }
    }
    checked.insert(0, Checked { file, found });
    Ok(Report {
        checked,
        components,
    })
}

/// Checks a workflow, or tests of one.
pub(super) fn check_file(bench: &Workbench, file: &Path) -> Result<Diagnostics> {
    let source = read_source(file)?;
    if !is_test(file) {
        return Ok(bench.check(&source, file).1);
    }
    let (suite, mut found) = parse_suite(&source);
    if let Some(suite) = suite {
        // What is wrong with the workflow is said where the workflow is checked.
        let workflow = workflow_of(&suite, file);
        if let Some(plan) = bench.check(&read_source(&workflow)?, &workflow).0 {
            found.append(check_suite(&source, &plan));
        }
    }
    Ok(found)
}

fn is_invalid(error: &anyhow::Error) -> bool {
    let failed = error.downcast_ref::<Failed>();
    failed.is_some_and(|failed| failed.exit == Exit::Invalid)
}

/// The problem of a file that cannot be read, or whose plugins cannot be used.
fn unreadable(file: &Path, error: &anyhow::Error) -> Diagnostic {
    let failed = error.downcast_ref::<Failed>();
    let help = failed.and_then(|failed| failed.help.clone());
    let span = failed.and_then(|failed| failed.span);
    let source = match span.map(|_| read_source(file)) {
        Some(Ok(source)) => source,
        _ => SourceFile::new(file.to_string_lossy(), ""),
    };
    let span = span.unwrap_or(Span::at(0));
    let problem = Diagnostic::error("file/unusable", &source, span, format!("{error:#}"));
    Diagnostic { help, ..problem }
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
