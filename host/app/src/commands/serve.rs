//! x
use crate::cli::*; use crate::exit::Exit;
pub(crate) async fn run(_g: &Global, _a: &ServeArgs) -> anyhow::Result<Exit> { Ok(Exit::Success) }
