//! A project without a tenant: its folder is all there is.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use tempfile::TempDir;

use crate::{Binary, components};

/// A project in a folder of its own, which goes when it is dropped. Data folder and key lie in it.
pub struct Project {
    folder: TempDir,
    docket: Binary,
}

impl Project {
    /// A project with this `docket.yaml`.
    ///
    /// # Panics
    /// Where the folder cannot be written.
    #[must_use]
    pub fn new(yaml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("docket.yaml"), yaml).expect("docket.yaml");
        let docket = Binary::within(folder.path());
        Self { folder, docket }
    }

    /// A file of the project.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// The same as text, for arguments.
    #[must_use]
    pub fn file(&self, file: &str) -> String {
        self.path(file).to_str().expect("text").to_owned()
    }

    /// What a file of the project holds.
    ///
    /// # Panics
    /// Where it is not there.
    #[must_use]
    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).expect("a file of the project")
    }

    /// Puts a built component into the project.
    ///
    /// # Panics
    /// Where it is not built.
    pub fn put(&self, component: &str, file: &str) {
        let from = components().join(component).with_extension("wasm");
        std::fs::copy(from, self.path(file)).expect("a component");
    }

    /// Runs the binary to its end, with nobody to ask.
    ///
    /// # Panics
    /// Where it is not built.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.docket.command(arguments);
        command.stdin(Stdio::null()).output().expect("a process")
    }

    /// Runs it, and gives its output and its errors.
    ///
    /// # Panics
    /// Where it ends with another code.
    #[track_caller]
    pub fn ends(&self, arguments: &[&str], code: i32) -> (String, String) {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}\n{out}{err}"
        );
        (out, err)
    }
}
