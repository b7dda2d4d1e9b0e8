//! What designers write, and the plugins that it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use docket_model::{Diagnostics, Plan, SignInHookKind};
use docket_sign_ins::{Mail, MailError};

use super::report::Report;
use crate::cli::Global;
use crate::commands::validate::check_file;
use crate::exit::Exit;
use crate::pins;
use crate::project::{Project, read_source, read_template};
use crate::render::count;
use crate::workbench::Workbench;

/// How many problems of a file are shown.
const SHOWN: usize = 3;
const VALIDATE: &str = "docket validate shows each with its place";

/// A project as it was found.
pub(super) struct Design {
    pub(super) bench: Workbench,
    /// The workflows that can run.
    pub(super) plans: Vec<Plan>,
}

impl Design {
    /// The connections that workflows use.
    pub(super) fn connections(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for plan in &self.plans {
            for step in plan.all_steps().cloned().chain(plan.polls()) {
                found.extend(step.connection);
                found.extend(step.fallback);
            }
        }
        found
    }
}

/// Looks at the project; `None` where there is none that can be read.
pub(super) async fn look(global: &Global, report: &mut Report) -> Result<Option<Design>> {
    let (project, found) = match Project::check(global) {
        Ok(read) => read,
        Err(error) => {
            report.error("project", &error);
            return Ok(None);
        }
    };
    let file = global.root().join("docket.yaml");
    let about = match &project {
        Some(Project { spec, .. }) => {
            let (connections, plugins) = (spec.connections.len(), spec.plugins.len());
            format!(
                "{}: {}, {}",
                file.display(),
                count(connections as u64, "connection", "connections"),
                count(plugins as u64, "plugin", "plugins"),
            )
        }
        None => file.display().to_string(),
    };
    judge("project", &about, &found, report);
    let Some(project) = project else {
        return Ok(None);
    };
    let (bench, refused) = match Workbench::look(project).await {
        Ok(found) => found,
        Err(error) => {
            report.error("plugin", &error);
            return Ok(None);
        }
    };
    plugins(&bench, &refused, report);
    let mut plans = Vec::new();
    match refused.is_empty() {
        true => plans = workflows(&bench, report)?,
        false => report.skipped("workflow", "the workflows: their plugins come first"),
    }
    grants(&bench, &plans, report);
    if refused.is_empty() {
        sign_in_hook(&bench, report);
    }
    Ok(Some(Design { bench, plans }))
}

/// Says what is wrong with a file.
fn judge(about: &'static str, name: &str, found: &Diagnostics, report: &mut Report) {
    let all = found.iter().count();
    if all == 0 {
        return report.ok(about, name);
    }
    let shown = found.iter().take(SHOWN).map(ToString::to_string);
    let mut lines: Vec<String> = std::iter::once(name.to_owned()).chain(shown).collect();
    if all > SHOWN {
        lines.push(format!("and {} more", all - SHOWN));
    }
    match found.has_errors() {
        true => report.problem(about, Exit::Invalid, lines.join("\n"), VALIDATE),
        false => report.warning(about, lines.join("\n"), VALIDATE),
    }
}

fn plugins(bench: &Workbench, refused: &BTreeMap<String, anyhow::Error>, report: &mut Report) {
    let lock = match pins::read(&bench.project) {
        Ok(lock) => lock,
        Err(error) => return report.error("lock", &error),
    };
    for (name, held) in &bench.plugins {
        let manifest = held.plugin.manifest();
        let how = match lock.plugins.contains_key(name) {
            true => "as docket.lock has it",
            false => "which docket.lock does not pin",
        };
        report.ok("plugin", format!("{name} {}, {how}", manifest.version));
    }
    for error in refused.values() {
        report.error("plugin", error);
    }
    for name in lock.plugins.keys() {
        if !bench.project.spec.plugins.contains_key(name) {
            report.warning(
                "lock",
                format!("docket.lock pins {name}, and docket.yaml has no such plugin"),
                "if it is not to come back, take it out of docket.lock",
            );
        }
    }
}

/// Checks the workflows and their tests; gives those that can run.
fn workflows(bench: &Workbench, report: &mut Report) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in bench.project.workflows()? {
        let source = match read_source(&file) {
            Ok(source) => source,
            Err(error) => {
                report.error("workflow", &error);
                continue;
            }
        };
        let (plan, found) = bench.check(&source, &file);
        judge("workflow", &shown(bench, &file), &found, report);
        let Some(plan) = plan else { continue };
        match names.get(&plan.workflow) {
            Some(first) => report.problem(
                "workflow",
                Exit::Invalid,
                format!(
                    "{} and {} are both called `{}`; only the first is served",
                    shown(bench, first),
                    shown(bench, &file),
                    plan.workflow
                ),
                "give one of them another name",
            ),
            None => {
                names.insert(plan.workflow.clone(), file);
                plans.push(plan);
            }
        }
    }
    for file in bench.project.tests()? {
        match check_file(bench, &file) {
            Ok(found) => judge("test", &shown(bench, &file), &found, report),
            Err(error) => report.error("test", &error),
        }
    }
    Ok(plans)
}

/// A file's name within its project.
fn shown(bench: &Workbench, file: &Path) -> String {
    let within = file.strip_prefix(&bench.project.root).unwrap_or(file);
    within.display().to_string()
}

/// Whether the mail of `sign-in-hook` can be written.
fn sign_in_hook(bench: &Workbench, report: &mut Report) {
    let spec = &bench.project.spec;
    let hook = spec.sign_in_hook.as_ref();
    let Some(SignInHookKind::Mail(mail)) = hook.map(|hook| &hook.by) else {
        return;
    };
    let templates = |name: &str| read_template(&bench.project.root, name);
    match Mail::new(mail, spec, bench.catalog(), &templates) {
        Ok((_, found)) => judge("sign-in-hook", "its mail", &found, report),
        Err(MailError::Invalid(found)) => judge("sign-in-hook", "its mail", &found, report),
        Err(error) => {
            let (message, help) = (error.to_string(), error.help());
            report.problem("sign-in-hook", Exit::Invalid, message, help);
        }
    }
}

/// Whether the plugins were granted what the actions that are used ask for.
fn grants(bench: &Workbench, plans: &[Plan], report: &mut Report) {
    let mut missing: BTreeMap<(&str, String), BTreeSet<String>> = BTreeMap::new();
    for plan in plans {
        for step in plan.all_steps().cloned().chain(plan.polls()) {
            let Some((name, held)) = bench.plugins.get_key_value(&step.plugin) else {
                continue;
            };
            let action = held.plugin.manifest().action(&step.action);
            for need in action.into_iter().flat_map(|action| &action.requests) {
                if !held.grants.iter().any(|rule| rule.covers(&need.rule)) {
                    let request = format!("{} {}", need.rule.method, need.rule.url);
                    let users = missing.entry((name.as_str(), request)).or_default();
                    users.insert(format!("{} in {}", step.id, plan.workflow));
                }
            }
        }
    }
    if missing.is_empty() && !plans.is_empty() {
        report.ok("grants", "cover what the steps' actions ask for");
    }
    for ((plugin, request), steps) in missing {
        let steps: Vec<String> = steps.into_iter().collect();
        report.warning(
            "grants",
            format!("{plugin} asks for `{request}` and may not: {}", steps.join(", ")),
            format!(
                "docket plan says what for; to allow it, add the line to plugins.{plugin}.grants in \
                 docket.yaml"
            ),
        );
    }
}
