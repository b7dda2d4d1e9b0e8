//! Files that commands write.

use std::io::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::exit::{Exit, Failed};

/// Writes a file that somebody named, whatever it is: a pipe as well.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    Ok(std::fs::write(path, content).map_err(|error| failed(path, &error))?)
}

/// Makes a folder, and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    Ok(std::fs::create_dir_all(path).map_err(|error| failed(path, &error))?)
}

/// Writes a file whole: what was there stays until the new text is.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".docket-")
            .tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        #[cfg(unix)]
        {
            // As a file that an editor made; a temporary one is its owner's alone.
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(path).map_or(0o644, |about| about.permissions().mode());
            let mode = std::fs::Permissions::from_mode(mode);
            file.as_file().set_permissions(mode)?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    Ok(write().map_err(|error| failed(path, &error))?)
}

fn failed(path: &Path, error: &std::io::Error) -> Failed {
    Failed::new(Exit::Storage, format!("{}: {error}", path.display())).with_help(
        "check that its folder is there, that it may be written, and the room on the disk",
    )
}
