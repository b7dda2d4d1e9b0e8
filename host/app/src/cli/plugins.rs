//! The command line of `docket plugins`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum PluginsCommand {
    /// Lists the plugins of docket.yaml.
    List,
    /// Shows what a plugin is, what it asks for and what it was granted.
    Inspect {
        /// A plugin of docket.yaml, or a component's file.
        plugin: String,
    },
    /// Shows what a plugin asks for, asks you, and adds it to docket.yaml and docket.lock.
    Add(AddArgs),
    /// Fetches the components that docket.lock pins and this machine does not have.
    Fetch,
    /// Publishes a component in an OCI registry, in the layout that `wkg` uses.
    Push {
        /// A component's file, or a plugin's folder that was built.
        #[arg(value_name = "PLUGIN")]
        plugin: PathBuf,
        /// Where to: `oci://registry.example/team/plugin:1.0.0`.
        #[arg(value_name = "REFERENCE")]
        reference: String,
    },
    /// Starts a new plugin: a folder that builds and passes its test at once.
    New(NewArgs),
    /// Builds a plugin's component from its source.
    Build {
        /// The plugin's folder.
        #[arg(value_name = "DIR", default_value = ".")]
        folder: PathBuf,
    },
    /// Says whether a component is a plugin, and lists all that it asks for.
    Check {
        /// A component's file, or a plugin's folder that was built.
        #[arg(value_name = "PLUGIN", default_value = ".")]
        plugin: PathBuf,
    },
    /// Runs a plugin's cases against scripted servers, and breaks each unsafe request.
    Test(PluginTestArgs),
}

/// What to add.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// A component's file, `https://…` with --digest, or `oci://registry.example/team/plugin:1.0.0`.
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// The name that workflows use [default: the plugin's own].
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The digest that the component must have.
    #[arg(long, value_name = "sha256:…")]
    pub(crate) digest: Option<docket_model::Digest>,
    /// Approves what it asks for, for machines; it is shown all the same.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What to start.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The plugin's name, which is the folder's as well: lower-case letters, digits and hyphens.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The language to write it in.
    #[arg(long, value_enum, default_value = "rust")]
    pub(crate) lang: Language,
    /// The folder to make it in.
    #[arg(long = "in", value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
}

/// A language with a template.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Language {
    /// Rust, with the SDK.
    Rust,
    /// JavaScript, by `componentize-js`.
    Js,
    /// Python, by `componentize-py`.
    Python,
}

/// What to test.
#[derive(Debug, Args)]
pub(crate) struct PluginTestArgs {
    /// A component's file, or a plugin's folder that was built.
    #[arg(value_name = "PLUGIN", default_value = ".")]
    pub(crate) plugin: PathBuf,
    /// The folder of cases [default: `cases` beside the plugin].
    #[arg(long, value_name = "DIR")]
    pub(crate) cases: Option<PathBuf>,
    /// Only the cases whose name holds this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Leaves the checks out that every plugin must pass.
    #[arg(long)]
    pub(crate) no_conformance: bool,
}
