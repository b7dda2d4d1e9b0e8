//! Other programs: started, listened to, and their failures told.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::BuildError;

/// How much of what a failing tool said is shown, from its end.
const SHOWN_AT_MOST: usize = 8 << 10;

/// Runs a command whose output matters only when it fails. `help` is what to do then.
///
/// # Errors
/// [`BuildError`] where it cannot be started or does not end with 0, with the end of what it said.
pub fn quiet(command: &mut Command, help: &str) -> Result<(), BuildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| BuildError::new(format!("{program} cannot be started: {error}"), help))?;
    if output.status.success() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    let said = said.trim_end();
    let start = said.ceil_char_boundary(said.len().saturating_sub(SHOWN_AT_MOST));
    Err(BuildError::new(
        format!(
            "{program} ended with {}:\n{}",
            output.status,
            &said[start..]
        ),
        help,
    ))
}

/// Whether a program runs, and says by `--version` that it is at least this major and minor.
#[must_use]
pub fn is_at_least(program: impl AsRef<OsStr>, wanted: (u32, u32)) -> bool {
    let asked = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    asked.is_ok_and(|answer| {
        answer.status.success() && version(&String::from_utf8_lossy(&answer.stdout)) >= Some(wanted)
    })
}

/// Major and minor of `v20.11.1` or of a line that ends with it.
fn version(text: &str) -> Option<(u32, u32)> {
    let last = text.split_whitespace().last()?;
    let mut parts = last.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What was installed in a place: the lock file's text, kept beside it.
pub struct Installed {
    stamp: PathBuf,
    wanted: String,
}

impl Installed {
    /// What `lock` wants, with the stamp of what is there.
    ///
    /// # Errors
    /// The lock file cannot be read.
    pub fn new(lock: &Path, stamp: PathBuf) -> Result<Self, BuildError> {
        let wanted = fs::read_to_string(lock).map_err(|error| BuildError::io(lock, &error))?;
        Ok(Self { stamp, wanted })
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_current(&self) -> bool {
        fs::read_to_string(&self.stamp).is_ok_and(|there| there == self.wanted)
    }

    /// Takes note that it is there.
    ///
    /// # Errors
    /// The stamp cannot be written.
    pub fn done(&self) -> Result<(), BuildError> {
        fs::write(&self.stamp, &self.wanted).map_err(|error| BuildError::io(&self.stamp, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions() {
        let check = |text: &str, expected| assert_eq!(version(text), expected, "{text}");
        check("v20.11.1\n", Some((20, 11)));
        check("Python 3.11.2\n", Some((3, 11)));
        check("", None);
        check("none", None);
    }
}
