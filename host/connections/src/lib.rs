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
mod dial;
mod echo;
mod gate;
mod oauth;
mod pace;
mod policy;
mod registry;
mod send;
mod vault;

pub use binding::{AccountInfo, Binding};
pub use dial::{Resolve, SystemResolver};
pub use gate::{Body, GateError, Request, Response};
pub use oauth::{
    AuthError, AuthErrorClass, Callback, FinishError, LoopbackRedirect, SignIn, SignedIn,
};
pub use policy::{InvalidGrant, check_rule};
pub use registry::{
    BindingError, ConnectionError, ConnectionStatus, Connections, OpenError, SignInStatus,
    SpecProblem, UnknownConnection,
};
pub use vault::{KeySource, Vault, VaultError, VaultKey};
