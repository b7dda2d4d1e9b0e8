//! The `docket` binary: command line, views and wiring. It has no rules of its own; what it does is
//! to hand the rooms to one another.

mod administration;
mod answers;
mod asking;
mod cli;
mod clock;
mod commands;
mod egress;
mod exit;
mod files;
mod graph;
mod host;
mod inputs;
mod pins;
mod problems;
mod project;
mod records;
mod render;
mod server;
mod simulated;
mod view;
mod waking;
mod workbench;
mod workflows;
mod xml;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::cli::Cli;
use crate::exit::Exit;

/// A mail is thousands of small allocations on several threads at once: the system's allocator was a
/// quarter of the processor time of the workers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The stack of a worker thread, as a program's main thread has it: expressions, templates and schemas
/// are read by recursion, whose frames are large where dependencies are not optimised.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.global.verbose);
    let as_json = cli.global.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            render::error(&anyhow::Error::new(error), as_json);
            return Exit::Fault.into();
        }
    };
    let exit = match runtime.block_on(commands::execute(cli)) {
        Ok(exit) => exit,
        Err(error) => render::error(&error, as_json),
    };
    exit.into()
}

/// Logs to standard error: warnings, or what `-v` or `DOCKET_LOG` asks for.
fn log_to_stderr(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug,rustls=info,cranelift=info,wasmtime=info",
    };
    let mut filter =
        EnvFilter::try_from_env("DOCKET_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // Below info these print URLs, and an upload URL is a secret. Whatever was asked for, they stay.
    for target in ["h2", "hyper", "hyper_util", "reqwest"] {
        if let Ok(directive) = format!("{target}=info").parse() {
            filter = filter.add_directive(directive);
        }
    }
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
}
