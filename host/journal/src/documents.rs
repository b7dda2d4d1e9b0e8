//! Documents: files named by the digest of what is in them, each stored once.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use docket_engine::{DocumentReader, DocumentWriter, Documents};
use docket_model::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

/// Documents in a folder, as `ab/cdef…` by the digits of their digest.
pub struct FileDocuments {
    folder: PathBuf,
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
        Ok(Self {
            folder: folder.to_owned(),
        })
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
            },
        }))
    }
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
        if !place.exists() {
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
