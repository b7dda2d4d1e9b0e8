//! Imports mail and attachments from a Microsoft 365 folder.
