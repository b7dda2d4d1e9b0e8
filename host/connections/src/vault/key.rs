//! The vault's key: 32 random bytes, from the environment, from a file that only its owner reads, or
//! from the system's keyring.
//!
//! Several vaults may share a key file, as all projects of a person do by default. So a file holds
//! every key that one of them may need, the newest first, and a rotation adds one and removes none.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::VaultError;
use super::keyring::Keyring;

/// A key's length in bytes.
pub(super) const KEY: usize = 32;

/// 32 bytes that encrypt.
pub(super) struct VaultKey(Zeroizing<[u8; KEY]>);

/// Where the key comes from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// The key itself in base64, as `openssl rand -base64 32` prints it; what the environment
    /// variable `DOCKET_VAULT_KEY` holds.
    Given(SecretString),
    /// A file with the key in base64, made on first use and readable by its owner alone. The keys of
    /// other vaults, and those before a rotation, stand on lines of their own.
    File(PathBuf),
    /// The system's keyring; the key is made on first use.
    Keyring(Keyring),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("DOCKET_VAULT_KEY"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Keyring(keyring) => keyring.fmt(f),
        }
    }
}

/// The key in use, in a keyring.
const CURRENT: &str = "vault-key";
/// The key that a rotation is about to use, in a keyring.
const NEXT: &str = "vault-key-next";

/// Where a key file's successor lies until the vault is encrypted with it. It holds all that the file
/// holds, and so may take its place at any time.
fn next_of(path: &Path) -> PathBuf {
    beside(path, ".next")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultKey(…)")
    }
}

impl VaultKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn generate() -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut())
            .map_err(|error| VaultError::Io(format!("no random bytes: {error}")))?;
        Ok(Self(bytes))
    }

    /// Gets the keys, the newest first; there is one at least. `may_create` says whether one may be
    /// made where there is none: nothing was encrypted with it yet.
    pub(super) fn load(source: &KeySource, may_create: bool) -> Result<Vec<Self>, VaultError> {
        match source {
            KeySource::Keyring(keyring) => match keyring.get(CURRENT)? {
                Some(text) => Self::decode(text.expose_secret())
                    .map(|key| vec![key])
                    .ok_or_else(|| VaultError::BadKey(format!("{keyring} does not hold a key"))),
                None if may_create => {
                    let key = Self::generate()?;
                    keyring.set(CURRENT, &key.encode())?;
                    Ok(vec![key])
                }
                None => Err(VaultError::BadKey(format!(
                    "{keyring} holds no key for the vault, and the vault cannot be read without it; restore it, or set DOCKET_VAULT_KEY to the key"
                ))),
            },
            KeySource::Given(_) => Self::given(source).map(|key| vec![key]),
            KeySource::File(path) => match Self::read(path)? {
                Some(keys) => Ok(keys),
                None if may_create => Self::create(path),
                None => Err(VaultError::BadKey(format!(
                    "the key file {} is missing, and the vault cannot be read without it; restore it from a backup, or set DOCKET_VAULT_KEY to the key",
                    path.display()
                ))),
            },
        }
    }

    /// The key that the operator gave.
    fn given(source: &KeySource) -> Result<Self, VaultError> {
        let key = match source {
            KeySource::Given(text) => Self::decode(text.expose_secret()),
            KeySource::File(_) | KeySource::Keyring(_) => None,
        };
        key.ok_or_else(|| {
            VaultError::BadKey(
                "DOCKET_VAULT_KEY is not a key; it must be 32 bytes in base64, as `openssl rand -base64 32` prints them".to_owned(),
            )
        })
    }

    /// The keys of a file; `None` where there is no file.
    fn read(path: &Path) -> Result<Option<Vec<Self>>, VaultError> {
        let text = match fs::read_to_string(path).map(Zeroizing::new) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(VaultError::io(path, &error)),
        };
        check_owner_only(path)?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let keys: Option<Vec<Self>> = lines.map(Self::decode).collect();
        let keys = keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
            VaultError::BadKey(format!(
                "{} does not hold a key; restore it from a backup",
                path.display()
            ))
        })?;
        Ok(Some(keys))
    }

    pub(super) fn from_bytes(bytes: &[u8; KEY]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY] {
        &self.0
    }

    pub(super) fn copy(&self) -> Self {
        Self::from_bytes(&self.0)
    }

    /// Makes the key that the vault is about to be rotated to, beside the one in use. The key itself
    /// where it was given.
    pub(super) fn make_next(source: &KeySource) -> Result<Self, VaultError> {
        match source {
            KeySource::Given(_) => Self::given(source),
            KeySource::File(path) => {
                // Another vault's rotation that read the same keys would leave this one's out.
                let _alone = lock(path)?;
                let key = Self::generate()?;
                let mut keys = vec![key.copy()];
                // In this order: what takes the file's place in between is in the first.
                for file in [&next_of(path), path] {
                    for other in Self::read(file)?.into_iter().flatten() {
                        if !keys.iter().any(|known| known.bytes() == other.bytes()) {
                            keys.push(other);
                        }
                    }
                }
                let next = next_of(path);
                let written = Self::write(&keys, &next).and_then(|file| {
                    file.persist(&next).map_err(|error| error.error)?;
                    super::sync_folder(super::folder_of(&next))
                });
                written.map_err(|error| VaultError::io(&next, &error))?;
                Ok(key)
            }
            KeySource::Keyring(keyring) => {
                let key = Self::generate()?;
                keyring.set(NEXT, &key.encode())?;
                Ok(key)
            }
        }
    }

    /// The keys of a rotation that has not ended; none where there is no such rotation.
    pub(super) fn load_next(source: &KeySource) -> Result<Vec<Self>, VaultError> {
        match source {
            KeySource::Given(_) => Ok(Vec::new()),
            KeySource::File(path) => Ok(Self::read(&next_of(path))?.unwrap_or_default()),
            KeySource::Keyring(keyring) => {
                let text = keyring.get(NEXT)?;
                let key = text.and_then(|text| Self::decode(text.expose_secret()));
                Ok(key.into_iter().collect())
            }
        }
    }

    /// Puts the key that [`VaultKey::make_next`] made in the place of the one before.
    pub(super) fn promote_next(&self, source: &KeySource) -> Result<(), VaultError> {
        match source {
            KeySource::Given(_) => Ok(()),
            KeySource::File(path) => {
                let next = next_of(path);
                match fs::rename(&next, path) {
                    Ok(()) => super::sync_folder(super::folder_of(path))
                        .map_err(|error| VaultError::io(path, &error)),
                    // Another vault's rotation was faster, and has put it there.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    Err(error) => Err(VaultError::io(&next, &error)),
                }
            }
            KeySource::Keyring(keyring) => {
                keyring.set(CURRENT, &self.encode())?;
                keyring.remove(NEXT)
            }
        }
    }

    fn encode(&self) -> SecretString {
        SecretString::from(STANDARD.encode(*self.0))
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
        bytes.as_slice().try_into().ok().map(Self::from_bytes)
    }

    /// Makes a file with one key, whole or not at all, and never over another.
    fn create(path: &Path) -> Result<Vec<Self>, VaultError> {
        let keys = vec![Self::generate()?];
        let written = Self::write(&keys, path).and_then(|file| {
            match file.persist_noclobber(path) {
                Ok(_) => super::sync_folder(super::folder_of(path)).map(|()| true),
                // Another process was faster.
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error.error),
            }
        });
        match written {
            Ok(true) => Ok(keys),
            Ok(false) => Self::load(&KeySource::File(path.to_owned()), false),
            Err(error) => Err(VaultError::io(path, &error)),
        }
    }

    /// Writes keys, a line each, to a file that has no name yet, in the folder of `path`.
    fn write(keys: &[Self], path: &Path) -> io::Result<tempfile::NamedTempFile> {
        let folder = super::folder_of(path);
        super::create_folder(folder)?;
        // A temporary file is its owner's alone from the start.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        for key in keys {
            file.write_all(key.encode().expose_secret().as_bytes())?;
            file.write_all(b"\n")?;
        }
        file.as_file().sync_all()?;
        Ok(file)
    }
}

/// Keeps other rotations from a key file until it is dropped.
fn lock(path: &Path) -> Result<fs::File, VaultError> {
    let beside = beside(path, ".lock");
    let locked = super::create_folder(super::folder_of(path)).and_then(|()| {
        let mut options = fs::OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = options.open(&beside)?;
        file.lock()?;
        Ok(file)
    });
    locked.map_err(|error| VaultError::io(&beside, &error))
}

#[cfg(unix)]
fn check_owner_only(path: &Path) -> Result<(), VaultError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)
        .map_err(|error| VaultError::io(path, &error))?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(VaultError::BadKey(format!(
        "the key file {path} can be read by others (mode {:03o}); run `chmod 600 {path}`, and make a new vault if somebody may have read it",
        mode & 0o777,
        path = path.display()
    )))
}

#[cfg(not(unix))]
fn check_owner_only(_: &Path) -> Result<(), VaultError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_keys() {
        let good = STANDARD.encode([7; 32]);
        for (text, is_key) in [
            (good.clone(), true),
            (format!("{good}\n"), true),
            (STANDARD.encode([7; 31]), false),
            (STANDARD.encode([7; 33]), false),
            ("correct horse battery staple".to_owned(), false),
            (String::new(), false),
        ] {
            let found = VaultKey::load(&KeySource::Given(text.clone().into()), true);
            match found {
                Ok(keys) => assert!(is_key && !format!("{keys:?}").contains('7')),
                Err(error) => {
                    let error = error.to_string();
                    assert!(!is_key && error.contains("openssl rand"), "{error}");
                    assert!(text.is_empty() || !error.contains(&text), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_key_file_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/vault.key");
        let source = KeySource::File(path.clone());
        let missing = VaultKey::load(&source, false).unwrap_err().to_string();
        assert!(
            missing.contains("vault.key") && missing.contains("DOCKET_VAULT_KEY"),
            "{missing}"
        );
        let first = VaultKey::load(&source, true).unwrap();
        let second = VaultKey::load(&source, false).unwrap();
        assert_eq!(first[0].bytes(), second[0].bytes());
        let good = fs::read_to_string(&path).unwrap();
        for cut in ["cut", "", "\n", &format!("{good}cut\n")] {
            fs::write(&path, cut).unwrap();
            let error = VaultKey::load(&source, true).unwrap_err().to_string();
            assert!(error.contains("backup"), "{cut:?}: {error}");
        }
    }

    #[test]
    fn a_file_keeps_every_key_whoever_rotates_and_wherever_it_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let source = KeySource::File(folder.path().join("vault.key"));
        let mut made = VaultKey::load(&source, true).unwrap();
        // The second rotation finds the first one's unfinished.
        for is_finished in [true, false, false, true, false] {
            let key = VaultKey::make_next(&source).unwrap();
            if is_finished {
                key.promote_next(&source).unwrap();
            }
            made.push(key);
            let kept = match VaultKey::load_next(&source).unwrap() {
                next if next.is_empty() => VaultKey::load(&source, false).unwrap(),
                next => next,
            };
            let kept: Vec<_> = kept.iter().map(VaultKey::bytes).collect();
            let newest_first: Vec<_> = made.iter().rev().map(VaultKey::bytes).collect();
            assert_eq!(kept, newest_first);
        }
        // Where another's rotation has put it in its place, there is nothing left to do.
        for _ in 0..2 {
            made[0].promote_next(&source).unwrap();
        }
        assert_eq!(VaultKey::load(&source, false).unwrap().len(), 6);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        let source = KeySource::File(path.clone());
        VaultKey::load(&source, true).unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        mode(0o640);
        let error = VaultKey::load(&source, true).unwrap_err().to_string();
        assert!(
            error.contains("mode 640") && error.contains("chmod 600"),
            "{error}"
        );
        mode(0o400);
        VaultKey::load(&source, true).unwrap();
    }
}
