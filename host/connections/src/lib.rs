//! Accounts, the vault, policy, and the one way out to the network.

mod gate;

pub use gate::{Body, GateError, Request, Response};
