//! Makes components of plugins' sources, with the tools of their languages.
//!
//! A plugin's folder says by its files what it is written in; [`build`] makes `build/NAME.wasm` of it:
//! a Rust package by cargo, JavaScript by its own `npm run build`, Python by `componentize-py`. Where
//! tools are missing it installs those that the project's lock file names, below the folder's own
//! `build` and `node_modules`, and says what else is needed.
//!
//! This room starts other programs and does nothing else: it never runs a component, and never asks
//! anybody.

mod javascript;
pub mod process;
mod python;
pub mod rust;

use std::fs;
use std::path::{Path, PathBuf};

/// A language that plugins are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A cargo package.
    Rust,
    /// A package of npm, whose script `build` makes the component.
    JavaScript,
    /// A folder with `plugin.py` and `requirements.txt`.
    Python,
}

/// A component was not made.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BuildError {
    /// What went wrong, with what the failing tool said.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl BuildError {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }

    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::new(
            format!("{}: {error}", path.display()),
            "check the folder's owner, its rights and the room on the disk",
        )
    }
}

impl Language {
    /// What a plugin's folder is written in.
    ///
    /// # Errors
    /// It is no plugin's folder.
    pub fn of(folder: &Path) -> Result<Self, BuildError> {
        let has = |file: &str| folder.join(file).is_file();
        if has("Cargo.toml") {
            Ok(Self::Rust)
        } else if has("package.json") {
            Ok(Self::JavaScript)
        } else if has("plugin.py") {
            Ok(Self::Python)
        } else {
            Err(BuildError::new(
                format!("{} is no plugin's folder", folder.display()),
                "it needs a Cargo.toml (Rust), a package.json (JavaScript) or a plugin.py \
                 (Python); `docket plugins new` makes one",
            ))
        }
    }
}

/// Where a plugin's component is built: `build/NAME.wasm`, called as its folder is.
///
/// # Errors
/// The folder cannot be found.
pub fn component_file(folder: &Path) -> Result<PathBuf, BuildError> {
    let whole = fs::canonicalize(folder).map_err(|error| BuildError::io(folder, &error))?;
    let name = whole.file_name().map_or_else(
        || "plugin".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    Ok(folder.join("build").join(name).with_extension("wasm"))
}

/// Builds a plugin's component and says where it is. `say` hears what takes its time.
///
/// # Errors
/// [`BuildError`], with what the failing tool said.
pub fn build(folder: &Path, say: &mut dyn FnMut(&str)) -> Result<PathBuf, BuildError> {
    let language = Language::of(folder)?;
    let component = component_file(folder)?;
    let place = folder.join("build");
    fs::create_dir_all(&place).map_err(|error| BuildError::io(&place, &error))?;
    match language {
        Language::Rust => {
            let way = rust::Way::find()?;
            say("building with cargo …");
            let module = rust::module(folder, way)?;
            rust::encode(&module, &component)?;
        }
        Language::JavaScript => javascript::build(folder, &component, say)?,
        Language::Python => python::build(folder, &component, say)?,
    }
    Ok(component)
}
