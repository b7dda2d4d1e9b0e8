//! Imports mail and attachments from a folder of a Microsoft 365 mailbox.
//!
//! It only ever reads. Attachments go straight from the service into documents, and their bytes
//! never enter the plugin. Everything is asked for by GET, so an attempt that broke off is simply
//! run again.

mod attachment;
mod fetch;
mod held;
mod import;
mod input;
mod listing;
mod manifest;
mod message;
mod name;
mod source;
mod take;

use docket_plugin_sdk::{Call, Failure, Manifest, Output, Plugin, export_plugin};

/// The plugin.
pub struct GraphImport;

impl Plugin for GraphImport {
    fn manifest() -> Manifest {
        manifest::manifest()
    }

    fn run(call: &Call) -> Result<Output, Failure> {
        match call.action() {
            "messages" => import::folder(call),
            "message" => import::one(call),
            "new-messages" => source::poll(call),
            _ => Err(call.unknown_action()),
        }
    }
}

export_plugin!(GraphImport);
