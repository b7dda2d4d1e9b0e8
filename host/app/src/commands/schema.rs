//! `docket schema`: the JSON Schema of a kind of file, for editors with a YAML language server.

use anyhow::Result;
use docket_model::{project_schema, suite_schema, workflow_schema};

use crate::cli::{Global, SchemaArgs, SchemaOf};
use crate::exit::Exit;
use crate::files;
use crate::project::Project;
use crate::render;
use crate::workbench::Workbench;

pub(crate) async fn run(global: &Global, arguments: &SchemaArgs) -> Result<Exit> {
    let schema = match arguments.of {
        SchemaOf::Project => project_schema(),
        SchemaOf::Test => suite_schema(),
        SchemaOf::Workflow => {
            let bench = Workbench::open(Project::load(global)?).await?;
            workflow_schema(bench.catalog())
        }
    };
    let text = format!("{schema:#}");
    match &arguments.out {
        Some(file) => files::write(file, text + "\n")?,
        None => render::line(&text),
    }
    Ok(Exit::Success)
}
