//! Everything that the binary prints about what went wrong, in one place.

use std::io::Write as _;

use docket_model::{Diagnostic, Diagnostics};
use miette::{GraphicalReportHandler, GraphicalTheme};
use serde_json::{Value, json};

use crate::exit::{Exit, Failed};

/// Writes a line for people to standard error, as `eprintln!` does, but never panics: whoever reads
/// may have gone away, and that is no reason to stop a run.
macro_rules! note {
    ($($text:tt)*) => { $crate::render::to_stderr(format_args!($($text)*)) };
}
pub(crate) use note;

/// Where [`note!`] goes.
pub(crate) fn to_stderr(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints a result to standard output. A reader that went away, as `head` does, is no error.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints an error for people to standard error and, when asked, one for machines to standard
/// output; gives the exit code.
pub(crate) fn error(error: &anyhow::Error, as_json: bool) -> Exit {
    let failed = Failed::of(error);
    note!("error: {failed}");
    if let Some(help) = &failed.help {
        note!("  help: {help}");
    }
    if as_json {
        let exit = failed.exit as u8;
        line(
            &json!({"error": {"exit": exit, "message": failed.message, "help": failed.help}})
                .to_string(),
        );
    }
    failed.exit
}

/// Prints problems of files with their snippets to standard error.
pub(crate) fn diagnostics(found: &Diagnostics) {
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let theme = if is_terminal && std::env::var_os("NO_COLOR").is_none() {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false);
    for problem in found.iter() {
        let mut text = String::new();
        let is_pictured = !holds_secret(problem, found)
            && handler.render_report(&mut text, &Pictured(problem)).is_ok();
        // Without the picture there is still the line.
        if !is_pictured {
            text = problem.to_string();
        }
        note!("{text}");
    }
}

/// Whether a secret stands in a problem's file: a picture shows lines, and logs are read by many.
fn holds_secret(problem: &Diagnostic, found: &Diagnostics) -> bool {
    let same_file = |one: &&Diagnostic| one.file.name() == problem.file.name();
    let mut same_file = found.iter().filter(same_file);
    same_file.any(|one| one.code == Diagnostic::SECRET)
}

/// A problem whose place and help the picture shows, so that its headline need not.
#[derive(Debug)]
struct Pictured<'d>(&'d Diagnostic);

impl std::fmt::Display for Pictured<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Pictured<'_> {}

impl miette::Diagnostic for Pictured<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.0.code()
    }

    fn severity(&self) -> Option<miette::Severity> {
        miette::Diagnostic::severity(self.0)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.0.help()
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.0.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        miette::Diagnostic::labels(self.0)
    }
}

/// Problems for machines.
pub(crate) fn diagnostics_json(found: &Diagnostics) -> Value {
    serde_json::to_value(found.iter().collect::<Vec<_>>()).unwrap_or_default()
}

/// A table: columns as wide as their widest cell, the last one left as it is.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        longest.max(head.get(column).map_or(0, |name| name.chars().count()))
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = line(head.to_vec());
    let body = rows
        .iter()
        .map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(head)
        .chain(body)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A number of things, by the words for one and for many.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

/// A number of bytes for people.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KB", "MB", "GB"];
    let mut unit = 0;
    #[allow(
        clippy::cast_precision_loss,
        reason = "a figure with one decimal for people"
    )]
    let mut value = size as f64;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{size} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [
            vec!["ab".to_owned(), "c".to_owned()],
            vec!["a".to_owned(), "dd".to_owned()],
        ];
        assert_eq!(table(&["x", "name"], &rows), "x   name\nab  c\na   dd");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [999, 1000, 4_456_089].map(bytes),
            ["999 B", "1.0 KB", "4.5 MB"]
        );
    }
}
