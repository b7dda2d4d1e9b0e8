//! The count that a chore of many cases ends with.

use std::process::ExitCode;

use serde_json::json;

/// How many cases passed, failed and were skipped.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Prints the count as the last line on standard output:
    /// `{"passed":39,"failed":0,"skipped":0}`. Gives the chore's end.
    #[allow(clippy::print_stdout, reason = "this is the chore's result")]
    pub(crate) fn end(&self) -> ExitCode {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        println!(
            "{}",
            json!({"passed": passed, "failed": failed, "skipped": skipped})
        );
        if passed + failed + skipped == 0 {
            eprintln!("no case has that in its name");
            return ExitCode::FAILURE;
        }
        if *failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
