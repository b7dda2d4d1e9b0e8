//! `docket plan`: what a workflow would do, as whom, and with which grants.

use anyhow::Result;
use docket_model::{ConnectionKind, Plan, PlannedStep, Schedule, TriggerKind};
use serde_json::{Value, json};

use crate::cli::{Global, PlanArgs};
use crate::exit::Exit;
use crate::host::Host;
use crate::project::Project;
use crate::render;

pub(crate) async fn run(global: &Global, arguments: &PlanArgs) -> Result<Exit> {
    let host = Host::open(Project::load(global)?, global).await?;
    let plan = host.plan(&arguments.file)?;
    if global.json {
        let list = |steps: &[PlannedStep]| -> Vec<Value> {
            steps.iter().map(|step| step_json(&host, step)).collect()
        };
        render::line(
            &json!({
                "workflow": plan.workflow, "digest": plan.digest()?, "triggers": plan.triggers,
                "steps": list(&plan.steps),
                "on-error": list(&plan.on_error),
                "plugins": plan.plugins, "inputs": plan.inputs,
            })
            .to_string(),
        );
    } else {
        show(&host, &plan)?;
    }
    Ok(Exit::Success)
}

fn show(host: &Host, plan: &Plan) -> Result<()> {
    render::line(&format!("{}  {}", plan.workflow, plan.digest()?));
    for (name, plugin) in &plan.plugins {
        render::line(&format!(
            "  plugin {name} {}  {}",
            plugin.version, plugin.component
        ));
    }
    for trigger in &plan.triggers {
        let when = match &trigger.on {
            TriggerKind::Schedule(Schedule::Cron { cron, time_zone }) => {
                format!("at {cron}, by the clock of {time_zone}")
            }
            TriggerKind::Schedule(Schedule::Every(time)) => format!("every {time:?}"),
            TriggerKind::Webhook => "for each signed request".to_owned(),
            TriggerKind::Source(poll) => {
                format!(
                    "for each item of {}/{}, asked every {:?}",
                    poll.plugin, poll.action, poll.every
                )
            }
        };
        render::line(&format!("  starts  {when}  ({})", trigger.id));
    }
    for poll in plan.polls() {
        show_step(host, plan, &poll);
    }
    for step in &plan.steps {
        show_step(host, plan, step);
    }
    if !plan.on_error.is_empty() {
        render::line("\nonce the run has failed:");
    }
    for step in &plan.on_error {
        show_step(host, plan, step);
    }
    Ok(())
}

fn show_step(host: &Host, plan: &Plan, step: &PlannedStep) {
    let each = match step.for_each {
        Some(_) => ", for each item",
        None => "",
    };
    let only = match step.condition {
        Some(_) => ", if its condition holds",
        None => "",
    };
    render::line(&format!(
        "\n{}: {}/{}{each}{only}",
        step.id, step.plugin, step.action
    ));
    if let Some(account) = account(host, step) {
        render::line(&format!("  as      {account}"));
    }
    for scope in scopes(host, step) {
        render::line(&format!("  scope   {scope}"));
    }
    for (request, is_granted) in requests(host, plan, step) {
        let mark = if is_granted { "granted" } else { "MISSING" };
        render::line(&format!("  {mark} {request}"));
    }
}

fn step_json(host: &Host, step: &PlannedStep) -> Value {
    json!({
        "id": step.id,
        "uses": format!("{}/{}", step.plugin, step.action),
        "connection": step.connection,
        "account": account(host, step),
        "scopes": scopes(host, step),
        "for-each": step.for_each.is_some(),
    })
}

fn account(host: &Host, step: &PlannedStep) -> Option<String> {
    let name = step.connection.as_ref()?;
    let spec = host.project.spec.connections.get(name)?;
    let account = spec.account.as_deref().unwrap_or(match spec.kind {
        ConnectionKind::AppOnly => "the application",
        _ => "the step's user",
    });
    Some(format!("{account} ({name}, {})", spec.kind.as_str()))
}

fn scopes(host: &Host, step: &PlannedStep) -> Vec<String> {
    let installed = host.plugins.get(&step.plugin);
    let action = installed.and_then(|held| held.plugin.manifest().action(&step.action));
    action.map_or_else(Vec::new, |action| {
        action
            .scopes
            .iter()
            .map(|scope| format!("{}: {}", scope.name, scope.reason))
            .collect()
    })
}

/// The requests that the step's action makes, and whether the plan's grants have them.
fn requests(host: &Host, plan: &Plan, step: &PlannedStep) -> Vec<(String, bool)> {
    let installed = host.plugins.get(&step.plugin);
    let action = installed.and_then(|held| held.plugin.manifest().action(&step.action));
    let grants = plan
        .plugins
        .get(&step.plugin)
        .map_or(&[][..], |pinned| &pinned.grants);
    action.map_or_else(Vec::new, |action| {
        let needs = action.requests.iter();
        needs
            .map(|need| {
                let text = format!("{} {}  ({})", need.rule.method, need.rule.url, need.reason);
                (text, grants.contains(&need.rule))
            })
            .collect()
    })
}
