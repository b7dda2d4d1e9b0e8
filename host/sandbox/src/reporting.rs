//! The `reporting` interface: what a guest says while it works.

use docket_engine::LogLevel;
use wasmtime::component::Resource;

use crate::attempt::{Attempt, Work};
use crate::bindings::reporting::{self, Level};
use crate::handles::ReporterHandle;

/// The longest line, in bytes.
const LINE_AT_MOST: usize = 8 << 10;
/// Log lines of one attempt that are passed on.
const LINES_AT_MOST: u64 = 1_000;
/// Progress reports of one attempt that are passed on.
const REPORTS_AT_MOST: u64 = 10_000;

impl reporting::Host for Attempt {}

impl reporting::HostReporter for Attempt {
    fn log(
        &mut self,
        handle: Resource<ReporterHandle>,
        level: Level,
        message: String,
    ) -> wasmtime::Result<()> {
        self.meter.host_call()?;
        self.table.get(&handle)?;
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        self.work()?.say(level, &message);
        Ok(())
    }

    fn progress(
        &mut self,
        handle: Resource<ReporterHandle>,
        done: u64,
        total: Option<u64>,
        message: String,
    ) -> wasmtime::Result<()> {
        self.meter.host_call()?;
        self.table.get(&handle)?;
        let work = self.work()?;
        work.progress_reports += 1;
        if work.progress_reports <= REPORTS_AT_MOST {
            work.reporter
                .progress(&work.run, &work.path, done, total, &line(&message));
        }
        Ok(())
    }

    fn panicked(
        &mut self,
        handle: Resource<ReporterHandle>,
        message: String,
    ) -> wasmtime::Result<()> {
        self.meter.host_call()?;
        self.table.get(&handle)?;
        self.panic = Some(line(&message));
        Ok(())
    }

    fn drop(&mut self, handle: Resource<ReporterHandle>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl Work {
    /// Writes a guest's line to the run's log, while it may still write one.
    pub(crate) fn say(&mut self, level: LogLevel, message: &str) {
        self.log_lines += 1;
        if self.log_lines <= LINES_AT_MOST {
            self.reporter
                .log(&self.run, &self.path, level, &line(message));
        }
    }

    /// Says how many lines were dropped, when the attempt is over.
    pub(crate) fn close_log(&self) {
        let dropped = self.log_lines.saturating_sub(LINES_AT_MOST);
        if dropped > 0 {
            let message = format!("{dropped} more lines of the plugin were dropped");
            self.reporter
                .log(&self.run, &self.path, LogLevel::Warn, &message);
        }
    }
}

/// A guest's text, cut at the limit, without characters that could move a terminal's cursor or turn
/// the order of what it shows.
pub(crate) fn line(text: &str) -> String {
    let end = text.floor_char_boundary(LINE_AT_MOST);
    let is_harmless = |c: char| !is_deceptive(c) || c == '\n' || c == '\t';
    text[..end]
        .chars()
        .map(|c| {
            if is_harmless(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect()
}

/// Whether a character makes a text look like another one: control characters, the controls of
/// bidirectional text, and what has no width or breaks lines (Unicode TR 36, TR 9).
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_between_characters_and_cannot_move_the_cursor() {
        assert_eq!(line("a\tb\n\u{1b}[2J"), "a\tb\n\u{fffd}[2J");
        assert_eq!(line("a\u{202e}b\u{200b}"), "a\u{fffd}b\u{fffd}");
        let long = "ä".repeat(LINE_AT_MOST);
        assert_eq!(line(&long).len(), LINE_AT_MOST);
        assert_eq!(line(&format!("x{long}")).len(), LINE_AT_MOST - 1);
    }
}
