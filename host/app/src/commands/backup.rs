//! `docket backup` and `docket restore`: the journal, the documents that it names, and the components
//! that its runs are pinned to. Secrets have a way of their own, `docket vault export`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use docket_journal::{Backup, FileDocuments, SqliteStore};
use serde_json::json;

use crate::cli::{BackupArgs, Global, RestoreArgs};
use crate::exit::{Exit, Failed};
use crate::host::{make_private, own, store_failed};
use crate::project::Project;
use crate::render::{self, note};
use crate::server::client::Serving;

/// Copies what runs need into a new folder; the serving process does it where there is one, and its
/// runs go on.
pub(crate) async fn write(global: &Global, arguments: &BackupArgs) -> Result<Exit> {
    let project = Project::load(global)?;
    let to = std::path::absolute(&arguments.to)?;
    let backup = match Serving::find(&project.data).await {
        Some(serving) => {
            let made = serving.post("/api/backup", &json!({"to": to})).await?;
            let count = |name: &str| made[name].as_u64().unwrap_or_default();
            Backup {
                runs: count("runs"),
                documents: count("documents"),
            }
        }
        None => {
            let store = own(&project.data)?;
            let documents = FileDocuments::open(&project.data.join("documents"))?;
            copy(&project.data, &store, &documents, &to).await?
        }
    };
    print(&backup, &to, "copied to", global.json);
    if !global.json {
        note!("secrets are not in it; write those with: docket vault export FILE");
    }
    Ok(Exit::Success)
}

/// Copies what the runs of an open data folder need.
pub(crate) async fn copy(
    data: &Path,
    store: &SqliteStore,
    documents: &FileDocuments,
    to: &Path,
) -> Result<Backup> {
    refuse_existing(to)?;
    make_private(to).map_err(|error| {
        Failed::new(Exit::Storage, format!("{}: {error}", to.display()))
            .with_help("name a folder that can be made")
    })?;
    // The journal makes the folder a backup, so what it needs is there first; then what came
    // meanwhile, since each component was there before the runs that are pinned to it.
    components(data, to).await?;
    let backup = docket_journal::backup(store, documents, to).await;
    let backup = backup.map_err(|error| store_failed(&error))?;
    components(data, to).await?;
    Ok(backup)
}

async fn components(data: &Path, to: &Path) -> Result<()> {
    let (from, to) = (data.join("components"), to.join("components"));
    tokio::task::spawn_blocking(move || copy_files(&from, &to)).await?
}

/// Puts a backup into a data folder that has no journal.
pub(crate) async fn restore(global: &Global, arguments: &RestoreArgs) -> Result<Exit> {
    let project = Project::load(global)?;
    let (data, from) = (project.data, arguments.from.clone());
    refuse_existing(&data)?;
    make_private(&data).with_context(|| format!("the data folder {}", data.display()))?;
    let to = data.clone();
    let restored = tokio::task::spawn_blocking(move || -> Result<Backup> {
        copy_files(&from.join("components"), &to.join("components"))?;
        let restored = docket_journal::restore(&from, &to);
        Ok(restored.map_err(|error| store_failed(&error))?)
    });
    print(&restored.await??, &data, "restored to", global.json);
    if !global.json {
        note!("secrets are not in it; read those with: docket vault import FILE");
    }
    Ok(Exit::Success)
}

fn refuse_existing(folder: &Path) -> Result<(), Failed> {
    match folder.join("journal.db").exists() {
        true => Err(Failed::new(
            Exit::Storage,
            format!("{} has a journal already", folder.display()),
        )
        .with_help("name another folder; nothing is written over a journal")),
        false => Ok(()),
    }
}

fn print(backup: &Backup, folder: &Path, what: &str, as_json: bool) {
    let Backup { runs, documents } = backup;
    if as_json {
        render::line(&json!({"folder": folder, "runs": runs, "documents": documents}).to_string());
    } else {
        note!(
            "{runs} runs and {documents} documents {what} {}",
            folder.display()
        );
    }
}

/// Copies the files of a folder that the other one has not. They are named by what is in them.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(());
    }
    fs::create_dir_all(to).with_context(|| format!("the folder {}", to.display()))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &target)?;
        } else if !is_whole(&entry.path(), &target) {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("the file {}", target.display()))?;
        }
    }
    Ok(())
}

/// Whether a copy is there, rather than the beginning of one that broke off.
fn is_whole(from: &Path, to: &Path) -> bool {
    let size = |path: &Path| fs::metadata(path).ok().map(|about| about.len());
    size(to).is_some_and(|copied| Some(copied) == size(from))
}
