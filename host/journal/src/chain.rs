//! The hash chain of a run: each event's hash covers the one before and its own stored bytes.
//!
//! Whoever changes, removes, adds or reorders events breaks the chain at that place, unless they make
//! everything after it anew, the head in the run's row included. That shows to anybody who kept the
//! head elsewhere, as a receipt does.

use docket_model::{Digest, RunId};
use sha2::{Digest as _, Sha256};

/// The hash before a run's first event.
pub(crate) fn start(run: &RunId) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"docket chain 1\0");
    hash.update(run.as_str().as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// The hash of an event whose stored bytes are `body`, in `format`, after one with the hash `before`.
pub(crate) fn next(before: Digest, format: u32, body: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(format.to_be_bytes());
    hash.update(body);
    Digest::from_bytes(hash.finalize().into())
}
