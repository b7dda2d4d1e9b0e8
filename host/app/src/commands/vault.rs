//! `docket vault`: another key, and backups under a passphrase.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use docket_connections::Vault;
use docket_journal::SqliteStore;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::administration::vault::{self, NewKey};
use crate::cli::{Global, VaultCommand};
use crate::exit::{Exit, Failed};
use crate::host;
use crate::project::Project;
use crate::render::{self, note};
use crate::server::client::Serving;

/// The environment variable with a backup's passphrase.
const PASSPHRASE: &str = "DOCKET_BACKUP_PASSPHRASE";

pub(crate) async fn run(global: &Global, command: VaultCommand) -> Result<Exit> {
    let project = Project::load(global)?;
    let owner = Owner::find(&project, global).await?;
    match command {
        VaultCommand::RotateKey {
            to_file,
            to_keyring,
        } => {
            let new = NewKey {
                to_file: to_file.map(std::path::absolute).transpose()?,
                to_keyring,
            };
            let place = owner.rotate(&project, new).await?;
            note!("the vault has a new key, in {place}");
        }
        VaultCommand::Export {
            file,
            passphrase_file,
        } => {
            if file.exists() {
                let what = format!("{} is there already", file.display());
                return Err(Failed::new(Exit::Storage, what)
                    .with_help("name another file; nothing is written over a backup")
                    .into());
            }
            let backup = owner
                .export(&passphrase(passphrase_file.as_deref())?)
                .await?;
            write_private(&file, &backup).map_err(|error| {
                Failed::new(Exit::Storage, format!("{}: {error}", file.display()))
            })?;
            note!(
                "written to {}; only the passphrase opens it",
                file.display()
            );
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
            let done = owner.import(&backup, &passphrase, replace).await?;
            match global.json {
                true => render::line(&done.to_string()),
                false => note!(
                    "{} stored, {} kept as they were",
                    done["stored"],
                    done["kept"]
                ),
            }
        }
    }
    Ok(Exit::Success)
}

/// Whoever has the vault open.
enum Owner {
    /// This process, which owns the data folder's journal and so its vault.
    Here {
        vault: Vault,
        _owned: Box<SqliteStore>,
    },
    /// The process that serves the data folder.
    There(Serving),
}

impl Owner {
    async fn find(project: &Project, global: &Global) -> Result<Self> {
        if let Some(serving) = Serving::find(&project.data).await {
            return Ok(Self::There(serving));
        }
        let owned = Box::new(host::own(&project.data)?);
        let key = project.key_source(global)?;
        Ok(Self::Here {
            vault: host::vault(&project.data, &key)?,
            _owned: owned,
        })
    }

    async fn rotate(&self, project: &Project, new: NewKey) -> Result<String> {
        match self {
            Self::Here { vault, .. } => Ok(vault::rotate(project, vault, new)?),
            Self::There(serving) => {
                let done = serving.post("/api/vault/rotate-key", &json!(new)).await?;
                Ok(done["key"].as_str().unwrap_or_default().to_owned())
            }
        }
    }

    async fn export(&self, passphrase: &SecretString) -> Result<String> {
        match self {
            Self::Here { vault, .. } => Ok(vault.export(passphrase).map_err(vault::of_backup)?),
            Self::There(serving) => {
                let order = json!({"passphrase": passphrase.expose_secret()});
                let done = serving.post("/api/vault/export", &order).await?;
                let backup = done["backup"]
                    .as_str()
                    .context("the answer has no backup")?;
                Ok(backup.to_owned())
            }
        }
    }

    async fn import(
        &self,
        backup: &str,
        passphrase: &SecretString,
        replace: bool,
    ) -> Result<Value> {
        match self {
            Self::Here { vault, .. } => {
                let done = vault.import(backup, passphrase, replace);
                let done = done.map_err(vault::of_backup)?;
                Ok(json!({"stored": done.stored, "kept": done.kept}))
            }
            Self::There(serving) => {
                let order = json!({
                    "backup": backup, "passphrase": passphrase.expose_secret(), "replace": replace,
                });
                serving.post("/api/vault/import", &order).await
            }
        }
    }
}

fn passphrase(file: Option<&Path>) -> Result<SecretString> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failed::new(Exit::Invalid, format!("{}: {error}", path.display())))?,
        None => std::env::var(PASSPHRASE).map_err(|_| {
            Failed::new(Exit::Usage, "a passphrase is needed")
                .with_help(format!("give --passphrase-file FILE, or set {PASSPHRASE}"))
        })?,
    };
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
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
