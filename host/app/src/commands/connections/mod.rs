//! `docket connections`: the app registration, the credentials, the sign-ins, and how things stand. Where
//! a process serves the data folder, that one does it.

mod credential;
mod probe;
mod registration;
mod sign_in;
mod status;

use anyhow::Result;

pub(crate) use self::sign_in::sign_in;
use crate::administration::Desk;
use crate::cli::{ConnectionsCommand, Global};
use crate::exit::Exit;

pub(crate) async fn run(global: &Global, command: ConnectionsCommand) -> Result<Exit> {
    let desk = Desk::open(global).await?;
    match command {
        ConnectionsCommand::Add {
            name,
            credential,
            beside,
        } => credential::add(&desk, &name, &credential, beside, global.json).await,
        ConnectionsCommand::RotateSecret { name, credential } => {
            credential::rotate(&desk, &name, &credential, global.json).await
        }
        ConnectionsCommand::Show { name } => registration::show(&desk, &name, global.json).await,
        ConnectionsCommand::Authorize(arguments) => {
            sign_in::authorize(&desk, &arguments, global.json).await
        }
        ConnectionsCommand::List => status::list(&desk, global.json).await,
        ConnectionsCommand::KeepAlive => status::keep_alive(&desk, global.json).await,
        ConnectionsCommand::Test(arguments) => probe::test(&desk, &arguments, global.json).await,
        ConnectionsCommand::Rights { name, script: _ } => {
            probe::rights(&desk, name.as_deref()).await
        }
        ConnectionsCommand::WebhookSecret { secret_file } => {
            credential::webhook_secret(&desk, secret_file.as_deref(), global.json).await
        }
    }
}
