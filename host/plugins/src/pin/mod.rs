//! What an operator approved: `docket.lock`, and what an update asks for beyond it.
//!
//! The lock names each plugin's component by its digest, and what it asked for when somebody said yes.
//! A component with another digest is refused; that it asks for nothing more does not make it the one
//! that was looked at.

mod asks;
mod edit;
mod lock;
mod registry;
mod signature;
mod source;

pub use asks::Asks;
pub use edit::{EditError, set_source};
pub use lock::{Lock, LockError, Pin, Refusal};
pub use registry::{COMPONENT_AT_MOST, Credentials, Pulled, Registry, RegistryError};
pub use signature::{InvalidKey, PublicKey, is_signed};
pub use source::{InvalidSource, Reference, Source};
