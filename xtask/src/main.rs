//! What a clone needs beyond cargo: it sets up the WebAssembly target, builds guests and host, and
//! then runs the demo, the tests or the benchmarks; and it holds the simulated tenant to Microsoft's
//! own clients, and the schemas to the language server of editors.

mod bench;
mod chaos;
mod editor;
mod examples;
mod guests;
mod hostile;
mod referees;
mod tally;
mod tools;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
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
    /// Builds everything, and runs the example workflows against a simulated tenant.
    Demo {
        /// Ends with one line of JSON, read back from the tenant.
        #[arg(long)]
        json: bool,
        /// Leaves the tenant and its pages up, for a look, until Ctrl-C.
        #[arg(long)]
        keep: bool,
        /// Shows runs that wait for a sign-in and for a new client secret, and go on by themselves.
        #[arg(long)]
        sign_in: bool,
    },
    /// Builds everything, and runs every test of the workspace.
    Test {
        /// What to hand to `cargo test` in place of `--workspace`.
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Builds the example plugins in three languages, and runs their cases.
    Examples {
        /// Only the examples whose folder's name holds this.
        filter: Option<String>,
    },
    /// Builds everything, and runs hostile plugins against the host: each must be denied.
    Hostile {
        /// Ends with one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Builds host and tenant, kills the serving process at random moments under load, and counts what
    /// became of the mails.
    Chaos {
        /// How many times it is killed.
        #[arg(long, value_name = "N", default_value_t = 200)]
        rounds: u32,
        /// What everything that is left to chance comes from.
        #[arg(long, value_name = "S", default_value_t = 1)]
        seed: u64,
        /// Ends with one line of JSON, read back from the tenant.
        #[arg(long)]
        json: bool,
    },
    /// Builds everything for speed, and measures it.
    Bench {
        /// Ends with one line of JSON.
        #[arg(long)]
        json: bool,
        /// Only those of this room, as `journal` or `engine/mails`, or whose name holds this.
        filter: Option<String>,
    },
    /// Installs the YAML language server that editors use, and holds the schemas to it.
    Editor,
    /// Installs Microsoft's own clients, and has them use the simulated tenant.
    Referees {
        /// What is refereed.
        #[arg(value_enum)]
        suite: referees::Suite,
        /// Only the cases whose name holds this.
        filter: Option<String>,
    },
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let root = root()?;
    let began = Instant::now();
    let components = || guests::build(&root, guests::set_up(cli.guests)?);
    match cli.task {
        Task::Guests => components().map(|_| ExitCode::SUCCESS),
        Task::Demo {
            json,
            keep,
            sign_in,
        } => {
            let flags = [("--json", json), ("--keep", keep), ("--sign-in", sign_in)];
            demo(&root, &components()?, began, &flags)
        }
        Task::Test { arguments } => {
            components()?;
            have_registry();
            test(&root, arguments)
        }
        Task::Bench { json, filter } => {
            components()?;
            bench::run(&root, json, filter.as_deref())
        }
        Task::Chaos { rounds, seed, json } => {
            components()?;
            chaos::rage(&root, rounds, seed, json)
        }
        Task::Examples { filter } => examples::run(&root, filter.as_deref()),
        Task::Hostile { json } => {
            components()?;
            hostile::run_suite(&root, json)
        }
        Task::Editor => editor::run_suite(&root),
        Task::Referees { suite, filter } => referees::run(&root, suite, filter.as_deref()),
    }
}

fn root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().context("xtask lies in the workspace")?;
    Ok(root.to_owned())
}

/// The cargo that runs this.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// Builds these of the whole workspace, as the tests build them, so that nothing is built twice.
pub(crate) fn build(root: &Path, what: &[&str]) -> Result<()> {
    let mut build = cargo(root);
    build.args(["build", "--locked", "--workspace"]).args(what);
    let status = build.status().context("cargo cannot be started")?;
    ensure!(status.success(), "{} does not build", what.join(" "));
    Ok(())
}

/// Ends as the command ended.
pub(crate) fn run(mut command: Command) -> Result<ExitCode> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("{program} cannot be started"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn demo(
    root: &Path,
    components: &Path,
    began: Instant,
    flags: &[(&str, bool)],
) -> Result<ExitCode> {
    let mut build = cargo(root);
    // Only what the demo runs: the tests build the rest when they are wanted.
    build.args(["build", "--locked", "-p", "docket"]);
    if run(build)? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    let built = began.elapsed();
    let mut docket = Command::new(root.join("target/debug/docket"));
    docket
        .arg("demo")
        .arg("--workflows")
        .arg(root.join("workflows"))
        .arg("--components")
        .arg(components);
    // Before the demo's own lines: with --json its last one has to stay the last.
    eprintln!("plugins and host built in {}", minutes(built));
    let wanted = flags.iter().filter(|(_, is_wanted)| *is_wanted);
    docket.args(wanted.map(|(flag, _)| flag));
    let code = run(docket)?;
    if code == ExitCode::SUCCESS {
        eprintln!(
            "set-up, build and demo in {}{}",
            minutes(began.elapsed()),
            since_clone(root)
        );
    }
    Ok(code)
}

/// How long ago the repository was cloned, where that was lately: the figure that a new user feels.
#[allow(
    clippy::disallowed_methods,
    reason = "a chore tells its user how long it took"
)]
fn since_clone(root: &Path) -> String {
    let cloned = root
        .join(".git")
        .metadata()
        .and_then(|about| about.created());
    let age = cloned
        .ok()
        .and_then(|cloned| SystemTime::now().duration_since(cloned).ok());
    match age {
        Some(age) if age < Duration::from_secs(3600) => {
            format!("; clone to first mail: {}", minutes(age))
        }
        _ => String::new(),
    }
}

/// Installs the registry that tests publish to, where this is a machine for such things: as root, as CI
/// is. Elsewhere the tests that need it say that they are skipped.
fn have_registry() {
    let runs = |program: &str, argument: &str| {
        let asked = Command::new(program).arg(argument).output();
        asked.ok().filter(|answer| answer.status.success())
    };
    let is_root = runs("id", "-u").is_some_and(|answer| answer.stdout.trim_ascii() == b"0");
    if runs("docker-registry", "--version").is_none()
        && is_root
        && let Err(error) = guests::install(&["docker-registry"])
    {
        eprintln!("there is no docker-registry, and its tests are skipped: {error:#}");
    }
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

fn test(root: &Path, arguments: Vec<OsString>) -> Result<ExitCode> {
    let mut test = cargo(root);
    test.args(["test", "--locked"]);
    if arguments.is_empty() {
        test.arg("--workspace");
    }
    test.args(arguments);
    run(test)
}
