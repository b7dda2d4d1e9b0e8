//! The data folder: who may look into it, the room on its disk, and the cache.

use std::path::Path;

use super::report::Report;
use crate::exit::Exit;
use crate::host::seen_by_others;
use crate::project::Project;
use crate::render;

/// With less room than this, journals stop before long: a document may have 150 MB.
const LITTLE: u64 = 256 << 20;
/// With less than this, somebody should look.
const SCARCE: u64 = 2 << 30;

pub(super) fn look(project: &Project, report: &mut Report) {
    let data = &project.data;
    match data.is_dir() {
        true => may_be_written("data", data, report),
        false if data.exists() => report.problem(
            "data",
            Exit::Storage,
            format!("{} is no folder", data.display()),
            "name another one with --data, or move it away",
        ),
        false => report.ok(
            "data",
            format!(
                "{} is not there yet; it is made on first use",
                data.display()
            ),
        ),
    }
    room(data, report);
    let cache = data.join("cache");
    if cache.is_dir() {
        may_be_written("cache", &cache, report);
    }
}

/// Whether its owner may write to a folder, and others not even look into it.
fn may_be_written(about: &'static str, folder: &Path, report: &mut Report) {
    let shown = folder.display();
    // It has no name, so nobody sees it.
    if let Err(error) = tempfile::tempfile_in(folder) {
        return report.problem(
            about,
            Exit::Storage,
            format!("{shown} cannot be written: {error}"),
            "run docket as the user who owns the folder, or have it owned by this one",
        );
    }
    match seen_by_others(folder) {
        Some(mode) => report.warning(
            about,
            format!("others may look into {shown} (mode {mode:o})"),
            format!("chmod 700 {shown}"),
        ),
        None => report.ok(about, format!("{shown} is private, and can be written")),
    }
}

fn room(data: &Path, report: &mut Report) {
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let Some(there) = absolute.ancestors().find(|folder| folder.is_dir()) else {
        return;
    };
    let help = "make room, or move the data folder; docket runs prune lets old runs go";
    match docket_journal::free_space(there) {
        Ok(Some(free)) => {
            let text = format!("{} are free for the data folder", render::bytes(free));
            match free {
                free if free < LITTLE => report.problem("disk", Exit::Storage, text, help),
                free if free < SCARCE => report.warning("disk", text, help),
                _ => report.ok("disk", text),
            }
        }
        Ok(None) => report.skipped("disk", "this system is not asked for the room on its disk"),
        Err(error) => report.warning(
            "disk",
            format!("the room on the disk is not known: {error}"),
            "see that the file system of the data folder works",
        ),
    }
}
