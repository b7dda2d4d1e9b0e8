//! Runs plugins: WebAssembly components with limits and nothing ambient.
//!
//! Each attempt of a step gets a fresh instance of its plugin. What the guest may use arrives as
//! handles in the call; what it does to the world leaves as an [effect](docket_model::EffectCall)
//! through the attempt's [`Journal`](docket_engine::Journal) and the [`Egress`] that the binary
//! passes in. A guest that loops, eats memory, traps or returns nonsense is a
//! [`Failure`](docket_model::Failure); only a fault of the host itself is a
//! [`Stop`](docket_engine::Stop).
//!
//! This room has no HTTP client, no clock and no source of randomness, and never sees a credential.
//! What a guest's toolchain imports of WASI is inert: see `wasi`.

mod allowance;
mod attempt;
mod bindings;
mod cache;
mod content;
mod delivery;
mod documents;
mod effects;
mod egress;
mod engine;
mod error;
mod failure;
mod handles;
mod hold;
mod http;
mod inspect;
mod limits;
mod manifest;
mod meter;
mod plugin;
mod reach;
mod receive;
mod reporting;
mod request;
mod run;
mod sandbox;
mod schema;
mod seal;
mod store;
mod trap;
mod trial;
mod usage;
mod wasi;

pub use egress::{Channel, Egress};
pub use error::LoadError;
pub use hold::{Held, HoldBack};
pub use inspect::INTERFACE;
pub use limits::Limits;
pub use plugin::Plugin;
pub use sandbox::{Sandbox, SandboxConfig};
pub use store::ComponentStore;
pub use trial::try_engine;
pub use usage::Usage;
