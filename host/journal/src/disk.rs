//! The room on the disk.

use std::io;
use std::path::Path;

/// How many bytes of a folder's file system its user may still fill; `None` where the system is not asked
/// in a known way.
///
/// # Errors
/// The system's.
#[cfg(unix)]
pub fn free_space(folder: &Path) -> io::Result<Option<u64>> {
    // POSIX statvfs: blocks for those without privileges, in fragments.
    let about = rustix::fs::statvfs(folder)?;
    Ok(Some(about.f_bavail.saturating_mul(about.f_frsize)))
}

/// How many bytes of a folder's file system its user may still fill: not asked on this system.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn free_space(_folder: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}
