//! `docket vault`: another key, and backups under a passphrase.

use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use docket_connections::{BackupError, KeySource, Vault};
use secrecy::SecretString;
use serde_json::json;

use crate::cli::{Global, VaultCommand};
use crate::exit::{Exit, Failed};
use crate::host;
use crate::project::Project;
use crate::render::{self, note};

/// The environment variable with a backup's passphrase.
const PASSPHRASE: &str = "DOCKET_BACKUP_PASSPHRASE";

pub(crate) fn run(global: &Global, command: VaultCommand) -> Result<Exit> {
    let project = Project::load(global)?;
    // Whoever has the journal open may write to the vault; both are of one owner.
    let _owner = host::own(&project.data)?;
    let source = project.key_source(global)?;
    let vault = host::vault(&project.data, &source)?;
    match command {
        VaultCommand::RotateKey {
            to_file,
            to_keyring,
        } => rotate(&project, &vault, source, to_file.as_deref(), to_keyring),
        VaultCommand::Export {
            file,
            passphrase_file,
        } => {
            let passphrase = passphrase(passphrase_file.as_deref())?;
            let backup = vault.export(&passphrase).map_err(failed)?;
            write_private(&file, &backup).map_err(|error| {
                Failed::new(Exit::Storage, format!("{}: {error}", file.display()))
            })?;
            note!(
                "written to {}; only the passphrase opens it",
                file.display()
            );
            Ok(Exit::Success)
        }
        VaultCommand::Import {
            file,
            passphrase_file,
            replace,
        } => {
            let backup = std::fs::read_to_string(&file).map_err(|error| {
                Failed::new(Exit::Invalid, format!("{}: {error}", file.display()))
            })?;
            let passphrase = passphrase(passphrase_file.as_deref())?;
            let done = vault
                .import(&backup, &passphrase, replace)
                .map_err(failed)?;
            if global.json {
                render::line(&json!({"stored": done.stored, "kept": done.kept}).to_string());
            } else {
                note!("{} stored, {} kept as they were", done.stored, done.kept);
            }
            Ok(Exit::Success)
        }
    }
}

fn rotate(
    project: &Project,
    vault: &Vault,
    from: KeySource,
    to_file: Option<&Path>,
    to_keyring: bool,
) -> Result<Exit> {
    let to = match (to_file, to_keyring) {
        (Some(file), _) => KeySource::File(file.to_owned()),
        (None, true) => project.keyring()?,
        (None, false) if matches!(from, KeySource::Given(_)) => {
            return Err(Failed::new(
                Exit::Usage,
                "the key comes from DOCKET_VAULT_KEY, which cannot be changed from here",
            )
            .with_help("give --to-file FILE or --to-keyring")
            .into());
        }
        (None, false) => from,
    };
    vault
        .rotate(&to)
        .map_err(|error| Failed::new(Exit::Storage, error.to_string()))?;
    match &to {
        KeySource::File(path) => note!("the vault has a new key, in {}", path.display()),
        _ => note!("the vault has a new key, in the system's keyring"),
    }
    Ok(Exit::Success)
}

fn passphrase(file: Option<&Path>) -> Result<SecretString> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failed::new(Exit::Invalid, format!("{}: {error}", path.display())))?,
        None => std::env::var(PASSPHRASE).map_err(|_| {
            Failed::new(Exit::Usage, "a passphrase is needed").with_help(format!(
                "give --passphrase-file FILE, or set {PASSPHRASE}"
            ))
        })?,
    };
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}

fn failed(error: BackupError) -> Failed {
    let exit = match &error {
        BackupError::Vault(_) => Exit::Storage,
        _ => Exit::Invalid,
    };
    Failed::new(exit, error.to_string())
}

/// Writes a new file that its owner alone may read; never over another.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
