//! Accounts, the vault, policy, and the one way out to the network.
//!
//! [`Connections`] are opened from the project file. A step gets a [`Binding`]: a connection's account
//! within its plugin's grants. [`Binding::send`] is the only function of the host that sends a
//! request for a plugin.
//!
//! This room holds tokens and the HTTP client. It must never hand a token, a client secret or a sealed
//! URL to anybody: not in an answer, an error, a log line or `Debug`; and it knows nothing of
//! WebAssembly or of the journal. Time for expiry is passed in; deadlines and pauses are tokio's.

mod binding;
mod body;
mod check;
mod connection;
mod credentials;
mod dial;
mod echo;
mod fence;
mod fetch;
mod forecast;
mod gate;
mod hook_secret;
mod hooks;
mod keep_alive;
mod mailboxes;
mod oauth;
mod pace;
mod policy;
pub mod probe;
mod reach;
mod registration;
mod registry;
mod rights;
mod scopes;
mod send;
mod status;
mod turn;
mod vault;
mod webhook;
mod window;

pub use binding::{AccountInfo, Binding};
pub use check::{OpenError, SpecProblem};
pub use dial::{Resolve, SystemResolver};
pub use fence::Fence;
pub use fetch::{Fetch, FetchError, Fetched, Fetcher};
pub use forecast::{Lapse, LapseKind, Severity};
pub use gate::{Body, GateError, Request, Response};
pub use hook_secret::{HookSecret, InvalidSecret};
pub use hooks::{Refused, SecretStatus, Signature};
pub use keep_alive::KeptAlive;
pub use oauth::{
    AuthError, AuthErrorClass, Callback, Credential, CredentialKind, CredentialStatus,
    DeviceSignIn, FinishError, InvalidCredential, LoopbackRedirect, SignIn, SignedIn,
};
pub use policy::{InvalidGrant, check_rule};
pub use reach::{Ahead, Answer, Reach};
pub use registration::{AppRegistration, Permission, PermissionKind};
pub use registry::{Authorized, BindingError, ConnectionError, Connections, UnknownConnection};
pub use rights::{Acting, rights_script};
pub use scopes::scopes;
pub use status::{ConnectionStatus, Lack, SignInStatus};
pub use turn::HeldTurn;
pub use vault::{BackupError, Imported, KeySource, Keyring, Vault, VaultError};
pub use webhook::{Webhook, WebhookError};
