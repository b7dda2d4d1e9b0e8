//! `cargo xtask chaos`: rages for so many rounds and says what became of the mails.

#![allow(clippy::print_stdout, reason = "the count is what this program is for")]

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use docket_chaos::Settings;

fn main() -> Result<ExitCode> {
    let (mut rounds, mut seed, mut as_json) = (200, 1, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u64> {
            let value = arguments.next().context("a number is missing")?;
            value
                .parse()
                .with_context(|| format!("{value} is no number"))
        };
        match argument.as_str() {
            "--rounds" => rounds = number()?.try_into().context("that is too many rounds")?,
            "--seed" => seed = number()?,
            "--json" => as_json = true,
            other => bail!("{other} is not known; there are --rounds N, --seed S and --json"),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(docket_chaos::run(&Settings::new(rounds, seed)))?;
    for problem in &report.problems {
        eprintln!("FAILED  {problem}");
    }
    eprintln!("{report}");
    if as_json {
        println!("{}", report.json());
    }
    Ok(match report.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
