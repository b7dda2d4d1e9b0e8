//! What the handles stand for that a guest gets with its call.
#![allow(
    unreachable_pub,
    reason = "the generated bindings re-export these types"
)]

use docket_engine::DocumentWriter;
use docket_model::DocumentRef;

/// A document that the guest may read and pass on.
pub struct Document(pub(crate) DocumentRef);

/// The right to make documents.
pub struct Store;

/// A document in the making. The writer is away while it writes on a blocking thread.
pub struct Writer {
    pub(crate) writer: Option<Box<dyn DocumentWriter>>,
    pub(crate) name: String,
    pub(crate) media_type: String,
}

/// The right to use the step's account.
pub struct Token;

/// The right to send requests.
pub struct Client;

/// The right to be heard.
pub struct ReporterHandle;
