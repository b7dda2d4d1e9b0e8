//! `cargo xtask hostile`: runs every case and prints what became of it.

#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::process::ExitCode;

use anyhow::Result;

fn main() -> Result<ExitCode> {
    let as_json = std::env::args()
        .skip(1)
        .any(|argument| argument == "--json");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // As the host's own: expressions and schemas are read by recursion.
        .thread_stack_size(8 << 20)
        .enable_all()
        .build()?;
    let report = runtime.block_on(docket_hostile::run(docket_hostile::all()?))?;
    for verdict in &report.verdicts {
        let (mark, how) = match &verdict.denied {
            Ok(how) => ("denied", how),
            Err(problem) => ("FAILED", problem),
        };
        let line = format!(
            "{mark}  {:<24} {:<64} {}",
            verdict.name,
            verdict.tries,
            short(how)
        );
        if as_json {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }
    for leak in report.all_leaks() {
        eprintln!("LEAK    {leak}");
    }
    eprintln!(
        "{} of {} cases denied, {} leaks; {} files of the data folder searched",
        report.denied(),
        report.verdicts.len(),
        report.all_leaks().len(),
        report.files
    );
    if as_json {
        println!("{}", report.json());
    }
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One line of a text.
fn short(text: &str) -> String {
    let line = text.replace('\n', " ");
    match line.char_indices().nth(110) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
