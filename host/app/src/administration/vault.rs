//! The vault's key, and backups of the vault under a passphrase.

use std::path::PathBuf;

use docket_connections::{BackupError, KeySource, Vault};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failed};
use crate::project::Project;

/// Where a vault's new key goes; without either, in the place of the one before.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct NewKey {
    /// A file on this machine, by its whole path.
    #[serde(default)]
    pub(crate) to_file: Option<PathBuf>,
    /// The system's keyring.
    #[serde(default)]
    pub(crate) to_keyring: bool,
}

/// Encrypts the vault with a new key; says where that is. Blocks on the disk.
pub(crate) fn rotate(project: &Project, vault: &Vault, new: NewKey) -> Result<String, Failed> {
    let storage = |error: &dyn std::fmt::Display| Failed::new(Exit::Storage, error.to_string());
    let to = match (new.to_file, new.to_keyring) {
        (Some(file), _) if !file.is_absolute() => {
            let what = "`to-file` is the whole path of a file on this machine";
            return Err(Failed::new(Exit::Usage, what));
        }
        (Some(file), _) => KeySource::File(file),
        (None, true) => project.keyring().map_err(|error| storage(&error))?,
        // Where it is since the last rotation, which may be elsewhere than when this process began.
        (None, false) => vault.key_source(),
    };
    if matches!(to, KeySource::Given(_)) {
        let what = "the key comes from DOCKET_VAULT_KEY, which cannot be changed from here";
        return Err(Failed::new(Exit::Usage, what).with_help("give --to-file FILE or --to-keyring"));
    }
    vault.rotate(&to).map_err(|error| storage(&error))?;
    Ok(match to {
        KeySource::File(path) => path.display().to_string(),
        _ => "the system's keyring".to_owned(),
    })
}

/// An error of a backup, with its exit code.
pub(crate) fn of_backup(error: BackupError) -> Failed {
    let exit = match &error {
        BackupError::Vault(_) => Exit::Storage,
        _ => Exit::Invalid,
    };
    Failed::new(exit, error.to_string())
}
