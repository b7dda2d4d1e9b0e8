//! A project: the folder with `docket.yaml`, its data folder, and where the vault's key comes from.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use docket_connections::{KeySource, Keyring};
use docket_model::{ConnectionKind, MAX_SOURCE_BYTES, Project as Spec, SignInHookKind, SourceFile};
use secrecy::SecretString;

use crate::cli::Global;
use crate::exit::{Exit, Failed};
use crate::render;

/// A project that was read and checked.
pub(crate) struct Project {
    /// The folder that holds `docket.yaml`.
    pub(crate) root: PathBuf,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// What `docket.yaml` says.
    pub(crate) spec: Spec,
}

impl Project {
    /// Reads `docket.yaml`; its problems are printed.
    pub(crate) fn load(global: &Global) -> Result<Self> {
        let root = global.project.clone();
        let file = root.join("docket.yaml");
        if !file.exists() {
            return Err(Failed::new(
                Exit::Invalid,
                format!("{} is no project: it has no docket.yaml", root.display()),
            )
            .with_help("go to the project's folder, or name it with -C")
            .into());
        }
        let source = read_source(&file)?;
        let (spec, found) = docket_model::parse_project(&source);
        render::diagnostics(&found);
        let mut spec = spec.ok_or_else(|| {
            Failed::new(Exit::Invalid, format!("{} has problems", file.display()))
        })?;
        for connection in spec.connections.values_mut() {
            if let Some(ca) = &mut connection.ca_file {
                *ca = std::path::absolute(root.join(&*ca))?;
            }
        }
        if let Some(hook) = &mut spec.sign_in_hook
            && let SignInHookKind::Webhook(webhook) = &mut hook.by
            && let Some(ca) = &mut webhook.ca_file
        {
            *ca = std::path::absolute(root.join(&*ca))?;
        }
        come_back_to_public(&mut spec);
        let data = global.data.clone().unwrap_or_else(|| root.join(".docket"));
        Ok(Self { root, data, spec })
    }

    /// Its workflows: the YAML files of its folder and of `workflows` in it.
    pub(crate) fn workflows(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for folder in [self.root.clone(), self.root.join("workflows")] {
            if !folder.is_dir() {
                continue;
            }
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                let is_yaml = path
                    .extension()
                    .is_some_and(|kind| kind == "yaml" || kind == "yml");
                let is_project = path.file_name().is_some_and(|name| name == "docket.yaml");
                if is_yaml && !is_project {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// The project's place in the system's keyring.
    pub(crate) fn keyring(&self) -> Result<KeySource> {
        let folder = std::path::absolute(&self.data)?;
        let keyring = Keyring::system(&folder.display().to_string())
            .map_err(|error| Failed::new(Exit::Storage, error.to_string()))?;
        Ok(KeySource::Keyring(keyring))
    }

    /// Where the vault's key comes from. Never from the data folder: a copy of that alone must not
    /// be readable.
    pub(crate) fn key_source(&self, global: &Global) -> Result<KeySource> {
        if global.keyring {
            return self.keyring();
        }
        if let Some(file) = &global.key_file {
            return Ok(KeySource::File(file.clone()));
        }
        if let Ok(key) = std::env::var("DOCKET_VAULT_KEY") {
            return Ok(KeySource::Given(SecretString::from(key)));
        }
        let folder = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| {
                let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"))?;
                Some(PathBuf::from(home).join(".config"))
            });
        let folder = folder.ok_or_else(|| {
            Failed::new(Exit::Storage, "there is no place for the vault's key")
                .with_help("name a file with --key-file, or set DOCKET_VAULT_KEY")
        })?;
        Ok(KeySource::File(folder.join("docket").join("vault.key")))
    }
}

/// Where people reach the server by a name of its own, their sign-ins come back there. On this machine
/// they come back to any port of it.
fn come_back_to_public(spec: &mut Spec) {
    let Some(public) = spec
        .public_url
        .as_ref()
        .filter(|url| url.starts_with("https:"))
    else {
        return;
    };
    for connection in spec.connections.values_mut() {
        if connection.redirect_uri.is_none() && connection.kind != ConnectionKind::AppOnly {
            connection.redirect_uri = Some(format!("{public}/oauth/callback"));
        }
    }
}

/// Reads a YAML file, unless it is too large for one.
pub(crate) fn read_source(path: &Path) -> Result<SourceFile> {
    let unreadable =
        |error: std::io::Error| Failed::new(Exit::Invalid, format!("{}: {error}", path.display()));
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_SOURCE_BYTES as u64 {
        return Err(Failed::new(
            Exit::Invalid,
            format!(
                "{} has {}, and a file may have {}",
                path.display(),
                render::bytes(size),
                render::bytes(MAX_SOURCE_BYTES as u64)
            ),
        )
        .with_help("move texts into template files, and data into documents")
        .into());
    }
    let text = std::fs::read(path).map_err(unreadable)?;
    let text = String::from_utf8(text).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failed::new(
            Exit::Invalid,
            format!("{}: not UTF-8 at byte {at}", path.display()),
        )
        .with_help("save the file as UTF-8")
    })?;
    Ok(SourceFile::new(path.to_string_lossy(), text))
}

/// Reads a body template: a file below the workflow's folder.
pub(crate) fn read_template(folder: &Path, name: &str) -> Result<String, String> {
    let is_inside = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !is_inside {
        return Err("a template lies below the workflow's folder".to_owned());
    }
    let path = folder.join(name);
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}
