//! `docket plugins new` and `build`: from nothing to a component.

use std::path::Path;

use anyhow::Result;
use docket_plugins::template::{self, TemplateError};
use docket_toolchain::BuildError;
use serde_json::json;

use crate::cli::{Global, Language, NewArgs};
use crate::exit::{Exit, Failed};
use crate::render::{self, note};

pub(super) fn new(global: &Global, arguments: &NewArgs) -> Result<Exit> {
    let language = match arguments.lang {
        Language::Rust => template::Language::Rust,
        Language::Js => template::Language::JavaScript,
        Language::Python => template::Language::Python,
    };
    let folder =
        template::write(&arguments.folder, &arguments.name, language).map_err(|error| {
            let exit = match error {
                TemplateError::Name(_) | TemplateError::Exists(_) => Exit::Invalid,
                TemplateError::Io { .. } => Exit::Storage,
            };
            Failed::new(exit, error.to_string()).with_help(error.help())
        })?;
    if global.json {
        render::line(&json!({"folder": folder}).to_string());
    } else {
        let shown = folder.display();
        note!("{shown} is a plugin. What to do next:");
        note!("  docket plugins build {shown}");
        note!("  docket plugins test {shown}");
    }
    Ok(Exit::Success)
}

pub(super) fn build(global: &Global, folder: &Path) -> Result<Exit> {
    let component = docket_toolchain::build(folder, &mut |what| note!("{what}"));
    let component = component.map_err(|error| failed(&error))?;
    let bytes = super::read(&component)?;
    let digest = docket_model::Digest::of(&bytes);
    let size = bytes.len() as u64;
    if global.json {
        let about = json!({"component": component, "digest": digest, "size": size});
        render::line(&about.to_string());
    } else {
        render::line(&format!(
            "{}  {}, {digest}",
            component.display(),
            render::bytes(size)
        ));
    }
    Ok(Exit::Success)
}

pub(super) fn failed(error: &BuildError) -> Failed {
    Failed::new(Exit::Invalid, error.to_string()).with_help(error.help.clone())
}
