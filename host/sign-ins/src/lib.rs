//! Tells people that runs wait for their sign-in: once for each account however many runs wait, again
//! after a set time while they do, and never after the sign-in.
//!
//! What was told lies in the journal. A mail is a run of its own that starts together with what is
//! remembered of it, so that whatever crashes nobody is told twice, and nobody is forgotten. Before
//! somebody is told, it is tried whether the sign-in is really needed.
//!
//! This room signs nobody in, and sees no credential. [`Asking`] hears of [`Need`]s and looks into the
//! journal for itself; [`list`] says who must sign in and who was told.

mod asking;
mod list;
mod mail;
mod need;
mod request;
mod tell;
mod waits;

pub use asking::{Asking, Ports, Setting};
pub use list::{Needed, list};
pub use mail::{Mail, MailError};
pub use need::{Need, link};
pub use tell::Teller;
