//! What was looked at, and how it is: a line each for people as it is found, or one object at the end.

use serde::Serialize;
use serde_json::json;

use crate::exit::{Exit, Failed};
use crate::render::{self, note};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Ok,
    /// It works, and somebody should look.
    Warning,
    /// It does not work.
    Problem,
    /// It could not be looked at, or was not asked for.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    /// What kind of thing: a word that does not change.
    about: &'static str,
    state: State,
    message: String,
    help: Option<String>,
}

/// All that was looked at.
pub(super) struct Report {
    is_json: bool,
    checks: Vec<Check>,
    exit: Exit,
}

impl Report {
    pub(super) const fn new(is_json: bool) -> Self {
        Self {
            is_json,
            checks: Vec::new(),
            exit: Exit::Success,
        }
    }

    pub(super) fn ok(&mut self, about: &'static str, message: impl Into<String>) {
        self.add(about, State::Ok, message.into(), None);
    }

    pub(super) fn skipped(&mut self, about: &'static str, message: impl Into<String>) {
        self.add(about, State::Skipped, message.into(), None);
    }

    pub(super) fn warning(
        &mut self,
        about: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(about, State::Warning, message.into(), Some(help.into()));
    }

    /// Something that does not work. `exit` is its kind, as of other commands.
    pub(super) fn problem(
        &mut self,
        about: &'static str,
        exit: Exit,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.exit = self.exit.worse(exit);
        self.add(about, State::Problem, message.into(), Some(help.into()));
    }

    /// The same of an error, which may know its kind and what to do.
    pub(super) fn error(&mut self, about: &'static str, error: &anyhow::Error) {
        let failed = error.downcast_ref::<Failed>();
        self.exit = self
            .exit
            .worse(failed.map_or(Exit::Fault, |failed| failed.exit));
        let help = failed.and_then(|failed| failed.help.clone());
        self.add(about, State::Problem, format!("{error:#}"), help);
    }

    /// Whether nothing of this kind is a problem.
    pub(super) fn is_well(&self, about: &str) -> bool {
        let mut problems = self.checks.iter().filter(|one| one.about == about);
        !problems.any(|one| one.state == State::Problem)
    }

    fn add(&mut self, about: &'static str, state: State, message: String, help: Option<String>) {
        let check = Check {
            about,
            state,
            message,
            help,
        };
        if !self.is_json {
            check.print();
        }
        self.checks.push(check);
    }

    /// Ends it; the worst of the problems is the exit code.
    pub(super) fn end(self) -> Exit {
        let count = |state| self.checks.iter().filter(|one| one.state == state).count() as u64;
        let (good, skipped) = (count(State::Ok), count(State::Skipped));
        let (warnings, problems) = (count(State::Warning), count(State::Problem));
        if self.is_json {
            let all = json!({
                "checks": self.checks, "problems": problems, "warnings": warnings,
                "skipped": skipped, "exit": self.exit as u8,
            });
            render::line(&all.to_string());
        }
        note!(
            "{good} good, {}, {}, {skipped} not looked at",
            render::count(warnings, "warning", "warnings"),
            render::count(problems, "problem", "problems"),
        );
        self.exit
    }
}

impl Check {
    fn print(&self) {
        let mark = match self.state {
            State::Ok => "✓",
            State::Warning => "!",
            State::Problem => "✗",
            State::Skipped => "·",
        };
        let mut lines = self.message.lines();
        let first = lines.next().unwrap_or_default();
        render::line(&format!("{mark} {:<10}  {first}", self.about));
        for line in lines {
            render::line(&format!("              {line}"));
        }
        let help = self.help.iter().flat_map(|help| help.lines());
        for (at, line) in help.enumerate() {
            let label = if at == 0 { "help: " } else { "      " };
            render::line(&format!("              {label}{line}"));
        }
    }
}
