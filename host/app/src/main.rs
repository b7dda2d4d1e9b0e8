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
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::Cli;
use crate::exit::Exit;

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
    let asked = EnvFilter::try_from_env("DOCKET_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(lines.with_filter(asked.and(filter_fn(tells_no_url))))
        .init();
}

/// Below info these print URLs, and an upload URL is a secret. Whatever was asked for, and for however
/// small a part of them, they stay at that.
fn tells_no_url(about: &Metadata<'_>) -> bool {
    let package = about.target().split("::").next().unwrap_or_default();
    *about.level() <= Level::INFO || !["h2", "hyper", "hyper_util", "reqwest"].contains(&package)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_url_is_logged_whatever_is_asked_for() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let asked = EnvFilter::new("trace,hyper_util::client=trace,[request]=trace");
        let filter = asked.and(filter_fn(tells_no_url));
        let subscriber = tracing_subscriber::registry().with(log.with_filter(filter));
        tracing::subscriber::with_default(subscriber, || {
            let within = tracing::trace_span!(target: "hyper", "request").entered();
            tracing::trace!(target: "hyper_util::client::legacy::client", "canary");
            tracing::debug!(target: "reqwest::connect", "canary");
            tracing::debug!(target: "h2", "canary");
            tracing::info!(target: "hyper_util::client", "for people");
            tracing::trace!(target: "docket::host", "for people");
            drop(within);
        });
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(!lines.contains("canary"), "{lines}");
        assert_eq!(lines.matches("for people").count(), 2, "{lines}");
    }
}
