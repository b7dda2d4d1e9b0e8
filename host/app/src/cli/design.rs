//! The commands of those who write workflows.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How problems and plans are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: problems with their places go to standard error.
    Text,
    /// One object for machines.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Annotations of GitHub Actions.
    Github,
}

impl Format {
    /// What was asked for; `--json` means the same as `--format json`.
    pub(crate) fn of(asked: Option<Self>, as_json: bool) -> Self {
        asked.unwrap_or(match as_json {
            true => Self::Json,
            false => Self::Text,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The workflows, or their tests [default: every .yaml file of the project's folder and its
    /// workflows folder].
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How problems are told.
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Checks again whenever a file of the project changes, until Ctrl-C.
    #[arg(long, short)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The workflow.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// How the plan and problems are told.
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Workflows, with the actions of the project's plugins.
    Workflow,
    /// docket.yaml.
    Project,
    /// Tests of workflows, NAME.test.yaml.
    Test,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Of which kind of file.
    #[arg(value_enum, default_value = "workflow")]
    pub(crate) of: SchemaOf,
    /// Writes it into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The new project's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// The folder with the built plugins; the project gets copies of them.
    #[arg(long, value_name = "DIR", default_value = "target/guests/components")]
    pub(crate) components: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// The workflow.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What kind of picture.
    #[arg(long, value_enum, default_value = "svg")]
    pub(crate) format: Picture,
    /// Writes it into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// A kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    /// A picture that reads on light and on dark pages.
    Svg,
    /// Text that Markdown pages turn into a picture.
    Mermaid,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Tests, workflows that have tests, or folders [default: the project's folder and its workflows
    /// folder].
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Only the cases whose name, or whose file's name, holds this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// How many cases at a time [default: as many as the machine has processors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) at_once: Option<u16>,
    /// Writes a report for continuous integration (JUnit XML).
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}
