//! Journals in SQLite and in memory, and the documents that runs refer to.
