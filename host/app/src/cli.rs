//! The command line.

mod design;
mod plugins;
mod runs;
mod triggers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

pub(crate) use self::design::{
    Format, GraphArgs, InitArgs, Picture, PlanArgs, SchemaArgs, SchemaOf, TestArgs, ValidateArgs,
};
pub(crate) use self::plugins::{AddArgs, Language, NewArgs, PluginTestArgs, PluginsCommand};
pub(crate) use self::runs::{DecisionArgs, LookCommand, OrderCommand, ReplayArgs, RunsCommand};
pub(crate) use self::triggers::TriggersCommand;

/// Runs document workflows written in YAML, with plugins that can use an account and never read
/// its token.
#[derive(Debug, Parser)]
#[command(name = "docket", version, about, after_help = crate::exit::HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The project's folder, the one that holds docket.yaml [default: the nearest one at or above the
    /// file that the command names, or the folder that you are in].
    #[arg(long, short = 'C', global = true, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
    /// The folder for journal, documents and vault [default: .docket in the project's folder].
    #[arg(long, global = true, value_name = "DIR", env = "DOCKET_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The file that holds the vault's key; made on first use, for its owner alone. Without it the
    /// key is DOCKET_VAULT_KEY of the environment, or a file in the user's configuration folder.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DOCKET_VAULT_KEY_FILE"
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// Keeps the vault's key in the system's keyring.
    #[arg(
        long,
        global = true,
        env = "DOCKET_KEYRING",
        conflicts_with = "key_file"
    )]
    pub(crate) keyring: bool,
    /// Prints JSON for machines; people's lines go to standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Logs more: once for info, twice for debug. DOCKET_LOG takes a filter in its place.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Global {
    /// The project's folder.
    pub(crate) fn root(&self) -> &Path {
        self.project.as_deref().unwrap_or(Path::new("."))
    }

    /// The same for the project in a folder.
    pub(crate) fn within(&self, folder: &Path) -> Self {
        Self {
            project: Some(folder.to_owned()),
            ..self.clone()
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the two example workflows against a simulated tenant and shows where the mails landed.
    Demo(DemoArgs),
    /// Makes a project that runs at once against a simulated tenant, with an editor set up.
    Init(InitArgs),
    /// Checks workflows and docket.yaml, and prints every problem with its place.
    Validate(ValidateArgs),
    /// Shows what a workflow would do: its steps, as whom, with which grants and scopes.
    Plan(PlanArgs),
    /// Draws a workflow.
    Graph(GraphArgs),
    /// Prints the JSON Schema of workflows, of docket.yaml or of tests, for editors.
    Schema(SchemaArgs),
    /// Runs the tests of workflows, each case on a simulated tenant of its own.
    Test(TestArgs),
    /// Runs a workflow and shows its steps.
    Run(RunArgs),
    /// Looks at runs, tells them something, and goes on with those that did not end.
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Runs a run again from its record, offline: nothing is sent, and nothing is recorded.
    Replay(ReplayArgs),
    /// Starts runs by their triggers, drives all runs, and answers HTTP requests, until Ctrl-C or
    /// SIGTERM. Workflows that change are read again; SIGHUP has that done at once.
    Serve(ServeArgs),
    /// Shows what starts by itself, and gives webhooks their secrets.
    #[command(subcommand)]
    Triggers(TriggersCommand),
    /// Copies the journal, the documents and the plugins of runs into a new folder.
    Backup(BackupArgs),
    /// Puts such a copy into a data folder that has no journal yet.
    Restore(RestoreArgs),
    /// Sets up the ways to accounts.
    #[command(subcommand)]
    Connections(ConnectionsCommand),
    /// Changes the vault's key, backs the vault up and restores it.
    #[command(subcommand)]
    Vault(VaultCommand),
    /// Makes, tests and adds plugins, and looks at them.
    #[command(subcommand)]
    Plugins(PluginsCommand),
    /// Looks at everything that may be wrong, and says of each thing how it is and what to do. Changes
    /// nothing, but that compiled plugins are added to the cache.
    Doctor(DoctorArgs),
    /// Starts a simulated Microsoft 365 tenant on this machine.
    Tenant(TenantArgs),
}

impl Command {
    /// The first file or folder of a project that the command names.
    pub(crate) fn names(&self) -> Option<&Path> {
        match self {
            Self::Validate(arguments) => arguments.files.first().map(PathBuf::as_path),
            Self::Plan(arguments) => Some(&arguments.file),
            Self::Graph(arguments) => Some(&arguments.file),
            Self::Test(arguments) => arguments.paths.first().map(PathBuf::as_path),
            Self::Run(arguments) => Some(&arguments.file),
            _ => None,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The folder with the example workflows.
    #[arg(long, value_name = "DIR", default_value = "workflows")]
    pub(crate) workflows: PathBuf,
    /// The folder with the built plugins.
    #[arg(long, value_name = "DIR", default_value = "target/guests/components")]
    pub(crate) components: PathBuf,
    /// Leaves the tenant and its pages up, for a look, until Ctrl-C.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Shows runs that wait for a person to sign in, and for an expired client secret to be
    /// replaced, and go on by themselves.
    #[arg(long)]
    pub(crate) sign_in: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The workflow.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// An input: `name=text`, or `name=@file` for a document or, for other types, for JSON.
    #[arg(long = "input", short, value_name = "NAME=VALUE")]
    pub(crate) inputs: Vec<String>,
    /// A JSON file with inputs; `--input` goes before it.
    #[arg(long, value_name = "FILE")]
    pub(crate) inputs_file: Option<PathBuf>,
    /// The run's id, 1 to 64 letters, digits and hyphens. The same id never starts a second run.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Runs the plugins and sends nothing that changes anything: reads go out, and what each step
    /// would send is shown. No run is recorded.
    #[arg(long, conflicts_with = "id")]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 is any free one. Only this machine is let in, so give a loopback
    /// address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// How many runs are driven at a time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) at_once: u16,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The new folder. It holds all that runs were given and did, so keep it like the data folder.
    /// Secrets are not in it: `docket vault export` writes those.
    #[arg(value_name = "DIR")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The folder that `docket backup` wrote.
    #[arg(value_name = "DIR")]
    pub(crate) from: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionsCommand {
    /// Stores the client secret or the certificate of a connection, and shows the app registration.
    Add {
        /// The connection.
        name: String,
        #[command(flatten)]
        credential: CredentialArgs,
        /// Keeps the credential in use, and stores this one for when that one is not accepted any
        /// more.
        #[arg(long)]
        beside: bool,
    },
    /// Tries a new client secret or certificate at the sign-in service, and takes it into use if it
    /// is accepted. The old one is in use until then.
    #[command(visible_alias = "rotate-credential")]
    RotateSecret {
        /// The connection.
        name: String,
        #[command(flatten)]
        credential: CredentialArgs,
    },
    /// Shows the app registration that a connection needs, field by field.
    Show {
        /// The connection.
        name: String,
    },
    /// Signs the account of a connection in, or one of its users.
    Authorize(AuthorizeArgs),
    /// Lists the connections, how they stand, and what of them ends within 30 days.
    List,
    /// Refreshes the sign-ins that nobody used for a day; they would end after 90 days without use.
    KeepAlive,
    /// Tries what the workflows need: token, scopes, mailboxes, folders, rights. Says what to mend.
    Test(ProbeArgs),
    /// Prints the PowerShell that gives the rights on all mailboxes of a connection, or of all.
    Rights {
        /// The connection.
        name: Option<String>,
        /// Prints the script; the default.
        #[arg(long)]
        script: bool,
    },
    /// Makes a secret that the webhook of `sign-in-hook` is signed with, and prints it for its
    /// receiver. The one before is used beside it until the next one is made.
    WebhookSecret {
        /// The file that holds a secret that was made elsewhere, `whsec_…`; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
}

/// A client secret or a certificate.
#[derive(Debug, Args)]
pub(crate) struct CredentialArgs {
    /// The file that holds the client secret; without it it is read from standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The file that holds a certificate and its private key, PEM.
    #[arg(long, value_name = "FILE", conflicts_with = "secret_file")]
    pub(crate) certificate: Option<PathBuf>,
    /// When the client secret ends, as Entra shows it: 2027-05-31. A certificate says so itself.
    #[arg(long, value_name = "DATE", conflicts_with = "certificate")]
    pub(crate) expires: Option<String>,
}

/// Who signs in, and how.
#[derive(Debug, Args)]
pub(crate) struct AuthorizeArgs {
    /// The connection.
    pub(crate) name: String,
    /// The user, for a connection of the kind per-user.
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Shows a code to enter on another machine, for those without a browser.
    #[arg(long)]
    pub(crate) device: bool,
    /// Prints the address and opens no browser.
    #[arg(long)]
    pub(crate) no_browser: bool,
}

/// What to try of a connection.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// The connection.
    pub(crate) name: String,
    /// The user, for a connection of the kind per-user.
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Sends a mail from each mailbox to itself; only that shows Send As.
    #[arg(long)]
    pub(crate) send: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// Encrypts the vault with a new key.
    RotateKey {
        /// Keeps the new key in this file.
        #[arg(long, value_name = "FILE")]
        to_file: Option<PathBuf>,
        /// Keeps the new key in the system's keyring.
        #[arg(long, conflicts_with = "to_file")]
        to_keyring: bool,
    },
    /// Writes everything in the vault into a file that only a passphrase opens.
    Export {
        /// The new file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The file that holds the passphrase; without it DOCKET_BACKUP_PASSPHRASE.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Stores what such a file holds. What the vault has already, it keeps.
    Import {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The file that holds the passphrase; without it DOCKET_BACKUP_PASSPHRASE.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Takes what the file holds in the place of what the vault has.
        #[arg(long)]
        replace: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Goes to the network, too: whether the hosts of the connections answer and the clock is right,
    /// and then what `docket connections test` does, which refreshes tokens, and makes a draft and
    /// deletes it where workflows write to a mailbox.
    #[arg(long)]
    pub(crate) online: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TenantArgs {
    /// Has a project use this tenant for as long as it is up: its connections are simulated and
    /// signed in, and docket.local.yaml says so. A folder without a project gets one.
    #[arg(long, value_name = "DIR")]
    pub(crate) project_to: Option<PathBuf>,
    /// The folder with the built plugins, for the project.
    #[arg(long, value_name = "DIR", default_value = "target/guests/components")]
    pub(crate) components: PathBuf,
}
