//! `docket connections`: the app registration, the credentials, the sign-ins, and how things stand.

mod credential;
mod probe;
mod registration;
mod sign_in;
mod status;

use anyhow::Result;
use docket_connections::ConnectionError;

pub(crate) use self::sign_in::sign_in;
use crate::cli::{ConnectionsCommand, Global};
use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::project::Project;

pub(crate) async fn run(global: &Global, command: ConnectionsCommand) -> Result<Exit> {
    let host = Host::open(Project::load(global)?, global).await?;
    match command {
        ConnectionsCommand::Add {
            name,
            credential,
            beside,
        } => credential::add(&host, &name, &credential, beside, global.json),
        ConnectionsCommand::RotateSecret { name, credential } => {
            credential::rotate(&host, &name, &credential, global.json).await
        }
        ConnectionsCommand::Show { name } => registration::show(&host, &name, global.json),
        ConnectionsCommand::Authorize(arguments) => {
            sign_in::authorize(&host, &arguments, global.json).await
        }
        ConnectionsCommand::List => status::list(&host, global.json),
        ConnectionsCommand::KeepAlive => status::keep_alive(&host, global.json).await,
        ConnectionsCommand::Test(arguments) => probe::test(&host, &arguments, global.json).await,
        ConnectionsCommand::Rights { name, script: _ } => probe::rights(&host, name.as_deref()),
    }
}

/// An error of the connections, with the exit code that tells what kind of help it needs.
fn refused(error: ConnectionError) -> Failed {
    let exit = match &error {
        ConnectionError::Unknown(_)
        | ConnectionError::Binding(_)
        | ConnectionError::Credential(_)
        | ConnectionError::NobodySignsIn(_)
        | ConnectionError::NoRedirect(_) => Exit::Invalid,
        ConnectionError::Vault(_) => Exit::Storage,
        ConnectionError::Auth(_) => Exit::SignInNeeded,
    };
    Failed::new(exit, error.to_string())
}
