//! What a clone needs beyond cargo: it sets up the WebAssembly target, builds guests and host, and
//! then runs the demo, the tests or the benchmarks.

mod guests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Docket's own chores"
)]
struct Cli {
    /// How to build the plugins.
    #[arg(long, global = true, value_enum, default_value = "auto")]
    guests: guests::Choice,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Builds the plugins into target/guests/components.
    Guests,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let root = root()?;
    match cli.task {
        Task::Guests => {
            guests::build(&root, guests::set_up(cli.guests)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().context("xtask lies in the workspace")?;
    Ok(root.to_owned())
}
