//! A registry of components: Debian's `docker-registry` on a free port of this machine.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A registry of its own; dropping it ends it.
pub struct Registry {
    /// Its host and port.
    pub address: String,
    process: Child,
    _folder: TempDir,
}

impl Registry {
    /// `None` where the program is not installed, which is said: `cargo xtask test` installs it.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("storage");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:0\"}}\n",
            storage.display()
        );
        std::fs::write(&config, text).expect("its settings");
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut process) = started else {
            eprintln!("skipped: there is no docker-registry here; `cargo xtask test` installs it");
            return None;
        };
        let mut lines = BufReader::new(process.stderr.take().expect("its log")).lines();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split(['"', ',', ' ']).next()?.to_owned())
        });
        // It must not wait for a reader of its log.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            address: address.expect("the registry says where it listens"),
            process,
            _folder: folder,
        })
    }

    /// The reference of something in it.
    #[must_use]
    pub fn reference(&self, rest: &str) -> String {
        format!("oci://{}/{rest}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
