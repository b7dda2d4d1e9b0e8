//! Lets parked runs go on when an account has signed in, or a connection has got a new credential.

use std::sync::Arc;

use docket_connections::{AuthErrorClass, ConnectionError, Connections};
use docket_engine::{Engine, EngineError, EventStore};
use docket_model::Account;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

/// How many accounts are looked at side by side.
const AT_ONCE: usize = 16;

/// Listens for as long as the connections are open.
pub(crate) async fn wake(
    connections: Arc<Connections>,
    store: Arc<dyn EventStore>,
    engine: Arc<Engine>,
) {
    let mut news = connections.authorized();
    let connections = Arc::downgrade(&connections);
    loop {
        let woken = match news.recv().await {
            Ok(one) => tell(&engine, &one.connection, one.user.as_deref()).await,
            // Whoever missed some looks at everything that waits.
            Err(RecvError::Lagged(_)) => match connections.upgrade() {
                Some(connections) => look(&connections, store.as_ref(), &engine).await,
                None => return,
            },
            Err(RecvError::Closed) => return,
        };
        if let Err(error) = woken {
            tracing::error!(%error, "runs that wait for a sign-in were not woken");
        }
    }
}

/// Lets those runs go on whose account gets a token by now: somebody may have signed in while nobody
/// listened. Each account is asked for once, however many runs wait for it, and they are left alone
/// where it still must sign in.
///
/// # Errors
/// The journal's.
pub(crate) async fn look(
    connections: &Arc<Connections>,
    store: &dyn EventStore,
    engine: &Engine,
) -> Result<(), EngineError> {
    let needed = store.sign_ins_needed(None).await?;
    let accounts: Vec<Account> = needed.into_iter().map(|one| one.account).collect();
    for some in accounts.chunks(AT_ONCE) {
        let mut looking = JoinSet::new();
        for account in some.iter().cloned() {
            let connections = Arc::clone(connections);
            looking.spawn(async move {
                let user = account.user.as_deref();
                let state = connections.sign_in_state(&account.connection, user).await;
                (!still_waits(&state)).then_some(account)
            });
        }
        for account in looking.join_all().await.into_iter().flatten() {
            tell(engine, &account.connection, account.user.as_deref()).await?;
        }
    }
    let count = accounts.len();
    tracing::debug!(count, "the accounts that runs wait for were looked at");
    Ok(())
}

/// Whether nothing but somebody's doing lets an account have a token. All else the runs find out
/// themselves, and try again where that helps.
const fn still_waits(state: &Result<(), ConnectionError>) -> bool {
    match state {
        Err(ConnectionError::Auth(error)) => match error.class {
            AuthErrorClass::SignInRequired
            | AuthErrorClass::ConsentRequired
            | AuthErrorClass::Blocked
            | AuthErrorClass::Credential
            | AuthErrorClass::Configuration => true,
            AuthErrorClass::Transient | AuthErrorClass::Host => false,
        },
        _ => false,
    }
}

async fn tell(engine: &Engine, connection: &str, user: Option<&str>) -> Result<(), EngineError> {
    let woken = engine.signed_in(connection, user).await?;
    tracing::debug!(connection, woken, "runs go on");
    Ok(())
}
