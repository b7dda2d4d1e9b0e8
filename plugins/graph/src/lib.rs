//! What the plugins for Microsoft Graph mail share: addresses of things, folders, failures.
//!
//! Facts about the service come from the Graph documents that each item names.

mod error;
mod folder;
mod mailbox;
mod time;
mod url;

pub use error::{failure, unexpected};
pub use folder::{FolderPath, Missing};
pub use mailbox::{Mailbox, MessageHandle, message_schema};
pub use time::{http_time, json_time, sent_at};
pub use url::{encode, odata_text};
