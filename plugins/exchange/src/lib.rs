//! Exchange mail: send, draft, move and mark.
//!
//! Mail goes out effectively once. A message is first created as a draft that carries a stamp: an
//! extended property with the step's idempotency key, the same for every attempt. Whenever it is
//! not known what became of a request, the plugin looks for the stamp and goes on from what it
//! finds; it never repeats a request in the hope that the first one got lost. See `delivery.rs`.

mod attach;
mod delivery;
mod draft;
mod input;
mod mail;
mod manifest;
mod mark;
mod message;
mod place;
mod send;
mod upload;

use docket_plugin_sdk::{Call, Failure, Manifest, Output, Plugin, export_plugin};

/// The plugin.
pub struct Exchange;

impl Plugin for Exchange {
    fn manifest() -> Manifest {
        manifest::manifest()
    }

    fn run(call: &Call) -> Result<Output, Failure> {
        match call.action() {
            "send" => send::run(call),
            "draft" => draft::create(call),
            "update-draft" => draft::change(call),
            "send-draft" => draft::send(call),
            "move" => place::relocate(call),
            "copy" => place::copy(call),
            "delete" => place::delete(call),
            "mark" => mark::run(call),
            _ => Err(call.unknown_action()),
        }
    }
}

export_plugin!(Exchange);
