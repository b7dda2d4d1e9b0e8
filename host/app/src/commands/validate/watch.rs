//! `docket validate --watch`: checks again at each change, until somebody has enough of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;

use super::{Report, check, tell};
use crate::cli::{Format, Global};
use crate::exit::{Exit, Failed};
use crate::render::{self, note};

/// Editors write a file in several steps; the last one counts.
const QUIET: Duration = Duration::from_millis(100);
/// Folders that are large and hold nothing of a workflow.
const PASSED_OVER: [&str; 2] = ["node_modules", "target"];
/// The most folders of a project that are watched.
const FOLDERS_AT_MOST: usize = 1_000;

pub(super) async fn run(global: &Global, files: &[PathBuf], format: Format) -> Result<Exit> {
    let (mut watcher, mut changes) = watcher()?;
    let mut watched = BTreeSet::new();
    loop {
        // Before anything is read: what changes meanwhile is seen the next time.
        watch(&mut watcher, &mut watched, folders(global, files));
        match check(global, files).await {
            Ok(Report {
                checked,
                components,
            }) => {
                watch(&mut watcher, &mut watched, parents(&components));
                tell(&checked, format);
            }
            // What cannot be checked now may be there at the next change.
            Err(error) => {
                render::error(&error, format == Format::Json);
            }
        }
        note!("watching {} folders; Ctrl-C ends it", watched.len());
        tokio::select! {
            () = changed(&mut changes) => {}
            ended = tokio::signal::ctrl_c() => {
                ended?;
                return Ok(Exit::Success);
            }
        }
    }
}

fn watcher() -> Result<(RecommendedWatcher, Receiver<()>)> {
    // One that waits stands for all.
    let (tell, changes) = mpsc::channel(1);
    let heard = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| matters(&event)) {
            let _ = tell.try_send(());
        }
    };
    let watcher = notify::recommended_watcher(heard);
    let watcher = watcher.map_err(|error| {
        Failed::new(Exit::Storage, format!("files cannot be watched: {error}"))
            .with_help("check without --watch")
    })?;
    Ok((watcher, changes))
}

/// Whether something is written; reading is none, and neither is what editors keep beside a file.
fn matters(event: &Event) -> bool {
    let is_own = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && !name.ends_with('~')
    };
    !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(is_own)
}

/// Waits for a change, and until no more follow.
async fn changed(changes: &mut Receiver<()>) {
    changes.recv().await;
    while let Ok(Some(())) = timeout(QUIET, changes.recv()).await {}
}

fn watch(
    watcher: &mut RecommendedWatcher,
    watched: &mut BTreeSet<PathBuf>,
    folders: impl IntoIterator<Item = PathBuf>,
) {
    let folders: BTreeSet<PathBuf> = folders.into_iter().collect();
    for folder in folders {
        // Again where it is known: it may have been removed and made anew.
        if watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
            watched.insert(folder);
        } else {
            watched.remove(&folder);
        }
    }
}

/// The folders of a project and of the files that were named, without those that are hidden or hold
/// what was built.
fn folders(global: &Global, files: &[PathBuf]) -> Vec<PathBuf> {
    let whole = |path: &Path| std::path::absolute(path).ok();
    let data = global.data.as_deref().and_then(whole);
    let mut found = vec![global.root().to_owned()];
    let mut at = 0;
    while let Some(folder) = found.get(at).cloned() {
        at += 1;
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let is_data = data.is_some() && whole(&entry.path()) == data;
            let is_own =
                !name.starts_with('.') && !PASSED_OVER.contains(&name.as_str()) && !is_data;
            if is_folder && is_own && found.len() < FOLDERS_AT_MOST {
                found.push(entry.path());
            }
        }
    }
    found.extend(parents(files));
    found
}

fn parents(files: &[PathBuf]) -> Vec<PathBuf> {
    let parent = |file: &PathBuf| match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    files.iter().map(parent).collect()
}
