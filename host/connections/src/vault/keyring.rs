//! The system's keyring, by the program that the system has for it: `secret-tool` (libsecret) on
//! Linux, `security` on macOS. So nothing is built for those who do not use it, and a machine
//! without a keyring is told so when it is asked for.

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use secrecy::{ExposeSecret, SecretString};

use super::VaultError;

const SERVICE: &str = "docket";

/// A keyring, and whose entries in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// Tells the vaults of one person apart; a project's name or path.
    account: String,
    dialect: Dialect,
    program: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    SecretTool,
    Security,
}

impl fmt::Display for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the keyring's entry {SERVICE}/{}", self.account)
    }
}

impl Keyring {
    /// The system's keyring. `account` tells the vaults of one person apart.
    ///
    /// # Errors
    /// [`VaultError::BadKey`] on systems whose keyring is not known.
    pub fn system(account: &str) -> Result<Self, VaultError> {
        let (dialect, program) = if cfg!(target_os = "macos") {
            (Dialect::Security, "/usr/bin/security")
        } else if cfg!(target_os = "linux") {
            (Dialect::SecretTool, "secret-tool")
        } else {
            return Err(VaultError::BadKey(
                "this system's keyring is not supported; use a key file or DOCKET_VAULT_KEY"
                    .to_owned(),
            ));
        };
        Ok(Self {
            account: account.to_owned(),
            dialect,
            program: PathBuf::from(program),
        })
    }

    /// An entry's text; `None` where there is none.
    pub(super) fn get(&self, entry: &str) -> Result<Option<SecretString>, VaultError> {
        let name = self.name(entry)?;
        let output = match self.dialect {
            Dialect::SecretTool => {
                self.run(&["lookup", "service", SERVICE, "account", &name], None)?
            }
            Dialect::Security => self.run(
                &["find-generic-password", "-s", SERVICE, "-a", &name, "-w"],
                None,
            )?,
        };
        // `security` has a status of its own for it; `secret-tool` says nothing at all.
        let is_absent = match self.dialect {
            Dialect::SecretTool => output.stdout.is_empty() && output.stderr.is_empty(),
            Dialect::Security => output.status.code() == Some(44),
        };
        if is_absent {
            return Ok(None);
        }
        self.check(&output)?;
        match String::from_utf8(output.stdout) {
            Ok(text) => Ok(Some(SecretString::from(text.trim()))),
            Err(_) => Err(self.failed("it does not answer text")),
        }
    }

    /// Stores an entry in the place of the one before.
    pub(super) fn set(&self, entry: &str, text: &SecretString) -> Result<(), VaultError> {
        let name = self.name(entry)?;
        let text = text.expose_secret();
        // The text goes by standard input: arguments can be seen by every process.
        let output = match self.dialect {
            Dialect::SecretTool => {
                let label = format!("--label=Docket {entry}");
                let arguments = ["store", &label, "service", SERVICE, "account", &name];
                self.run(&arguments, Some(text))?
            }
            Dialect::Security => {
                let line =
                    format!("add-generic-password -U -s {SERVICE} -a \"{name}\" -w \"{text}\"\n");
                self.run(&["-i"], Some(&line))?
            }
        };
        self.check(&output)
    }

    /// Removes an entry, if it is there.
    pub(super) fn remove(&self, entry: &str) -> Result<(), VaultError> {
        if self.get(entry)?.is_none() {
            return Ok(());
        }
        let name = self.name(entry)?;
        let output = match self.dialect {
            Dialect::SecretTool => {
                self.run(&["clear", "service", SERVICE, "account", &name], None)?
            }
            Dialect::Security => self.run(
                &["delete-generic-password", "-s", SERVICE, "-a", &name],
                None,
            )?,
        };
        self.check(&output)
    }

    /// The entry's name; it stands in a command line of `security`, so it is plain.
    fn name(&self, entry: &str) -> Result<String, VaultError> {
        let is_plain = |c: char| c.is_alphanumeric() || " -_./@:".contains(c);
        match self.account.chars().all(is_plain) {
            true => Ok(format!("{}/{entry}", self.account)),
            false => Err(self.failed("its name has characters that cannot be asked for")),
        }
    }

    fn run(&self, arguments: &[&str], input: Option<&str>) -> Result<Output, VaultError> {
        let run = || -> io::Result<Output> {
            let mut child = Command::new(&self.program)
                .args(arguments)
                .stdin(match input {
                    Some(_) => Stdio::piped(),
                    None => Stdio::null(),
                })
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
                // A program that fails closes its end; its status says so.
                let _ = pipe.write_all(input.as_bytes());
            }
            child.wait_with_output()
        };
        run().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.failed(&format!(
                "the program {} is not there; install it (Debian: apt-get install libsecret-tools), or use a key file",
                self.program.display()
            )),
            _ => self.failed(&error.to_string()),
        })
    }

    fn check(&self, output: &Output) -> Result<(), VaultError> {
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said
            .trim()
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        Err(self.failed(&format!(
            "{} ended with {} ({said}); is a keyring running and unlocked in this session? Otherwise use a key file",
            self.program.display(),
            output.status
        )))
    }

    fn failed(&self, problem: &str) -> VaultError {
        VaultError::BadKey(format!("{self} cannot be used: {problem}"))
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    /// A `secret-tool` that keeps its entries as files.
    fn keyring(folder: &Path) -> Keyring {
        let program = folder.join("secret-tool");
        let script = format!(
            "#!/bin/sh\ncd '{}' || exit 3\ncase $1 in\nlookup) f=$(echo \"$5\" | tr / _); test -f \"$f\" && cat \"$f\" || exit 1 ;;\nstore) cat > \"$(echo \"$6\" | tr / _)\" ;;\nclear) rm -f \"$(echo \"$5\" | tr / _)\" ;;\nesac\n",
            folder.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        Keyring {
            account: "contoso".to_owned(),
            dialect: Dialect::SecretTool,
            program,
        }
    }

    #[test]
    fn entries_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = keyring(folder.path());
        assert!(keyring.get("a").unwrap().is_none());
        keyring.set("a", &"one".into()).unwrap();
        keyring.set("a", &"two".into()).unwrap();
        assert_eq!(keyring.get("a").unwrap().unwrap().expose_secret(), "two");
        assert!(keyring.get("b").unwrap().is_none());
        keyring.remove("a").unwrap();
        keyring.remove("a").unwrap();
        assert!(keyring.get("a").unwrap().is_none());
    }

    #[test]
    fn a_vault_with_its_key_in_the_keyring() {
        use crate::vault::{KeySource, Vault};
        let folder = tempfile::tempdir().unwrap();
        let source = || KeySource::Keyring(keyring(folder.path()));
        let path = folder.path().join("vault");
        let vault = Vault::open(&path, &source()).unwrap();
        let sealed = vault.seal("here", "canary").unwrap();
        vault.rotate(&source()).unwrap();
        let vault = Vault::open(&path, &source()).unwrap();
        assert!(vault.open_sealed("here", &sealed).is_ok());
        keyring(folder.path()).remove("vault-key").unwrap();
        let error = Vault::open(&path, &source()).unwrap_err().to_string();
        assert!(
            error.contains("docket/contoso") && error.contains("DOCKET_VAULT_KEY"),
            "{error}"
        );
    }

    #[test]
    fn a_machine_without_a_keyring_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let absent = Keyring {
            program: folder.path().join("none"),
            ..keyring(folder.path())
        };
        let error = absent.get("a").unwrap_err().to_string();
        assert!(
            error.contains("libsecret-tools") && error.contains("key file"),
            "{error}"
        );
        let broken = keyring(folder.path());
        std::fs::write(&broken.program, "#!/bin/sh\necho 'no daemon' >&2\nexit 1\n").unwrap();
        let error = broken.set("a", &"canary".into()).unwrap_err().to_string();
        assert!(
            error.contains("no daemon") && error.contains("key file"),
            "{error}"
        );
        assert!(!error.contains("canary"), "{error}");
        let odd = Keyring {
            account: "a\" -w x".to_owned(),
            ..keyring(folder.path())
        };
        assert!(odd.get("a").is_err());
    }
}
