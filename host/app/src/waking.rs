//! Lets parked runs go on when an account has signed in, or a connection has got a new credential.

use std::collections::BTreeSet;
use std::sync::Arc;

use docket_connections::{Authorized, Connections};
use docket_engine::{Engine, EngineError, EventStore, WaitFilter};
use docket_model::Account;
use tokio::sync::broadcast::error::RecvError;

/// Listens for as long as the connections are open.
pub(crate) async fn wake(
    connections: Arc<Connections>,
    store: Arc<dyn EventStore>,
    engine: Arc<Engine>,
) {
    let mut news = connections.authorized();
    drop(connections);
    loop {
        let authorized = match news.recv().await {
            Ok(authorized) => Some(authorized),
            // Whoever missed some looks at everything that waits.
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return,
        };
        if let Err(error) = tell(authorized.as_ref(), store.as_ref(), &engine).await {
            tracing::error!(%error, "runs that wait for a sign-in were not woken");
        }
    }
}

/// Lets all runs look once more whether they still must wait for a sign-in.
pub(crate) async fn wake_all(store: &dyn EventStore, engine: &Engine) -> Result<(), EngineError> {
    tell(None, store, engine).await
}

async fn tell(
    authorized: Option<&Authorized>,
    store: &dyn EventStore,
    engine: &Engine,
) -> Result<(), EngineError> {
    let mut accounts = BTreeSet::new();
    if let Some(authorized) = authorized {
        // Also for those that are about to wait.
        accounts.insert(Account::new(
            &authorized.connection,
            authorized.user.as_deref(),
        ));
    }
    // A new credential is one for every user of the connection.
    let is_for_all = authorized.is_none_or(|authorized| authorized.user.is_none());
    if is_for_all {
        let filter = WaitFilter {
            kind: Some("sign-in".to_owned()),
            ..WaitFilter::default()
        };
        for waiting in store.waiting(filter).await? {
            if let docket_model::WaitFor::SignIn { account, .. } = waiting.step.wait.on
                && authorized.is_none_or(|one| one.connection == account.connection)
            {
                accounts.insert(account);
            }
        }
    }
    for account in accounts {
        let woken = engine
            .signed_in(&account.connection, account.user.as_deref())
            .await?;
        tracing::debug!(connection = %account.connection, woken, "runs go on");
    }
    Ok(())
}
