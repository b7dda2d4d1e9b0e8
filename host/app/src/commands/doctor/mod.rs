//! `docket doctor`: everything that may be wrong, looked at in the order in which it is needed, and of each
//! thing how it is and what to do.
//!
//! Nothing is changed: the journal and the vault are opened to be read alone, and where a process serves,
//! it is asked. Rules are where the things are; here they are put in line.

mod design;
mod folder;
mod online;
mod report;
mod standing;
mod store;

use anyhow::Result;
use docket_sandbox::{Limits, try_engine};

use self::report::Report;
use crate::cli::{DoctorArgs, Global};
use crate::exit::Exit;
use crate::server::client::Serving;

pub(crate) async fn run(global: &Global, arguments: &DoctorArgs) -> Result<Exit> {
    let mut report = Report::new(global.json);
    match try_engine(&Limits::default()).await {
        Ok(()) => report.ok("engine", "WebAssembly compiles and runs on this machine"),
        Err(error) => report.problem("engine", Exit::Fault, error.to_string(), error.help()),
    }
    let Some(design) = design::look(global, &mut report).await? else {
        report.skipped("data", "the data folder: what is above comes first");
        return Ok(report.end());
    };
    let project = &design.bench.project;
    folder::look(project, &mut report);
    let serving = Serving::find(&project.data).await;
    let online = match &serving {
        Some(serving) => {
            store::there(serving, &design, &mut report).await?;
            None
        }
        None => store::here(global, &design, &mut report)?,
    };
    match arguments.online {
        true => online::look(global, design, serving, online, &mut report).await?,
        false => report.skipped("network", "--online goes there, and tries the connections"),
    }
    Ok(report.end())
}
