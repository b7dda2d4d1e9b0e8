//! End-to-end, crash and tidy tests over the whole host.
