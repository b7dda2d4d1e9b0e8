//! Documents: files named by the digest of what is in them, each stored once.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use docket_engine::{DocumentReader, DocumentWriter, Documents};
use docket_model::Digest;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

/// Documents in a folder, as `ab/cdef…` by the digits of their digest.
pub struct FileDocuments {
    folder: PathBuf,
    /// Held for writing while one is removed, so that nobody counts on it meanwhile.
    removal: Arc<RwLock<()>>,
}

impl FileDocuments {
    /// The documents of a folder, which is made where there is none. What an earlier process left
    /// unfinished is cleared away.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let unfinished = folder.join("unfinished");
        fs::create_dir_all(&unfinished)?;
        for entry in fs::read_dir(&unfinished)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(Self::open_beside(folder))
    }

    /// The documents of a folder that somebody else may have open.
    pub(crate) fn open_beside(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            removal: Arc::default(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes one that is still old. Says how many bytes that freed.
    fn remove(&self, file: &Path, older_than: SystemTime) -> io::Result<Option<u64>> {
        let _alone = self.removal.write().unwrap_or_else(PoisonError::into_inner);
        let metadata = fs::metadata(file)?;
        if metadata.modified()? >= older_than {
            return Ok(None);
        }
        fs::remove_file(file)?;
        Ok(Some(metadata.len()))
    }

    fn place(&self, digest: Digest) -> (PathBuf, PathBuf) {
        let hex = digest.to_hex();
        let folder = self.folder.join(&hex[..2]);
        let file = folder.join(&hex[2..]);
        (folder, file)
    }
}

impl Documents for FileDocuments {
    fn open(&self, digest: Digest) -> io::Result<Option<Arc<dyn DocumentReader>>> {
        match File::open(self.place(digest).1) {
            Ok(file) => {
                let size = file.metadata()?.len();
                Ok(Some(Arc::new(Stored { file, size })))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self) -> io::Result<Box<dyn DocumentWriter>> {
        Ok(Box::new(Writing {
            file: NamedTempFile::new_in(self.folder.join("unfinished"))?,
            hash: Sha256::new(),
            size: 0,
            documents: Self {
                folder: self.folder.clone(),
                removal: Arc::clone(&self.removal),
            },
        }))
    }

    fn keep(&self, digest: Digest) -> io::Result<bool> {
        let _shared = self.removal.read().unwrap_or_else(PoisonError::into_inner);
        match touch(&self.place(digest).1) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sweep(
        &self,
        now: Timestamp,
        grace: Duration,
        is_used: &mut dyn FnMut(Digest) -> io::Result<bool>,
    ) -> io::Result<(u64, u64)> {
        let older_than = SystemTime::from(now)
            .checked_sub(grace)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let mut removed = (0, 0);
        for folder in fs::read_dir(&self.folder)? {
            let folder = folder?;
            let start = folder.file_name();
            let Some(start) = start.to_str().filter(|start| start.len() == 2) else {
                continue;
            };
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                let name = format!("sha256:{start}{}", file.file_name().to_string_lossy());
                let Ok(digest) = name.parse() else { continue };
                let is_young = file.metadata()?.modified()? >= older_than;
                if is_young || is_used(digest)? {
                    continue;
                }
                if let Some(bytes) = self.remove(&file.path(), older_than)? {
                    removed = (removed.0 + 1, removed.1 + bytes);
                }
            }
        }
        Ok(removed)
    }
}

/// Makes a file count as new. By the system's clock, which is also what dates new ones.
fn touch(file: &Path) -> io::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "files are dated by the system's clock, and compared with one another"
    )]
    let now = SystemTime::now();
    File::options().write(true).open(file)?.set_modified(now)
}

struct Stored {
    file: File,
    size: u64,
}

impl DocumentReader for Stored {
    fn size(&self) -> u64 {
        self.size
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)
    }
}

struct Writing {
    file: NamedTempFile,
    hash: Sha256,
    size: u64,
    documents: FileDocuments,
}

impl DocumentWriter for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<(Digest, u64)> {
        let digest = Digest::from_bytes(self.hash.finalize().into());
        let (folder, place) = self.documents.place(digest);
        let removal = Arc::clone(&self.documents.removal);
        let _shared = removal.read().unwrap_or_else(PoisonError::into_inner);
        if place.exists() {
            touch(&place)?;
        } else {
            self.file.as_file().sync_all()?;
            fs::create_dir_all(&folder)?;
            self.file.persist(&place).map_err(|error| error.error)?;
        }
        // On the disk under its name before any event refers to it; also where somebody else has
        // just put it there, who may not be as far yet.
        sync_folder(&folder)?;
        sync_folder(&self.documents.folder)?;
        Ok((digest, self.size))
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Windows has no way to sync a folder, and orders such changes itself.
#[cfg(windows)]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Documents in memory, for tests and dry runs.
#[derive(Default, Clone)]
pub struct MemoryDocuments(Arc<Mutex<HashMap<Digest, Arc<Vec<u8>>>>>);

impl MemoryDocuments {
    /// No documents.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Documents for MemoryDocuments {
    fn open(&self, digest: Digest) -> io::Result<Option<Arc<dyn DocumentReader>>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(held
            .get(&digest)
            .map(|bytes| Arc::new(Held(Arc::clone(bytes))) as _))
    }

    fn create(&self) -> io::Result<Box<dyn DocumentWriter>> {
        Ok(Box::new(Holding {
            bytes: Vec::new(),
            documents: self.clone(),
        }))
    }

    fn keep(&self, digest: Digest) -> io::Result<bool> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(held.contains_key(&digest))
    }

    /// Nothing here has an age: with any grace at all, all are young.
    fn sweep(
        &self,
        _now: Timestamp,
        grace: Duration,
        is_used: &mut dyn FnMut(Digest) -> io::Result<bool>,
    ) -> io::Result<(u64, u64)> {
        let mut removed = (0, 0);
        if grace.is_zero() {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for digest in held.keys().copied().collect::<Vec<_>>() {
                if !is_used(digest)?
                    && let Some(bytes) = held.remove(&digest)
                {
                    removed = (removed.0 + 1, removed.1 + bytes.len() as u64);
                }
            }
        }
        Ok(removed)
    }
}

struct Held(Arc<Vec<u8>>);

impl DocumentReader for Held {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.0.len());
        let count = buffer.len().min(self.0.len() - start);
        buffer[..count].copy_from_slice(&self.0[start..start + count]);
        Ok(count)
    }
}

struct Holding {
    bytes: Vec<u8>,
    documents: MemoryDocuments,
}

impl DocumentWriter for Holding {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<(Digest, u64)> {
        let digest = Digest::of(&self.bytes);
        let size = self.bytes.len() as u64;
        let mut held = self
            .documents
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held.insert(digest, Arc::new(self.bytes));
        Ok((digest, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(documents: &dyn Documents) {
        let stored = documents.put("a.txt", "text/plain", b"hello").unwrap();
        assert_eq!(stored.digest, Digest::of(b"hello"));
        assert_eq!(
            documents
                .put("b.txt", "text/plain", b"hello")
                .unwrap()
                .digest,
            stored.digest
        );
        let reader = documents.open(stored.digest).unwrap().expect("stored");
        let read = |offset, length| {
            let mut buffer = vec![0; length];
            let count = reader.read_at(offset, &mut buffer).unwrap();
            buffer.truncate(count);
            buffer
        };
        assert_eq!(reader.size(), 5);
        assert_eq!(read(1, 3), b"ell");
        assert_eq!(read(3, 100), b"lo");
        assert_eq!(read(5, 1), b"");
        assert_eq!(read(u64::from(u32::MAX), 1), b"");
        assert!(documents.open(Digest::of(b"other")).unwrap().is_none());
    }

    #[test]
    fn documents_are_stored_once_and_read_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        check(&FileDocuments::open(folder.path()).unwrap());
        check(&MemoryDocuments::new());
    }

    #[test]
    fn what_was_not_finished_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let documents = FileDocuments::open(folder.path()).unwrap();
        let mut writer = documents.create().unwrap();
        writer.write(b"half").unwrap();
        drop(writer);
        // As after a crash, when nothing is dropped.
        let mut writer = documents.create().unwrap();
        writer.write(b"half").unwrap();
        std::mem::forget(writer);
        FileDocuments::open(folder.path()).unwrap();
        assert_eq!(
            fs::read_dir(folder.path().join("unfinished"))
                .unwrap()
                .count(),
            0
        );
    }
}
