//! A designer's desk: a folder with a new project, and the binary.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use docket_e2e::{components, program};
use serde_json::Value;
use tempfile::TempDir;

/// A new project.
pub(crate) struct Desk {
    pub(crate) folder: TempDir,
}

impl Desk {
    pub(crate) fn open() -> Self {
        let desk = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let built = components().canonicalize().unwrap();
        let made = desk.run(&["init", "project", "--components", built.to_str().unwrap()]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        desk
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// In the folder above the project.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .env(
                "DOCKET_VAULT_KEY_FILE",
                self.folder.path().join("vault.key"),
            )
            .env_remove("DOCKET_LOG")
            .env_remove("DOCKET_DATA");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// In the project.
    pub(crate) fn within(&self, arguments: &[&str]) -> Output {
        self.run(&[arguments, &["-C", "project"]].concat())
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.project().join(file), text).unwrap();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}
