//! `docket graph`: a workflow as a picture.

use anyhow::Result;

use crate::cli::{Global, GraphArgs, Picture};
use crate::exit::Exit;
use crate::files;
use crate::graph::{Graph, mermaid, svg};
use crate::project::Project;
use crate::render;
use crate::workbench::Workbench;

pub(crate) async fn run(global: &Global, arguments: &GraphArgs) -> Result<Exit> {
    let bench = Workbench::open(Project::load(global)?).await?;
    let graph = Graph::of(&bench.plan(&arguments.file)?);
    let picture = match arguments.format {
        Picture::Svg => svg(&graph),
        Picture::Mermaid => mermaid(&graph),
    };
    match &arguments.out {
        Some(file) => files::write(file, picture)?,
        None => render::line(picture.trim_end()),
    }
    Ok(Exit::Success)
}
