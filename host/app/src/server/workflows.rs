//! Which workflow a request means: one of the project's, by its name or its file.

use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use docket_model::Plan;

use super::problem::Problem;
use crate::host::Host;
use crate::project::read_source;

const PLACES: &str = "a workflow lies in the project's folder, or in `workflows` below it";

/// The plan of a workflow as its file is now. Blocks on the disk.
pub(super) fn plan(host: &Host, asked: &str) -> Result<Plan, Problem> {
    let files = host
        .project
        .workflows()
        .map_err(|error| Problem::of(&error))?;
    let path = Path::new(asked).canonicalize().ok();
    let stem = |file: &Path| file.file_stem().is_some_and(|stem| stem == asked);
    // A file that is named like its workflow spares looking at the others.
    let (likely, others): (Vec<PathBuf>, Vec<PathBuf>) = files
        .into_iter()
        .partition(|file| stem(file) || (path.is_some() && file.canonicalize().ok() == path));
    let mut names = Vec::new();
    let mut damaged = None;
    for file in likely.iter().chain(&others) {
        let source = read_source(file).map_err(|error| Problem::of(&error))?;
        let is_meant = path.is_some() && file.canonicalize().ok() == path;
        match host.check(&source, file) {
            (Some(plan), _) if is_meant || plan.workflow == asked => return Ok(plan),
            (Some(plan), _) => names.push(plan.workflow),
            (None, found) if is_meant || stem(file) => {
                let problems: Vec<String> = found.iter().map(ToString::to_string).collect();
                damaged.get_or_insert(problems.join("\n"));
            }
            (None, _) => {}
        }
    }
    Err(match damaged {
        Some(problems) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, problems)
            .with_help("`docket validate` shows the places"),
        None => Problem::new(
            StatusCode::NOT_FOUND,
            format!("the project has no workflow {asked}"),
        )
        .with_help(match names.is_empty() {
            true => PLACES.to_owned(),
            false => format!("it has {}; {PLACES}", names.join(", ")),
        }),
    })
}
