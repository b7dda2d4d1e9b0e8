//! `docket plugins check` and `test`: whether a component is a plugin, and does what it should.

use std::path::{Path, PathBuf};

use anyhow::Result;
use docket_plugins::test::{Bench, CaseError, Conformance, read_cases};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{component_file, look, read};
use crate::cli::{Global, PluginTestArgs};
use crate::exit::{Exit, Failed};
use crate::host;
use crate::render::{self, note};

/// What is larger compiles for longer than people like to wait without a word.
const LARGE: u64 = 4 << 20;

pub(super) async fn check(global: &Global, plugin: &Path) -> Result<Exit> {
    let file = component_file(plugin)?;
    let mounted = mount(plugin, &file).await?;
    let name = file.display().to_string();
    look::show_file(global, &name, mounted.bench.plugin(), mounted.size);
    note!("It fits the plugin interface, and imports nothing that plugins may not use.");
    Ok(Exit::Success)
}

pub(super) async fn run(global: &Global, arguments: &PluginTestArgs) -> Result<Exit> {
    let file = component_file(&arguments.plugin)?;
    let folder = cases_folder(arguments, &file);
    let mut cases = read_cases(&folder).map_err(|error| unreadable(&error))?;
    if let Some(part) = &arguments.filter {
        cases.retain(|case| case.name.contains(part));
    }
    if cases.is_empty() {
        return Err(Failed::new(
            Exit::Invalid,
            format!("there are no cases in {}", folder.display()),
        )
        .with_help(
            "write one: a YAML file with `action`, `input`, `answers` and `expect`; \
                     plugins/README.md shows how",
        )
        .into());
    }
    let mounted = mount(&arguments.plugin, &file).await?;
    let bench = &mounted.bench;
    let mut tally = Tally::new(global.json);
    for case in &cases {
        let first = bench
            .perform(case)
            .await
            .map_err(|error| unreadable(&error))?;
        let problems = bench
            .judge(case, &first)
            .map_err(|error| unreadable(&error))?;
        let usage = first.usage;
        let cost = format!(
            "{} requests, {} of fuel, {} of memory",
            first.sent.len(),
            usage.fuel.unwrap_or_default(),
            render::bytes(usage.memory as u64)
        );
        let about = json!({
            "name": case.name, "state": word(&problems), "problems": problems,
            "fuel": usage.fuel, "memory": usage.memory,
            "requests": first.sent.iter().map(|sent| sent.line()).collect::<Vec<_>>(),
            "log": first.log,
        });
        tally.add(&case.name, &cost, &problems, about);
        // What a case that already failed does when it is broken tells nothing.
        if problems.is_empty() && !arguments.no_conformance {
            let checks = bench.conformance(case, &first).await;
            for check in checks.map_err(|error| unreadable(&error))? {
                tally.check(&check);
            }
        }
    }
    Ok(tally.end())
}

fn cases_folder(arguments: &PluginTestArgs, file: &Path) -> PathBuf {
    if let Some(folder) = &arguments.cases {
        return folder.clone();
    }
    if arguments.plugin.is_dir() {
        return arguments.plugin.join("cases");
    }
    file.parent().unwrap_or(Path::new("")).join("cases")
}

/// A component on the bench, and the folder of its compiled code.
struct Mounted {
    bench: Bench,
    size: u64,
    _folder: Option<TempDir>,
}

/// Puts a component on the bench. Of a plugin's folder the compiled code is kept in `build/bench`, so
/// that only a component that changed is compiled; beside a lone file nothing is left.
async fn mount(plugin: &Path, file: &Path) -> Result<Mounted> {
    let bytes = read(file)?;
    let size = bytes.len() as u64;
    let (place, folder) = match file.parent() {
        Some(build) if plugin.is_dir() => (build.join("bench"), None),
        _ => {
            let folder = tempfile::tempdir()?;
            (folder.path().to_owned(), Some(folder))
        }
    };
    let is_compiled =
        std::fs::read_dir(place.join("compiled")).is_ok_and(|mut it| it.next().is_some());
    if size > LARGE && !is_compiled {
        note!(
            "a component of {} takes a while to compile, once …",
            render::bytes(size)
        );
    }
    let name = file.display().to_string();
    let bench = Bench::open(bytes, &place).await;
    Ok(Mounted {
        bench: bench.map_err(|error| host::load_failed(&name, &error))?,
        size,
        _folder: folder,
    })
}

fn unreadable(error: &CaseError) -> Failed {
    Failed::new(Exit::Invalid, error.to_string())
}

/// How a case or a check ended, in the word that `docket test` has for it.
const fn word(problems: &[String]) -> &'static str {
    match problems.is_empty() {
        true => "passed",
        false => "failed",
    }
}

/// Counts what passed, and shows it.
struct Tally {
    as_json: bool,
    passed: u32,
    failed: u32,
    cases: Vec<Value>,
    checks: Vec<Value>,
}

impl Tally {
    const fn new(as_json: bool) -> Self {
        Self {
            as_json,
            passed: 0,
            failed: 0,
            cases: Vec::new(),
            checks: Vec::new(),
        }
    }

    fn add(&mut self, name: &str, cost: &str, problems: &[String], about: Value) {
        self.cases.push(about);
        self.show(&format!("{name}  ({cost})"), problems);
    }

    fn check(&mut self, check: &Conformance) {
        let what = match check.check {
            docket_plugins::test::Check::Determinism => "does the same",
            docket_plugins::test::Check::Interrupted => "looks before it repeats",
        };
        self.show(
            &format!("{}: {what}: {}", check.case, check.how),
            &check.problems,
        );
        let mut about = serde_json::to_value(check).unwrap_or_default();
        about["state"] = word(&check.problems).into();
        self.checks.push(about);
    }

    fn show(&mut self, what: &str, problems: &[String]) {
        let mark = if problems.is_empty() {
            self.passed += 1;
            '✓'
        } else {
            self.failed += 1;
            '✗'
        };
        let mut lines = vec![format!("  {mark} {what}")];
        lines.extend(problems.iter().map(|problem| format!("      {problem}")));
        for line in lines {
            if self.as_json {
                note!("{line}");
            } else {
                render::line(&line);
            }
        }
    }

    fn end(self) -> Exit {
        let Self { passed, failed, .. } = self;
        if self.as_json {
            let report = json!({
                "passed": passed, "failed": failed, "cases": self.cases, "checks": self.checks,
            });
            render::line(&report.to_string());
        } else {
            render::line(&format!("{passed} passed, {failed} failed"));
        }
        if failed == 0 {
            Exit::Success
        } else {
            Exit::RunFailed
        }
    }
}
