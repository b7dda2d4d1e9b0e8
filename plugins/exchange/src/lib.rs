//! Exchange mail: send, draft, move.
