//! The vault: client secrets and refresh tokens, encrypted at rest.
//!
//! A folder holds `vault.json`, which says the format and recognises the key, and one file for each
//! record, replaced as a whole. So a rotated refresh token costs one small write, however many accounts
//! there are, a cut-off write spoils nothing, and a damaged file is one account's trouble. Nothing
//! in the folder can be read without the key, not even the accounts' names.
//!
//! The vault never logs, and never keeps a secret in memory longer than a call. Access tokens are
//! never stored. Calls block on the disk; async callers must step aside.

mod cipher;
mod key;

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::cipher::{Cipher, Purpose};
pub use self::key::{KeySource, VaultKey};

/// The format that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;
const HEADER: &str = "vault.json";
const CHECK: &[u8] = b"this is the right key";

/// An open vault; clones are the same vault.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    cipher: Cipher,
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

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// A connection's client secret.
    ClientSecret,
    /// An account's refresh token and who it is.
    SignIn,
}

impl RecordKind {
    const fn name(self) -> &'static str {
        match self {
            Self::ClientSecret => "client-secret",
            Self::SignIn => "sign-in",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::ClientSecret => "enter the connection's client secret again",
            Self::SignIn => "sign the account in again",
        }
    }
}

/// Which record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordId<'a> {
    /// The connection's name.
    pub(crate) connection: &'a str,
    /// The account, in the spelling of the connection; empty for what belongs to the connection.
    pub(crate) account: &'a str,
    /// What it is.
    pub(crate) kind: RecordKind,
}

impl<'a> RecordId<'a> {
    fn identity(&self) -> [&'a str; 3] {
        [self.connection, self.account, self.kind.name()]
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    format: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cipher: Option<String>,
    /// Nonce and ciphertext.
    text: String,
}

impl Vault {
    /// Opens the vault in `folder`, and makes it where there is none.
    ///
    /// # Errors
    /// [`VaultError`]: a key that is missing, is none, or is another vault's; a newer vault; a damaged
    /// header; the disk's.
    pub fn open(folder: &Path, key: &KeySource) -> Result<Self, VaultError> {
        create_folder(folder).map_err(|error| VaultError::io(folder, &error))?;
        let path = folder.join(HEADER);
        let header = read(
            &path,
            "restore the folder from a backup, or move it away and sign all accounts in again",
        )?;
        let key = VaultKey::load(key, header.is_none())?;
        let cipher = Cipher::new(&key);
        match header {
            Some(header) => {
                if cipher
                    .decrypt(Purpose::Check, &[], &header.text)
                    .is_none_or(|text| *text != CHECK)
                {
                    return Err(VaultError::WrongKey(folder.display().to_string()));
                }
            }
            None => {
                let text = cipher
                    .encrypt(Purpose::Check, &[], CHECK)
                    .map_err(VaultError::Io)?;
                let cipher = Some("xchacha20-poly1305".to_owned());
                write(
                    &path,
                    &File {
                        format: FORMAT,
                        cipher,
                        text,
                    },
                )?;
            }
        }
        Ok(Self(Arc::new(Inner {
            folder: folder.to_owned(),
            cipher,
        })))
    }

    /// Encrypts a secret for a place outside of the vault, such as the journal. It can be opened only
    /// with the same `context`.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn seal(&self, context: &str, secret: &str) -> Result<String, VaultError> {
        self.0
            .cipher
            .encrypt(Purpose::Url, &[context], secret.as_bytes())
            .map_err(VaultError::Io)
    }

    /// Decrypts what [`Vault::seal`] gave.
    ///
    /// # Errors
    /// [`VaultError::NotSealedHere`].
    pub fn open_sealed(&self, context: &str, sealed: &str) -> Result<SecretString, VaultError> {
        let plain = self
            .0
            .cipher
            .decrypt(Purpose::Url, &[context], sealed)
            .ok_or(VaultError::NotSealedHere)?;
        let text = std::str::from_utf8(&plain).map_err(|_| VaultError::NotSealedHere)?;
        Ok(SecretString::from(text))
    }

    /// A record's text.
    pub(crate) fn get(&self, id: RecordId<'_>) -> Result<Option<SecretString>, VaultError> {
        let path = self.path(id);
        let Some(file) = read(&path, id.kind.remedy())? else {
            return Ok(None);
        };
        let plain = self
            .0
            .cipher
            .decrypt(Purpose::Record, &id.identity(), &file.text);
        plain
            .as_ref()
            .and_then(|plain| std::str::from_utf8(plain).ok())
            .map(|text| Some(SecretString::from(text)))
            .ok_or_else(|| VaultError::Damaged {
                path: path.display().to_string(),
                problem: "its text is not what was written".to_owned(),
                remedy: id.kind.remedy().to_owned(),
            })
    }

    /// Stores a record in the place of the one before; durable when it returns.
    pub(crate) fn put(&self, id: RecordId<'_>, text: &SecretString) -> Result<(), VaultError> {
        let plain = text.expose_secret().as_bytes();
        let text = self
            .0
            .cipher
            .encrypt(Purpose::Record, &id.identity(), plain)
            .map_err(VaultError::Io)?;
        write(
            &self.path(id),
            &File {
                format: FORMAT,
                cipher: None,
                text,
            },
        )
    }

    fn path(&self, id: RecordId<'_>) -> PathBuf {
        self.0
            .folder
            .join(self.0.cipher.name(&id.identity()))
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
    let Version { format } = serde_json::from_str(&text).map_err(damaged)?;
    if format > FORMAT {
        return Err(VaultError::Newer {
            path: path.display().to_string(),
            found: format,
        });
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
mod tests {
    use super::*;

    const ID: RecordId<'static> = RecordId {
        connection: "contracts",
        account: "svc@contoso.example",
        kind: RecordKind::SignIn,
    };

    fn key(folder: &Path) -> KeySource {
        KeySource::File(folder.join("vault.key"))
    }

    fn open(folder: &Path) -> Result<Vault, VaultError> {
        Vault::open(&folder.join("vault"), &key(folder))
    }

    fn record(folder: &Path) -> PathBuf {
        fs::read_dir(folder.join("vault"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| !path.ends_with(HEADER))
            .unwrap()
    }

    #[test]
    fn records_survive_and_show_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(folder.path()).unwrap();
        assert!(vault.get(ID).unwrap().is_none());
        for text in ["first", "canary-secret"] {
            vault.put(ID, &text.into()).unwrap();
        }
        drop(vault);
        let vault = open(folder.path()).unwrap();
        assert_eq!(
            vault.get(ID).unwrap().unwrap().expose_secret(),
            "canary-secret"
        );
        let other = RecordId {
            kind: RecordKind::ClientSecret,
            ..ID
        };
        assert!(vault.get(other).unwrap().is_none());
        assert!(!format!("{vault:?}").contains("canary"));
        let files: Vec<_> = fs::read_dir(folder.path().join("vault")).unwrap().collect();
        assert_eq!(files.len(), 2, "one header and one record, no leftovers");
        for file in files {
            let path = file.unwrap().path();
            let text = format!("{} {}", path.display(), fs::read_to_string(&path).unwrap());
            for secret in ["canary", "contracts", "svc@contoso"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }

    #[test]
    fn another_key_is_told_from_damage() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).unwrap().put(ID, &"x".into()).unwrap();
        fs::remove_file(folder.path().join("vault.key")).unwrap();
        let missing = open(folder.path()).unwrap_err();
        assert!(matches!(missing, VaultError::BadKey(_)), "{missing}");
        assert!(
            !folder.path().join("vault.key").exists(),
            "no new key for an old vault"
        );
        let other = KeySource::Given("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".into());
        let wrong = Vault::open(&folder.path().join("vault"), &other).unwrap_err();
        assert!(matches!(wrong, VaultError::WrongKey(_)), "{wrong}");
        assert!(wrong.to_string().contains("DOCKET_VAULT_KEY"), "{wrong}");
    }

    #[test]
    fn newer_and_damaged_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(folder.path()).unwrap();
        vault.put(ID, &"x".into()).unwrap();
        let path = record(folder.path());
        let whole = fs::read_to_string(&path).unwrap();
        let newer = r#"{"format": 2, "something": "else"}"#;
        for (text, part) in [
            (newer, "newer version"),
            ("", "empty"),
            ("{", "damaged"),
            (&whole[..whole.len() / 2], "damaged"),
            (
                &whole.replace("\"text\":\"", "\"text\":\"A"),
                "not what was written",
            ),
            ("{\"format\":1,\"text\":\"\"}", "not what was written"),
        ] {
            fs::write(&path, text).unwrap();
            let error = vault.get(ID).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(
                part == "newer version" || error.contains("sign the account in again"),
                "{error}"
            );
        }
        fs::write(&path, &whole).unwrap();
        assert!(vault.get(ID).unwrap().is_some());

        let header = folder.path().join("vault").join(HEADER);
        for (text, part) in [(newer, "newer version"), ("", "empty"), ("[]", "damaged")] {
            fs::write(&header, text).unwrap();
            let error = open(folder.path()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_record_is_no_other_records() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(folder.path()).unwrap();
        vault.put(ID, &"x".into()).unwrap();
        let other = RecordId {
            account: "anna@contoso.example",
            ..ID
        };
        fs::copy(vault.path(ID), vault.path(other)).unwrap();
        let error = vault.get(other).unwrap_err();
        assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
    }

    #[test]
    fn sealed_urls_open_in_their_place_only() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(folder.path()).unwrap();
        let sealed = vault
            .seal("run/step/1", "https://outlook.test/?authtoken=canary")
            .unwrap();
        assert!(!sealed.contains("canary"));
        let opened = vault.open_sealed("run/step/1", &sealed).unwrap();
        assert_eq!(
            opened.expose_secret(),
            "https://outlook.test/?authtoken=canary"
        );
        for (context, sealed) in [
            ("run/step/2", sealed.as_str()),
            ("run/step/1", &sealed[2..]),
            ("run/step/1", ""),
        ] {
            let error = vault.open_sealed(context, sealed).unwrap_err();
            assert_eq!(error, VaultError::NotSealedHere);
        }
    }

    #[test]
    fn the_disks_own_errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        let error = Vault::open(&path.join("vault"), &key(folder.path())).unwrap_err();
        assert!(
            matches!(&error, VaultError::Io(text) if text.contains("file")),
            "{error}"
        );
    }
}
