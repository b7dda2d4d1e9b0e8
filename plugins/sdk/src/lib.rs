//! What a processor plugin written in Rust is built with.
//!
//! A plugin is a type that implements [`Plugin`] and a line that exports it:
//!
//! ```
//! use docket_plugin_sdk::{Action, Call, Failure, Manifest, Output, Plugin, export_plugin};
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! pub struct Greeter;
//!
//! #[derive(Deserialize)]
//! struct Input {
//!     name: String,
//! }
//!
//! impl Plugin for Greeter {
//!     fn manifest() -> Manifest {
//!         Manifest::new("greeter", "0.1.0", "Greets.").action(
//!             Action::new("greet", "Greets somebody by name.")
//!                 .input(json!({
//!                     "type": "object",
//!                     "properties": {"name": {"type": "string"}},
//!                     "required": ["name"],
//!                     "additionalProperties": false
//!                 }))
//!                 .output(json!({"type": "string"})),
//!         )
//!     }
//!
//!     fn run(call: &Call) -> Result<Output, Failure> {
//!         let input: Input = call.input()?;
//!         Output::new(format!("Hello {}", input.name))
//!     }
//! }
//!
//! export_plugin!(Greeter);
//! ```
//!
//! A plugin has no clock, no randomness, no files and no network of its own: all that it may use is
//! in its [`Call`]. [`testing`] has the same for native tests, with scripted answers and faults.

mod call;
mod document;
mod export;
mod failure;
mod http;
mod manifest;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[doc(hidden)]
pub mod bindings {
    //! Generated from the interface's WIT.
    #![allow(
        missing_docs,
        reason = "generated; the WIT package holds the documentation"
    )]
    #![allow(unsafe_code, reason = "generated glue between linear memory and Rust")]
    #![allow(unreachable_pub, reason = "generated")]

    wit_bindgen::generate!({
        path: "../../wit",
        world: "processor",
        pub_export_macro: true,
        default_bindings_module: "docket_plugin_sdk::bindings",
    });
}

pub use call::{Account, AccountKind, Call, Output};
pub use document::{Document, DocumentRef, DocumentWriter, document_schema};
#[doc(hidden)]
pub use export::Component;
pub use failure::{Failure, Problem};
pub use http::{Content, HttpError, Part, Receive, Request, RequestBuilder, Response};
pub use manifest::{Action, Json, Manifest};

/// A processor plugin.
pub trait Plugin: 'static {
    /// Says what the plugin is, offers and needs. It must not depend on anything but the plugin.
    fn manifest() -> Manifest;

    /// Runs one attempt of an action.
    ///
    /// # Errors
    /// A [`Failure`]; its case decides what the engine does next.
    fn run(call: &Call) -> Result<Output, Failure>;
}
