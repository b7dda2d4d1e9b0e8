//! The vault: client secrets and refresh tokens, encrypted at rest.
//!
//! A folder holds `vault.json`, which holds the vault's keys, encrypted with the operator's, and one
//! file for each record, replaced as a whole. So a rotated refresh token costs one small write, however
//! many accounts there are, a cut-off write spoils nothing, and a damaged file is one account's
//! trouble. Nothing in the folder can be read without the key, not even the accounts' names.
//!
//! The vault never logs, and never keeps a secret in memory longer than a call. Access tokens are
//! never stored. Calls block on the disk; async callers must step aside. Only one process at a time
//! has a vault open; the journal's lock sees to that.

mod backup;
mod cipher;
mod header;
mod key;
mod keyring;
mod record;
mod rotate;

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::backup::{BackupError, Imported};
use self::cipher::{Purpose, Ring};
use self::header::{find_key, make, refuse_orphans, unlock};
pub use self::key::KeySource;
pub use self::keyring::Keyring;
pub(crate) use self::record::{RecordId, RecordKind, RecordName};

/// The format that this version writes and reads.
const FORMAT: u32 = 2;
const HEADER: &str = "vault.json";
/// So many records are not worth another thread.
const FEW: usize = 256;
const RESTORE: &str =
    "restore the folder from a backup, or move it away and sign all accounts in again";

/// An open vault; clones are the same vault.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    /// Where the operator's key is kept; held while that changes.
    source: Mutex<KeySource>,
    ring: RwLock<Arc<Ring>>,
    /// Read by whoever writes a record, written by a rotation while it writes one again.
    writing: RwLock<()>,
}

/// Why the vault cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The key is missing or is no key.
    #[error("{0}")]
    BadKey(String),
    /// The vault was made with another key.
    #[error(
        "the vault {0} was made with another key; give it the key that it was made with (DOCKET_VAULT_KEY or its key file), or move the folder away and sign all accounts in again"
    )]
    WrongKey(String),
    /// The vault was written by a newer version.
    #[error(
        "{path} was written by a newer version of Docket (format {found}, this one reads up to {FORMAT}); upgrade Docket"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its format.
        found: u32,
    },
    /// The vault was written by a version before the first release.
    #[error(
        "{0} was written by a version of Docket before its first release; move the folder away and sign all accounts in again"
    )]
    Older(String),
    /// A file is not what was written.
    #[error("{path} is damaged: {problem}; {remedy}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// Sealed text that this vault did not write for this place.
    #[error(
        "a sealed URL of the journal cannot be opened: it is damaged, or was sealed with another vault's key"
    )]
    NotSealedHere,
    /// The disk's own words.
    #[error("the vault cannot be written or read: {0}")]
    Io(String),
}

impl VaultError {
    fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io(format!("{}: {error}", path.display()))
    }
}

/// A file of the vault: the header, or a record.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    format: u32,
    /// Which record it is, encrypted; the header has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// In the header: whether records may still be encrypted with an older key of the ring.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    renewing: bool,
    /// Nonce and ciphertext.
    text: String,
}

impl Vault {
    /// Opens the vault in `folder`, and makes it where there is none. A rotation that was interrupted
    /// is brought to its end.
    ///
    /// # Errors
    /// [`VaultError`]: a key that is missing, is none, or is another vault's; a newer vault; a damaged
    /// header; the disk's.
    pub fn open(folder: &Path, source: &KeySource) -> Result<Self, VaultError> {
        create_folder(folder).map_err(|error| VaultError::io(folder, &error))?;
        let header = read(&folder.join(HEADER), RESTORE)?;
        let is_renewing = header.as_ref().is_some_and(|header| header.renewing);
        let (key, ring) = match header {
            Some(header) => unlock(folder, source, &header)?,
            None => make(folder, source)?,
        };
        let vault = Self(Arc::new(Inner {
            folder: folder.to_owned(),
            source: Mutex::new(source.clone()),
            ring: RwLock::new(Arc::new(ring)),
            writing: RwLock::new(()),
        }));
        if is_renewing {
            vault.renew_records(&key)?;
        }
        Ok(vault)
    }

    /// Opens the vault in `folder` to read from it, and changes nothing; `None` where there is none yet.
    /// A rotation that was interrupted stays so.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn look(folder: &Path, source: &KeySource) -> Result<Option<Self>, VaultError> {
        let Some(header) = read(&folder.join(HEADER), RESTORE)? else {
            return match folder.exists() {
                true => refuse_orphans(folder).map(|()| None),
                false => Ok(None),
            };
        };
        let (_, ring, _) = find_key(folder, source, &header)?;
        Ok(Some(Self(Arc::new(Inner {
            folder: folder.to_owned(),
            source: Mutex::new(source.clone()),
            ring: RwLock::new(Arc::new(ring)),
            writing: RwLock::new(()),
        }))))
    }

    /// Where the operator's key is kept, as the last rotation left it.
    #[must_use]
    pub fn key_source(&self) -> KeySource {
        let source = self.0.source.lock().unwrap_or_else(PoisonError::into_inner);
        source.clone()
    }

    /// Encrypts a secret for a place outside of the vault, such as the journal. It can be opened only
    /// with the same `context`.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn seal(&self, context: &str, secret: &str) -> Result<String, VaultError> {
        self.ring()
            .encrypt(Purpose::Url, &[context], secret.as_bytes())
            .map_err(VaultError::Io)
    }

    /// Decrypts what [`Vault::seal`] gave, also before the vault's key was rotated.
    ///
    /// # Errors
    /// [`VaultError::NotSealedHere`].
    pub fn open_sealed(&self, context: &str, sealed: &str) -> Result<SecretString, VaultError> {
        let plain = self
            .ring()
            .decrypt(Purpose::Url, &[context], sealed)
            .ok_or(VaultError::NotSealedHere)?;
        let text = std::str::from_utf8(&plain).map_err(|_| VaultError::NotSealedHere)?;
        Ok(SecretString::from(text))
    }

    /// A record's text.
    pub(crate) fn get(&self, id: RecordId<'_>) -> Result<Option<SecretString>, VaultError> {
        let ring = self.ring();
        let path = self.path(&ring, id);
        let Some(file) = read(&path, id.kind.remedy())? else {
            return Ok(None);
        };
        text_of(&ring, id, &file, &path).map(Some)
    }

    /// Looks at every record of these kinds once, in no order, with its text; what `look` makes of each
    /// is given. Files that cannot be read are left out: whoever asks for their record is told. Many
    /// are read side by side.
    pub(crate) fn each<T: Send>(
        &self,
        kinds: &[RecordKind],
        look: impl Fn(RecordName, Result<SecretString, VaultError>) -> T + Sync,
    ) -> Result<Vec<T>, VaultError> {
        let ring = self.ring();
        let one = |path: &PathBuf| {
            let file = read(path, RESTORE).ok().flatten()?;
            let name = self.name_in(&ring, path, &file)?;
            kinds.contains(&name.kind).then(|| {
                let text = text_of(&ring, name.id(), &file, path);
                look(name, text)
            })
        };
        let files = self.files()?;
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let share = files.len().div_ceil(workers).max(FEW);
        if files.len() <= share {
            return Ok(files.iter().filter_map(one).collect());
        }
        let one = &one;
        std::thread::scope(|scope| {
            let all: Vec<_> = files
                .chunks(share)
                .map(|some| scope.spawn(move || some.iter().filter_map(one).collect::<Vec<T>>()))
                .collect();
            let mut found = Vec::new();
            for worker in all {
                let some = worker.join();
                found.extend(some.map_err(|_| VaultError::Io("a reader panicked".to_owned()))?);
            }
            Ok(found)
        })
    }

    /// Stores a record in the place of the one before; durable when it returns.
    pub(crate) fn put(&self, id: RecordId<'_>, text: &SecretString) -> Result<(), VaultError> {
        let _no_rotation = self
            .0
            .writing
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        self.write_record(&self.ring(), id, text.expose_secret().as_bytes())
    }

    /// The records that there are, in no order. Files that cannot be read are left out: whoever asks
    /// for their record is told.
    pub(crate) fn list(&self) -> Result<Vec<RecordName>, VaultError> {
        let ring = self.ring();
        Ok(self
            .files()?
            .into_iter()
            .filter_map(|path| {
                let file = read(&path, RESTORE).ok().flatten()?;
                self.name_in(&ring, &path, &file)
            })
            .collect())
    }

    /// Which record a file holds.
    fn name_in(&self, ring: &Ring, path: &Path, file: &File) -> Option<RecordName> {
        let stem = path.file_stem()?.to_str()?;
        let plain = ring.decrypt(Purpose::Identity, &[stem], file.id.as_deref()?)?;
        serde_json::from_slice(&plain).ok()
    }

    fn write_record(&self, ring: &Ring, id: RecordId<'_>, plain: &[u8]) -> Result<(), VaultError> {
        let path = self.path(ring, id);
        let stem = ring.name(&id.identity());
        let name = serde_json::to_vec(&RecordName::from(id))
            .map_err(|error| VaultError::Io(error.to_string()))?;
        let encrypt = |purpose, identity: &[&str], plain: &[u8]| {
            ring.encrypt(purpose, identity, plain)
                .map_err(VaultError::Io)
        };
        let file = File {
            format: FORMAT,
            id: Some(encrypt(Purpose::Identity, &[&stem], &name)?),
            renewing: false,
            text: encrypt(Purpose::Record, &id.identity(), plain)?,
        };
        write(&path, &file)
    }

    /// The files of all records.
    fn files(&self) -> Result<Vec<PathBuf>, VaultError> {
        records_in(&self.0.folder)
    }

    fn ring(&self) -> Arc<Ring> {
        let ring = self.0.ring.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&ring)
    }

    fn path(&self, ring: &Ring, id: RecordId<'_>) -> PathBuf {
        self.0
            .folder
            .join(ring.name(&id.identity()))
            .with_extension("json")
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("folder", &self.0.folder)
            .finish_non_exhaustive()
    }
}

/// The text of a record that was read.
fn text_of(
    ring: &Ring,
    id: RecordId<'_>,
    file: &File,
    path: &Path,
) -> Result<SecretString, VaultError> {
    let plain = ring.decrypt(Purpose::Record, &id.identity(), &file.text);
    plain
        .as_ref()
        .and_then(|plain| std::str::from_utf8(plain).ok())
        .map(SecretString::from)
        .ok_or_else(|| VaultError::Damaged {
            path: path.display().to_string(),
            problem: "its text is not what was written".to_owned(),
            remedy: id.kind.remedy().to_owned(),
        })
}

/// The files of all records in a vault's folder.
fn records_in(folder: &Path) -> Result<Vec<PathBuf>, VaultError> {
    let entries = fs::read_dir(folder).map_err(|error| VaultError::io(folder, &error))?;
    Ok(entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .filter(|path| !path.ends_with(HEADER))
        .collect())
}

fn read(path: &Path, remedy: &str) -> Result<Option<File>, VaultError> {
    /// The one thing that every format has.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let text = match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(VaultError::io(path, &error)),
    };
    let damaged = |error: serde_json::Error| VaultError::Damaged {
        path: path.display().to_string(),
        problem: if text.is_empty() {
            "it is empty".to_owned()
        } else {
            error.to_string()
        },
        remedy: remedy.to_owned(),
    };
    if let Ok(file) = serde_json::from_str::<File>(&text)
        && file.format == FORMAT
    {
        return Ok(Some(file));
    }
    let Version { format } = serde_json::from_str(&text).map_err(damaged)?;
    if format > FORMAT {
        return Err(VaultError::Newer {
            path: path.display().to_string(),
            found: format,
        });
    }
    if format < FORMAT {
        return Err(VaultError::Older(path.display().to_string()));
    }
    serde_json::from_str(&text).map(Some).map_err(damaged)
}

fn write(path: &Path, file: &File) -> Result<(), VaultError> {
    let folder = folder_of(path);
    let written = (|| {
        let mut text = serde_json::to_string(file)?;
        text.push('\n');
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        temporary.write_all(text.as_bytes())?;
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|error| error.error)?;
        sync_folder(folder)
    })();
    written.map_err(|error| VaultError::io(path, &error))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes a folder for its owner alone; one that is there stays as it is.
fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes a rename in the folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests;
