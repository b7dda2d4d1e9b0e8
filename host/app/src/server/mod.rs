//! The server of `docket serve`.
pub(crate) mod client;
pub(crate) mod contact;
