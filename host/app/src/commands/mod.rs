//! The commands, one module each.

mod backup;
mod connections;
mod demo;
mod doctor;
mod dry_run;
mod graph;
mod init;
mod plan;
mod plugins;
mod replay;
mod run;
mod runs;
mod schema;
mod serve;
mod tenant;
mod test;
mod triggers;
mod validate;
mod vault;

use anyhow::Result;

pub(crate) use self::backup::copy as copy_data;
pub(crate) use self::run::plan_of;
pub(crate) use self::runs::step_path;
use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::project::nearest;

/// Does what the command line says.
pub(crate) async fn execute(cli: Cli) -> Result<Exit> {
    let mut global = cli.global;
    if global.project.is_none() {
        global.project = nearest(cli.command.names());
    }
    match cli.command {
        Command::Demo(arguments) => demo::run(&global, &arguments).await,
        Command::Init(arguments) => init::run(&global, &arguments).await,
        Command::Graph(arguments) => graph::run(&global, &arguments).await,
        Command::Schema(arguments) => schema::run(&global, &arguments).await,
        Command::Test(arguments) => test::run(&global, &arguments).await,
        Command::Validate(arguments) => validate::run(&global, &arguments).await,
        Command::Plan(arguments) => plan::run(&global, &arguments).await,
        Command::Run(arguments) => run::run(&global, &arguments).await,
        Command::Runs(command) => runs::run(&global, command).await,
        Command::Replay(arguments) => replay::run(&global, &arguments).await,
        Command::Serve(arguments) => serve::run(&global, &arguments).await,
        Command::Triggers(command) => triggers::run(&global, command).await,
        Command::Backup(arguments) => backup::write(&global, &arguments).await,
        Command::Restore(arguments) => backup::restore(&global, &arguments).await,
        Command::Connections(command) => connections::run(&global, command).await,
        Command::Vault(command) => vault::run(&global, command).await,
        Command::Plugins(command) => plugins::run(&global, command).await,
        Command::Doctor(arguments) => doctor::run(&global, &arguments).await,
        Command::Tenant(arguments) => tenant::run(&global, &arguments).await,
    }
}
