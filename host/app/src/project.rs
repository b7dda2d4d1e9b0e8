//! A project: the folder with `docket.yaml`, its data folder, and where the vault's key comes from.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use docket_connections::{KeySource, Keyring};
use docket_model::{
    ConnectionKind, Diagnostics, MAX_SOURCE_BYTES, Project as Spec, SignInHookKind, SourceFile,
};
use secrecy::SecretString;

use crate::cli::Global;
use crate::exit::{Exit, Failed};
use crate::render::{self, note};

/// A project that was read and checked.
pub(crate) struct Project {
    /// The folder that holds `docket.yaml`.
    pub(crate) root: PathBuf,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// The data folder as it is without [`LOCAL_FILE`]. Fetched components are kept in it, and taken
    /// from it by whoever works elsewhere.
    pub(crate) shared_data: PathBuf,
    /// What `docket.yaml` says.
    pub(crate) spec: Spec,
}

/// The project file.
const FILE: &str = "docket.yaml";
/// Beside it, connections that take the place of those of the same names, on this machine alone.
pub(crate) const LOCAL_FILE: &str = "docket.local.yaml";

impl Project {
    /// Reads `docket.yaml`; its problems are printed.
    pub(crate) fn load(global: &Global) -> Result<Self> {
        let (project, found) = Self::check(global)?;
        Self::or_problems(global, project, &found)
    }

    /// Reads `docket.yaml` as everybody has it, whatever this machine's own file says.
    pub(crate) fn load_shared(global: &Global) -> Result<Self> {
        let (project, found) = Self::read(global, false)?;
        Self::or_problems(global, project, &found)
    }

    fn or_problems(global: &Global, project: Option<Self>, found: &Diagnostics) -> Result<Self> {
        render::diagnostics(found);
        project.ok_or_else(|| {
            let file = global.root().join(FILE);
            Failed::new(Exit::Invalid, format!("{} has problems", file.display())).into()
        })
    }

    /// Reads `docket.yaml`, and gives what is wrong with it.
    pub(crate) fn check(global: &Global) -> Result<(Option<Self>, Diagnostics)> {
        Self::read(global, true)
    }

    fn read(global: &Global, with_local: bool) -> Result<(Option<Self>, Diagnostics)> {
        let root = global.root().to_owned();
        let file = root.join(FILE);
        if !file.exists() {
            return Err(Failed::new(
                Exit::Invalid,
                format!("{} is no project: there is no {FILE} in it", root.display()),
            )
            .with_help("go to the project's folder, or name it with -C; `docket init` makes one")
            .into());
        }
        let (spec, mut found) = docket_model::parse_project(&read_source(&file)?);
        let Some(mut spec) = spec else {
            return Ok((None, found));
        };
        let local = root.join(LOCAL_FILE);
        let is_local = with_local && local.exists();
        if is_local {
            note!("note: connections are as {} says", local.display());
            let (own, problems) = docket_model::parse_project(&read_source(&local)?);
            found.append(problems);
            let Some(own) = own else {
                return Ok((None, found));
            };
            let connections_alone = Spec {
                connections: own.connections.clone(),
                ..Spec::default()
            };
            if own != connections_alone {
                let message = format!("{} has more than connections", local.display());
                return Err(Failed::new(Exit::Invalid, message)
                    .with_help(format!(
                        "it holds connections alone; plugins stand in {FILE}"
                    ))
                    .into());
            }
            spec.connections.extend(own.connections);
        }
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
        // What is done on this machine alone stays apart from what is done with real accounts.
        let folder = |name: &str| global.data.clone().unwrap_or_else(|| root.join(name));
        let shared_data = folder(".docket");
        let data = match is_local {
            true => folder(".docket-local"),
            false => shared_data.clone(),
        };
        Ok((
            Some(Self {
                root,
                data,
                shared_data,
                spec,
            }),
            found,
        ))
    }

    /// Its workflows: the YAML files of its folder and of `workflows` in it.
    pub(crate) fn workflows(&self) -> Result<Vec<PathBuf>> {
        Ok(self
            .files()?
            .into_iter()
            .filter(|path| !is_other_file(path))
            .collect())
    }

    /// The tests of its workflows, in the same folders.
    pub(crate) fn tests(&self) -> Result<Vec<PathBuf>> {
        let files = self.files()?.into_iter();
        Ok(files.filter(|file| is_test(file)).collect())
    }

    /// The YAML files of its folder and of `workflows` in it.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for folder in [self.root.clone(), self.root.join("workflows")] {
            if folder.is_dir() {
                found.extend(yaml_files(&folder)?);
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

/// The nearest project at or above a file or a folder, else at or above the current folder.
pub(crate) fn nearest(place: Option<&Path>) -> Option<PathBuf> {
    let is_one = |folder: &PathBuf| folder.join(FILE).is_file();
    let above = |path: &Path| -> Option<PathBuf> {
        let folders = path
            .ancestors()
            .map(|folder| match folder.as_os_str().is_empty() {
                true => PathBuf::from("."),
                false => folder.to_owned(),
            });
        folders.filter(|folder| folder.is_dir()).find(is_one)
    };
    // Names relative to the current folder stay as people write them.
    let depth = std::env::current_dir().map_or(0, |folder| folder.components().count());
    let up = (0..depth).map(|up| match up {
        0 => PathBuf::from("."),
        up => std::iter::repeat_n("..", up).collect(),
    });
    place
        .and_then(above)
        .or_else(|| up.into_iter().find(is_one))
}

/// The YAML files of a folder, in the order of their names.
pub(crate) fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error: std::io::Error| {
        Failed::new(Exit::Invalid, format!("{}: {error}", folder.display()))
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_yaml = path
            .extension()
            .is_some_and(|kind| kind == "yaml" || kind == "yml");
        if is_yaml {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a YAML file of a project is something else than a workflow: the project itself, or tests.
fn is_other_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| matches!(name, FILE | LOCAL_FILE)) || is_test(path)
}

/// Whether a file's name is that of tests: `NAME.test.yaml`.
pub(crate) fn is_test(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    [".test.yaml", ".test.yml"]
        .iter()
        .any(|ending| name.ends_with(ending))
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
