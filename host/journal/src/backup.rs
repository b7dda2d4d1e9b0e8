//! Backup and restore of what runs need: the database and the documents that it names.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use docket_engine::{Documents, StoreError};
use docket_model::Digest;
use rusqlite::{Connection, OpenFlags};

use crate::schema::{self, failed};
use crate::{FileDocuments, SqliteStore};

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// How many runs.
    pub runs: u64,
    /// How many documents.
    pub documents: u64,
}

/// Copies the journal and the documents that it names into a new folder: `journal.db`, and
/// `documents` as in a data folder. Runs go on meanwhile; the copy is what was there at its start.
/// It holds no secrets, but all that runs were given and did: keep it like the data folder.
///
/// # Errors
/// [`StoreError::Io`] where the folder holds a journal already; [`StoreError::Damaged`] where a
/// document is missing; the disk's. What was written stays and is no backup: `journal.db` comes last.
pub async fn backup(
    store: &SqliteStore,
    documents: &FileDocuments,
    to: &Path,
) -> Result<Backup, StoreError> {
    let file = to.join("journal.db");
    refuse_existing(&file)?;
    fs::create_dir_all(to).map_err(|error| disk(&error))?;
    let unfinished = unfinished(to)?;
    store.copy_to(&unfinished).await?;
    let (from, to) = (documents.folder().to_owned(), to.to_owned());
    let copied = tokio::task::spawn_blocking(move || {
        let from = FileDocuments::open_beside(&from);
        let to_documents =
            FileDocuments::open(&to.join("documents")).map_err(|error| disk(&error))?;
        let backup = copy(&unfinished, &from, &to_documents)?;
        finish(&unfinished, &file)?;
        Ok(backup)
    });
    copied
        .await
        .map_err(|error| StoreError::Io(error.to_string()))?
}

/// Puts a backup into a data folder that has no journal yet, after it has looked the backup over: the
/// database, and each document against its digest. Blocks on the disk.
///
/// # Errors
/// [`StoreError::Io`] where there is a journal already; [`StoreError::Damaged`] and
/// [`StoreError::Newer`] of the backup; the disk's. There is no journal then.
pub fn restore(from: &Path, to: &Path) -> Result<Backup, StoreError> {
    let file = to.join("journal.db");
    refuse_existing(&file)?;
    let source = from.join("journal.db");
    if !source.exists() {
        let what = format!("{} is no backup: it has no journal.db", from.display());
        return Err(StoreError::Damaged(what));
    }
    fs::create_dir_all(to).map_err(|error| disk(&error))?;
    let unfinished = unfinished(to)?;
    fs::copy(&source, &unfinished).map_err(|error| disk(&error))?;
    schema::check(&unfinished)?;
    let documents = FileDocuments::open_beside(&from.join("documents"));
    let target = FileDocuments::open(&to.join("documents")).map_err(|error| disk(&error))?;
    let backup = copy(&unfinished, &documents, &target)?;
    finish(&unfinished, &file)?;
    Ok(backup)
}

/// Copies the documents that a database names.
fn copy(database: &Path, from: &FileDocuments, to: &FileDocuments) -> Result<Backup, StoreError> {
    let (digests, runs) = named(database).map_err(|error| failed(&error))?;
    for digest in &digests {
        one(*digest, from, to)?;
    }
    Ok(Backup {
        runs,
        documents: digests.len() as u64,
    })
}

fn one(digest: Digest, from: &FileDocuments, to: &FileDocuments) -> Result<(), StoreError> {
    if to.keep(digest).map_err(|error| disk(&error))? {
        return Ok(());
    }
    let missing = || StoreError::Damaged(format!("the document {digest} is missing"));
    let reader = from.open(digest).map_err(|error| disk(&error))?;
    let reader = reader.ok_or_else(missing)?;
    let mut writer = to.create().map_err(|error| disk(&error))?;
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    loop {
        let count = reader
            .read_at(offset, &mut buffer)
            .map_err(|error| disk(&error))?;
        if count == 0 {
            break;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        writer.write(bytes).map_err(|error| disk(&error))?;
        offset += count as u64;
    }
    let (found, _) = writer.finish().map_err(|error| disk(&error))?;
    if found != digest {
        let what = format!("the document {digest} is not what was stored");
        return Err(StoreError::Damaged(what));
    }
    Ok(())
}

/// The documents that a database names, and how many runs it has.
fn named(database: &Path) -> rusqlite::Result<(BTreeSet<Digest>, u64)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    let mut statement = connection.prepare("SELECT DISTINCT digest FROM documents")?;
    let digests = statement.query_map([], |row| Ok(Digest::from_bytes(row.get(0)?)))?;
    let digests = digests.collect::<rusqlite::Result<_>>()?;
    let runs: i64 = connection.query_row("SELECT count(*) FROM runs", [], |row| row.get(0))?;
    Ok((digests, runs.cast_unsigned()))
}

/// Gives a database its name once all that it needs is there.
fn finish(unfinished: &Path, file: &Path) -> Result<(), StoreError> {
    let rename = || {
        File::options()
            .read(true)
            .write(true)
            .open(unfinished)?
            .sync_all()?;
        fs::rename(unfinished, file)
    };
    rename().map_err(|error| disk(&error))
}

/// A database, and what SQLite keeps beside it, which it would take for another database's that has the
/// same name.
fn with_logs(file: &Path) -> impl Iterator<Item = PathBuf> {
    ["", "-journal", "-wal", "-shm"].into_iter().map(|end| {
        let mut name = file.as_os_str().to_owned();
        name.push(end);
        name.into()
    })
}

/// Where a database is made ready, with nothing there that an earlier try left.
fn unfinished(folder: &Path) -> Result<PathBuf, StoreError> {
    let unfinished = folder.join("journal.unfinished");
    for file in with_logs(&unfinished) {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(&error)),
            _ => {}
        }
    }
    Ok(unfinished)
}

fn refuse_existing(file: &Path) -> Result<(), StoreError> {
    match with_logs(file).find(|file| file.exists()) {
        Some(file) => Err(StoreError::Io(format!(
            "{} exists already; take an empty folder",
            file.display()
        ))),
        None => Ok(()),
    }
}

fn disk(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull => StoreError::Full(error.to_string()),
        _ => StoreError::Io(error.to_string()),
    }
}
