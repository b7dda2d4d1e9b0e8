//! The vault's key: 32 random bytes, from the environment, from a file that only its owner reads, or
//! from the system's keyring.

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
#[derive(Debug)]
pub enum KeySource {
    /// The key itself in base64, as `openssl rand -base64 32` prints it; what the environment
    /// variable `DOCKET_VAULT_KEY` holds.
    Given(SecretString),
    /// A file with the key in base64, made on first use and readable by its owner alone.
    File(PathBuf),
    /// The system's keyring; the key is made on first use.
    Keyring(Keyring),
}

/// The key in use, in a keyring.
const CURRENT: &str = "vault-key";
/// The key that a rotation is about to use, in a keyring.
const NEXT: &str = "vault-key-next";

/// Where a key file's successor lies until the vault is encrypted with it.
fn next_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
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

    /// Gets the key. `may_create` says whether there is nothing yet that another key was used for.
    pub(super) fn load(source: &KeySource, may_create: bool) -> Result<Self, VaultError> {
        match source {
            KeySource::Keyring(keyring) => match keyring.get(CURRENT)? {
                Some(text) => Self::decode(text.expose_secret()).ok_or_else(|| {
                    VaultError::BadKey(format!("{keyring} does not hold a key"))
                }),
                None if may_create => {
                    let key = Self::generate()?;
                    keyring.set(CURRENT, &key.encode())?;
                    Ok(key)
                }
                None => Err(VaultError::BadKey(format!(
                    "{keyring} holds no key for the vault, and the vault cannot be read without it; restore it, or set DOCKET_VAULT_KEY to the key"
                ))),
            },
            KeySource::Given(text) => Self::decode(text.expose_secret()).ok_or_else(|| {
                VaultError::BadKey(
                    "DOCKET_VAULT_KEY is not a key; it must be 32 bytes in base64, as `openssl rand -base64 32` prints them".to_owned(),
                )
            }),
            KeySource::File(path) => match fs::read_to_string(path).map(Zeroizing::new) {
                Ok(text) => {
                    check_owner_only(path)?;
                    Self::decode(&text).ok_or_else(|| {
                        VaultError::BadKey(format!(
                            "{} does not hold a key; restore it from a backup",
                            path.display()
                        ))
                    })
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && may_create => {
                    Self::create(path)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(VaultError::BadKey(format!(
                        "the key file {} is missing, and the vault cannot be read without it; restore it from a backup, or set DOCKET_VAULT_KEY to the key",
                        path.display()
                    )))
                }
                Err(error) => Err(VaultError::io(path, &error)),
            },
        }
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
            KeySource::Given(_) => Self::load(source, false),
            KeySource::File(path) if !path.exists() => Self::create(path),
            KeySource::File(path) => {
                // What an interrupted rotation left behind opens nothing.
                let next = next_of(path);
                match fs::remove_file(&next) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(VaultError::io(&next, &error))
                    }
                    _ => Self::create(&next),
                }
            }
            KeySource::Keyring(keyring) => {
                let key = Self::generate()?;
                keyring.set(NEXT, &key.encode())?;
                Ok(key)
            }
        }
    }

    /// The key that [`VaultKey::make_next`] made, where the rotation to it has not ended.
    pub(super) fn load_next(source: &KeySource) -> Result<Option<Self>, VaultError> {
        match source {
            KeySource::Given(_) => Ok(None),
            KeySource::File(path) => {
                let next = next_of(path);
                match next.exists() {
                    true => Self::load(&KeySource::File(next), false).map(Some),
                    false => Ok(None),
                }
            }
            KeySource::Keyring(keyring) => {
                let text = keyring.get(NEXT)?;
                Ok(text.and_then(|text| Self::decode(text.expose_secret())))
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
                    // It was made in its place at once.
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

    /// Makes the file whole or not at all, and never over another.
    fn create(path: &Path) -> Result<Self, VaultError> {
        let key = Self::generate()?;
        let text = key.encode();
        let folder = super::folder_of(path);
        let written = super::create_folder(folder).and_then(|()| {
            // A temporary file is its owner's alone from the start.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.expose_secret().as_bytes())?;
            file.as_file().sync_all()?;
            match file.persist_noclobber(path) {
                Ok(_) => super::sync_folder(folder).map(|()| true),
                // Another process was faster.
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error.error),
            }
        });
        match written {
            Ok(true) => Ok(key),
            Ok(false) => Self::load(&KeySource::File(path.to_owned()), false),
            Err(error) => Err(VaultError::io(path, &error)),
        }
    }
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
                Ok(key) => assert!(is_key && !format!("{key:?}").contains('7')),
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
        assert_eq!(first.bytes(), second.bytes());
        fs::write(&path, "cut").unwrap();
        let cut = VaultKey::load(&source, true).unwrap_err().to_string();
        assert!(cut.contains("backup"), "{cut}");
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
