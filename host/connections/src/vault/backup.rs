//! The vault as one text, encrypted with a passphrase (Argon2id, XChaCha20-Poly1305), and back.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::cipher::{Cipher, Purpose};
use super::key::{KEY, VaultKey};
use super::record::RecordName;
use super::{Vault, VaultError};

const FORMAT: u32 = 1;
/// RFC 9106 section 4, the second recommended option: 64 MiB, 3 passes, 4 lanes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// What a backup may ask of the machine that reads it.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 16;
const SALT: usize = 16;
/// The shortest passphrase, in characters.
const SHORTEST: usize = 12;

/// Why a backup cannot be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It is shorter than 12 characters.
    #[error("the passphrase is too short; use {SHORTEST} characters or more")]
    ShortPassphrase,
    /// The passphrase is another one, or the text was changed.
    #[error("the backup cannot be opened: the passphrase is wrong, or the file is damaged")]
    WrongPassphrase,
    /// It is no backup, or one of a newer version.
    #[error("this is no backup of a vault: {0}")]
    NotABackup(String),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// What a backup brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Imported {
    /// Records that were stored.
    pub stored: usize,
    /// Records that the vault had already and kept.
    pub kept: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    docket_vault_backup: u32,
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    name: RecordName,
    text: String,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl Vault {
    /// All records as one text that only the passphrase opens. Takes about a second, and blocks.
    ///
    /// # Errors
    /// [`BackupError`]; a damaged record is an error, so that no backup lacks one silently.
    pub fn export(&self, passphrase: &SecretString) -> Result<String, BackupError> {
        if passphrase.expose_secret().chars().count() < SHORTEST {
            return Err(BackupError::ShortPassphrase);
        }
        let mut records = Vec::new();
        let names = self.list()?;
        if names.len() < self.files()?.len() {
            let problem = "one of its files cannot be read";
            return Err(BackupError::Vault(VaultError::Damaged {
                path: self.0.folder.display().to_string(),
                problem: problem.to_owned(),
                remedy: "look for the connection whose status shows a problem".to_owned(),
            }));
        }
        for name in names {
            if let Some(text) = self.get(name.id())? {
                let text = text.expose_secret().to_owned();
                records.push(Record { name, text });
            }
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        let plain = Zeroizing::new(
            serde_json::to_vec(&records).map_err(|error| VaultError::Io(error.to_string()))?,
        );
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt)
            .map_err(|error| VaultError::Io(format!("no random bytes: {error}")))?;
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(KEY))
            .map_err(|error| VaultError::Io(error.to_string()))?;
        let key = derive(passphrase, &salt, params)?;
        let text = Cipher::new(&key)
            .encrypt(Purpose::Backup, &[], &plain)
            .map_err(VaultError::Io)?;
        let file = File {
            docket_vault_backup: FORMAT,
            kdf: "argon2id".to_owned(),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: URL_SAFE_NO_PAD.encode(salt),
            text,
        };
        let mut text =
            serde_json::to_string(&file).map_err(|error| VaultError::Io(error.to_string()))?;
        text.push('\n');
        Ok(text)
    }

    /// Stores the records of a backup. Those that the vault has already it keeps, unless `replace`
    /// says otherwise: they are likely newer. Blocks.
    ///
    /// # Errors
    /// [`BackupError`]. Nothing was stored unless it is the vault's.
    pub fn import(
        &self,
        backup: &str,
        passphrase: &SecretString,
        replace: bool,
    ) -> Result<Imported, BackupError> {
        let no_backup = |problem: &str| BackupError::NotABackup(problem.to_owned());
        let file: File =
            serde_json::from_str(backup).map_err(|_| no_backup("it cannot be read"))?;
        if file.docket_vault_backup != FORMAT || file.kdf != "argon2id" {
            return Err(no_backup("it is of another version of Docket"));
        }
        if file.memory_kib > MOST_MEMORY_KIB || file.passes > MOST_PASSES || file.lanes > 64 {
            return Err(no_backup("it asks for more memory or time than any does"));
        }
        let params = Params::new(file.memory_kib, file.passes, file.lanes, Some(KEY))
            .map_err(|_| no_backup("its parameters are none"))?;
        let salt = URL_SAFE_NO_PAD
            .decode(&file.salt)
            .map_err(|_| no_backup("its salt cannot be read"))?;
        let key = derive(passphrase, &salt, params)?;
        let plain = Cipher::new(&key)
            .decrypt(Purpose::Backup, &[], &file.text)
            .ok_or(BackupError::WrongPassphrase)?;
        let records: Vec<Record> =
            serde_json::from_slice(&plain).map_err(|_| no_backup("its records cannot be read"))?;
        let mut imported = Imported { stored: 0, kept: 0 };
        for record in &records {
            let id = record.name.id();
            if !replace && matches!(self.get(id), Ok(Some(_))) {
                imported.kept += 1;
            } else {
                self.put(id, &SecretString::from(record.text.as_str()))?;
                imported.stored += 1;
            }
        }
        Ok(imported)
    }
}

fn derive(passphrase: &SecretString, salt: &[u8], params: Params) -> Result<VaultKey, BackupError> {
    let mut bytes = Zeroizing::new([0; KEY]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(
            passphrase.expose_secret().as_bytes(),
            salt,
            bytes.as_mut_slice(),
        )
        .map_err(|error| BackupError::NotABackup(error.to_string()))?;
    Ok(VaultKey::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::{KeySource, RecordId, RecordKind};

    const ID: RecordId<'static> = RecordId {
        connection: "contracts",
        account: "svc@contoso.example",
        kind: RecordKind::SignIn,
    };

    #[test]
    fn there_and_back() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = |folder: &tempfile::TempDir| {
            let key = KeySource::File(folder.path().join("key"));
            Vault::open(&folder.path().join("vault"), &key).unwrap()
        };
        let (vault, passphrase) = (open(&one), "correct horse battery".into());
        vault.put(ID, &"canary-old".into()).unwrap();
        let backup = vault.export(&passphrase).unwrap();
        for secret in ["canary", "contracts", "svc@"] {
            assert!(!backup.contains(secret), "{backup}");
        }
        let copy = open(&other);
        let imported = copy.import(&backup, &passphrase, false).unwrap();
        assert_eq!(imported, Imported { stored: 1, kept: 0 });
        let text = |vault: &Vault| vault.get(ID).unwrap().unwrap().expose_secret().to_owned();
        assert_eq!(text(&copy), "canary-old");
        copy.put(ID, &"newer".into()).unwrap();
        let imported = copy.import(&backup, &passphrase, false).unwrap();
        assert_eq!(imported, Imported { stored: 0, kept: 1 });
        assert_eq!(text(&copy), "newer");
        copy.import(&backup, &passphrase, true).unwrap();
        assert_eq!(text(&copy), "canary-old");

        assert_eq!(
            copy.import(&backup, &"another passphrase".into(), false),
            Err(BackupError::WrongPassphrase)
        );
        assert_eq!(
            vault.export(&"short".into()),
            Err(BackupError::ShortPassphrase)
        );
        let changed = backup.replace("\"text\":\"", "\"text\":\"A");
        assert_eq!(
            copy.import(&changed, &passphrase, false),
            Err(BackupError::WrongPassphrase)
        );
        for text in [
            "",
            "{}",
            &backup[..backup.len() / 2],
            &backup.replace("\"docket-vault-backup\":1", "\"docket-vault-backup\":2"),
            &backup.replace("\"memory-kib\":65536", "\"memory-kib\":4000000000"),
            &backup.replace("\"passes\":3", "\"passes\":0"),
        ] {
            let error = copy.import(text, &passphrase, false).unwrap_err();
            assert!(
                matches!(error, BackupError::NotABackup(_)),
                "{text}: {error}"
            );
        }
    }
}
