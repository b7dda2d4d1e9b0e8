//! Journals in SQLite and in memory, and the documents that runs refer to.
//!
//! This room keeps what the engine hands it, in order and durably, and gives it back as it was. It
//! never decides what happens next, and nothing above it knows SQL.

mod append;
mod backup;
mod chain;
mod codec;
mod disk;
mod documents;
mod memory;
mod migrate;
mod queue;
mod references;
mod schema;
mod sqlite;
mod writer;

pub use backup::{Backup, backup, restore};
pub use disk::free_space;
pub use documents::{FileDocuments, MemoryDocuments};
pub use memory::MemoryStore;
pub use sqlite::{JournalView, Looked, SqliteStore};
