//! What the plugins for Microsoft Graph mail share: addresses of things, folders, failures.
//!
//! Facts about the service come from the Graph documents that each item names.

mod error;
mod folder;
mod mailbox;
mod time;
mod url;

pub use error::{failure, unexpected};
pub use folder::{Folder, FolderPath, Missing, below};
pub use mailbox::{
    Mailbox, MessageHandle, attachments_path, next_link, rows, text, too_many_pages,
};
pub use time::{http_time, instant, iso_time, json_time, sent_at};
pub use url::{encode, odata_text};
