//! Looks at a journal and changes nothing of it: for whoever wants to know what is wrong.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use docket_engine::{Counts, RunFilter, RunSummary, StoreError, Verdict, WaitFilter, Waiting};
use docket_model::RunId;
use rusqlite::{Connection, OpenFlags};

use super::{audit, in_use, lock_file, parked, runs};
use crate::schema::{self, NEWEST, failed};

/// How a journal is found.
pub enum Looked {
    /// There is none yet.
    Absent,
    /// Another process owns it; which file, and by whom where that is known.
    InUse(String),
    /// An older Docket wrote it. It is brought up to date when it is next opened.
    Older {
        /// Its version.
        found: u32,
        /// The version that this host writes.
        newest: u32,
    },
    /// It can be read.
    Readable(JournalView),
}

/// A journal that nobody writes to while this is there.
pub struct JournalView {
    connection: Connection,
    /// Its size in bytes.
    pub size: u64,
    /// Keeps owners away. A journal that was copied here may have no such file.
    _lock: Option<File>,
}

impl Looked {
    /// Looks at the journal in this file. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Newer`] where a newer Docket wrote it, [`StoreError::Damaged`] where it is no journal,
    /// and the disk's.
    pub fn at(path: &Path) -> Result<Self, StoreError> {
        let disk = |error: std::io::Error| StoreError::Io(format!("{}: {error}", path.display()));
        let size = match fs::metadata(path) {
            Ok(about) => about.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::Absent),
            Err(error) => return Err(disk(error)),
        };
        let lock = match File::open(lock_file(path)) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(disk(error)),
        };
        match lock.as_ref().map_or(Ok(()), File::try_lock_shared) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Self::InUse(in_use(path))),
            Err(TryLockError::Error(error)) => return Err(disk(error)),
        }
        let connection = open(path).map_err(|error| failed(&error))?;
        Ok(match schema::version(&connection, path)? {
            // Its owner ended before anything was in it.
            0 => Self::Absent,
            NEWEST => Self::Readable(JournalView {
                connection,
                size,
                _lock: lock,
            }),
            found => Self::Older {
                found,
                newest: NEWEST,
            },
        })
    }
}

/// Opens a database that nobody writes to. Where its log is empty, SQLite is told that the file does not
/// change, and so leaves no log of its own beside it.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = fs::metadata(log).is_ok_and(|about| about.len() > 0);
    let absolute = std::path::absolute(path).ok();
    match absolute.as_deref().and_then(Path::to_str) {
        Some(text) if !has_log && text.starts_with('/') => {
            // What has a meaning in a URI (RFC 3986 section 3.3).
            let text = text.replace('%', "%25");
            let text = text.replace('?', "%3f").replace('#', "%23");
            let uri = format!("file://{text}?immutable=1");
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
        }
        _ => Connection::open_with_flags(path, flags),
    }
}

impl JournalView {
    /// What SQLite's own check finds wrong; `None` where there is nothing. Reads the whole file.
    ///
    /// # Errors
    /// The disk's, and [`StoreError::Damaged`] where it cannot even be checked.
    pub fn damage(&self) -> Result<Option<String>, StoreError> {
        let found: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| failed(&error))?;
        Ok((found != "ok").then_some(found))
    }

    /// Runs in a list, the last started first.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], and the disk's.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<RunSummary>, StoreError> {
        Ok(runs(&self.connection, filter)?)
    }

    /// Whether a run's record is what was written.
    ///
    /// # Errors
    /// The disk's.
    pub fn verify(&self, run: &RunId) -> Result<Verdict, StoreError> {
        Ok(audit::verify(&self.connection, run)?)
    }

    /// What parked runs wait for, the longest first.
    ///
    /// # Errors
    /// As [`Self::runs`].
    pub fn waiting(&self, filter: &WaitFilter) -> Result<Vec<Waiting>, StoreError> {
        Ok(parked::waiting(&self.connection, filter)?)
    }

    /// How many runs could go on at once, and how many steps wait for what.
    ///
    /// # Errors
    /// The disk's.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        Ok(parked::counts(&self.connection)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqliteStore;

    #[tokio::test]
    async fn a_look_leaves_nothing_behind_whatever_the_folder_is_called() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plain", "a ?b#c%41&d", "ä"] {
            let folder = folder.path().join(name);
            fs::create_dir(&folder).unwrap();
            let path = folder.join("journal.db");
            assert!(matches!(Looked::at(&path), Ok(Looked::Absent)), "{name}");
            let owner = SqliteStore::open(&path).unwrap();
            match Looked::at(&path) {
                Ok(Looked::InUse(by)) => {
                    let process = format!("(process {})", std::process::id());
                    assert!(by.contains(&process), "{by}");
                }
                _ => panic!("{name}: it is in use"),
            }
            drop(owner);
            let files = || {
                let all = fs::read_dir(&folder).unwrap();
                let mut all: Vec<_> = all.map(|one| one.unwrap().file_name()).collect();
                all.sort();
                all
            };
            let before = files();
            let Ok(Looked::Readable(view)) = Looked::at(&path) else {
                panic!("{name}: nobody has it open");
            };
            assert_eq!(view.damage().unwrap(), None);
            assert!(view.runs(&RunFilter::default()).unwrap().is_empty());
            assert_eq!(files(), before, "{name}");
            // Nobody becomes its owner meanwhile.
            assert!(matches!(
                SqliteStore::open(&path),
                Err(StoreError::InUse(_))
            ));
            drop(view);
            SqliteStore::open(&path).unwrap();
        }
    }
}
