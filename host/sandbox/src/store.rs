//! Components by digest, kept for as long as a run may be pinned to them.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use docket_model::Digest;

use crate::LoadError;

/// A folder of components, each named by its digest. Nothing in it is ever changed.
#[derive(Debug, Clone)]
pub struct ComponentStore {
    folder: PathBuf,
}

impl ComponentStore {
    /// Opens the store, making its folder (mode 0700) where it is not there.
    ///
    /// # Errors
    /// [`LoadError::Io`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, LoadError> {
        let folder = folder.into();
        private_folder(&folder).map_err(|source| LoadError::Io {
            path: folder.clone(),
            source,
        })?;
        Ok(Self { folder })
    }

    /// Keeps a component; durable when it returns. One that is kept already is not written again.
    ///
    /// # Errors
    /// [`LoadError::Io`].
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, LoadError> {
        let digest = Digest::of(bytes);
        if matches!(self.get(digest), Ok(Some(_))) {
            return Ok(digest);
        }
        let path = path(&self.folder, digest);
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new()
                .prefix(".adding-")
                .tempfile_in(&self.folder)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            fs::File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| LoadError::Io {
            path: path.clone(),
            source,
        })?;
        Ok(digest)
    }

    /// A component's bytes; `None` where it is not kept.
    ///
    /// # Errors
    /// [`LoadError::Damaged`] where the bytes do not have the digest, else [`LoadError::Io`].
    pub fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>, LoadError> {
        Self::get_from(&self.folder, digest)
    }

    /// The same of a folder that is only read, and need not be there.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_from(folder: &Path, digest: Digest) -> Result<Option<Vec<u8>>, LoadError> {
        let path = path(folder, digest);
        match fs::read(&path) {
            Ok(bytes) if Digest::of(&bytes) == digest => Ok(Some(bytes)),
            Ok(_) => Err(LoadError::Damaged { digest, path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LoadError::Io { path, source }),
        }
    }
}

fn path(folder: &Path, digest: Digest) -> PathBuf {
    folder.join(format!("{}.wasm", digest.to_hex()))
}

/// Makes a folder that only its owner may enter, parents included where they are missing.
pub(crate) fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}
