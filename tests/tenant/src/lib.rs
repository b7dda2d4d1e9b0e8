//! A simulated Microsoft 365 tenant: Entra ID and Graph mail on loopback.
//!
//! It is there so that nobody needs a real tenant to try, test or measure Docket: [`Tenant::start`]
//! opens a sign-in origin, a Graph origin and an upload origin over TLS with a certificate authority of
//! its own, and all of them once more over plain http, where a page also shows the mailboxes.
//!
//! What it answers follows Microsoft's documents and reports from the field; where those disagree,
//! [`Policies`] has a switch. It never talks to anything but loopback, keeps everything in memory, and
//! takes its time from the [`Clock`] that it is given.

mod breaking;
mod clock;
mod config;
mod control;
mod demo;
mod error;
mod faults;
mod graph;
mod guid;
mod identity;
mod pages;
mod person;
mod recorder;
mod rights;
mod secrets;
mod server;
mod state;
mod store;
mod tenant;
mod throttle;
mod tls;
mod wire;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{
    AppConfig, CertificateConfig, InFlightSend, Policies, RbacGrant, RedirectKind, RedirectUri,
    Right, RightKind, SecretConfig, SeedMail, TenantConfig, Timings, UserConfig,
};
pub use demo::{DEMO_CLIENT_ID, pdf};
pub use error::TenantError;
pub use faults::{Fault, FaultAction};
pub use recorder::Recorded;
pub use state::{NewSecret, SignInRecord, StoredMessage, TenantState, ThrottleCounts};
pub use store::ids::IdForm;
pub use store::message::{Attachment, Body, Content, Message, Recipient};
pub use store::{OutsideMail, UserState};
pub use tenant::Tenant;
pub use throttle::{RetryAfterStyle, ThrottleConfig};
pub use wire::Origin;
