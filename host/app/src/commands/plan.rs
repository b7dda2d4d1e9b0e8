//! `docket plan`: what a workflow would do, as whom, from which mailbox, to whom, and with which grants
//! and scopes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use docket_model::{
    ActionSpec, ConnectionKind, ConnectionSpec, Piece, Plan, PlannedStep, RequestRule, Schedule,
    Template, TriggerKind,
};
use serde_json::{Value, json};

use crate::cli::{Format, Global, PlanArgs};
use crate::exit::Exit;
use crate::problems;
use crate::project::{Project, read_source};
use crate::render;
use crate::workbench::Workbench;

/// The longest value that is shown whole, in characters.
const LONGEST: usize = 100;

pub(crate) async fn run(global: &Global, arguments: &PlanArgs) -> Result<Exit> {
    let format = Format::of(arguments.format, global.json);
    let (project, mut found) = Project::check(global)?;
    let mut planned = None;
    if let Some(project) = project {
        let bench = Workbench::open(project).await?;
        let source = read_source(&arguments.file)?;
        let (plan, of_file) = bench.check(&source, &arguments.file);
        found.append(of_file);
        planned = plan.map(|plan| (bench, plan));
    }
    match format {
        Format::Sarif => render::line(&format!("{:#}", problems::sarif(found.iter()))),
        Format::Github => {
            found
                .iter()
                .for_each(|problem| render::line(&problems::annotation(problem)));
        }
        Format::Text | Format::Json => render::diagnostics(&found),
    }
    let Some((bench, plan)) = planned else {
        if format == Format::Json {
            render::line(&json!({"diagnostics": render::diagnostics_json(&found)}).to_string());
        }
        return Ok(Exit::Invalid);
    };
    match format {
        Format::Json => render::line(&told(&bench, &plan)?.to_string()),
        Format::Text | Format::Github => show(&bench, &plan)?,
        Format::Sarif => {}
    }
    Ok(Exit::Success)
}

/// What a step would do.
struct Doing<'p> {
    step: &'p PlannedStep,
    account: Option<String>,
    /// Field by field as it is written.
    with: Vec<(String, String)>,
    /// The domains of addresses that are written out, each with the fields that they stand in.
    domains: BTreeMap<String, BTreeSet<String>>,
    requests: Vec<Request<'p>>,
    /// Scope and reason.
    scopes: Vec<(String, &'p str)>,
}

struct Request<'p> {
    method: &'p str,
    /// With the connection's endpoint in place of its name.
    url: String,
    reason: &'p str,
    is_granted: bool,
}

impl<'p> Doing<'p> {
    fn of(bench: &'p Workbench, plan: &'p Plan, step: &'p PlannedStep) -> Self {
        let connection = step
            .connection
            .as_ref()
            .and_then(|name| Some((name, bench.project.spec.connections.get(name)?)));
        let action = bench
            .plugins
            .get(&step.plugin)
            .and_then(|held| held.plugin.manifest().action(&step.action));
        let grants = plan
            .plugins
            .get(&step.plugin)
            .map_or(&[][..], |pinned| &pinned.grants);
        let needs = action.into_iter().flat_map(|action| &action.requests);
        Self {
            step,
            account: connection.map(|(name, spec)| account(name, spec, step)),
            with: fields(&step.with),
            domains: domains(&step.with),
            requests: needs
                .map(|need| Request {
                    method: &need.rule.method,
                    url: resolved(&need.rule.url, connection.map(|(_, spec)| spec)),
                    reason: &need.reason,
                    is_granted: grants.iter().any(|rule| rule.covers(&need.rule)),
                })
                .collect(),
            scopes: scopes(action, connection.map(|(_, spec)| spec)),
        }
    }

    fn to_json(&self) -> Value {
        let step = self.step;
        let requests: Vec<Value> = self
            .requests
            .iter()
            .map(|request| {
                json!({
                    "method": request.method, "url": request.url, "reason": request.reason,
                    "granted": request.is_granted,
                })
            })
            .collect();
        let scopes: Vec<Value> = self
            .scopes
            .iter()
            .map(|(scope, reason)| json!({"name": scope, "reason": reason}))
            .collect();
        json!({
            "id": step.id,
            "uses": format!("{}/{}", step.plugin, step.action),
            "connection": step.connection,
            "account": self.account,
            "with": step.with,
            "domains": self.domains,
            "requests": requests,
            "scopes": scopes,
            "for-each": step.for_each.is_some(),
            "if": step.condition.is_some(),
        })
    }

    fn show(&self) {
        let step = self.step;
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
        if let Some(account) = &self.account {
            render::line(&format!("  as      {account}"));
        }
        for (name, value) in &self.with {
            render::line(&format!("  with    {name}: {value}"));
        }
        if !self.domains.is_empty() {
            let one = |(domain, fields): (&String, &BTreeSet<String>)| {
                let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
                format!("{domain} ({})", fields.join(", "))
            };
            let domains: Vec<String> = self.domains.iter().map(one).collect();
            render::line(&format!("  domains {}", domains.join(", ")));
        }
        for (scope, reason) in &self.scopes {
            render::line(&format!("  scope   {scope}: {reason}"));
        }
        for request in &self.requests {
            let mark = match request.is_granted {
                true => "granted",
                false => "MISSING",
            };
            render::line(&format!(
                "  {mark} {} {}  ({})",
                request.method, request.url, request.reason
            ));
        }
    }
}

fn show(bench: &Workbench, plan: &Plan) -> Result<()> {
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
                let only = match &poll.condition {
                    Some(condition) => format!(", if {}", written(condition)),
                    None => String::new(),
                };
                format!(
                    "for each item of {}/{}{only}, asked every {:?}",
                    poll.plugin, poll.action, poll.every
                )
            }
        };
        render::line(&format!("  starts  {when}  ({})", trigger.id));
    }
    for poll in plan.polls() {
        Doing::of(bench, plan, &poll).show();
    }
    plan.steps
        .iter()
        .for_each(|step| Doing::of(bench, plan, step).show());
    if !plan.on_error.is_empty() {
        render::line("\nonce the run has failed:");
    }
    plan.on_error
        .iter()
        .for_each(|step| Doing::of(bench, plan, step).show());
    for (plugin, unused) in unused_grants(bench, plan) {
        render::line(&format!(
            "\ngrants of {plugin} that this workflow does not use:"
        ));
        for rule in unused {
            render::line(&format!("  {} {}", rule.method, rule.url));
        }
    }
    Ok(())
}

fn told(bench: &Workbench, plan: &Plan) -> Result<Value> {
    let list = |steps: &[PlannedStep]| -> Vec<Value> {
        let one = |step| Doing::of(bench, plan, step).to_json();
        steps.iter().map(one).collect()
    };
    let polls: Vec<PlannedStep> = plan.polls().collect();
    Ok(json!({
        "workflow": plan.workflow, "digest": plan.digest()?, "triggers": plan.triggers,
        "polls": list(&polls),
        "steps": list(&plan.steps),
        "on-error": list(&plan.on_error),
        "plugins": plan.plugins, "inputs": plan.inputs,
        "unused-grants": unused_grants(bench, plan),
    }))
}

fn account(name: &str, spec: &ConnectionSpec, step: &PlannedStep) -> String {
    let account = match (spec.kind, &step.act_as) {
        (ConnectionKind::AppOnly, _) => "the application".to_owned(),
        (_, Some(user)) => written(user),
        _ => spec.account.clone().unwrap_or_default(),
    };
    format!("{account} ({name}, {})", spec.kind.as_str())
}

fn scopes<'a>(
    action: Option<&'a ActionSpec>,
    spec: Option<&ConnectionSpec>,
) -> Vec<(String, &'a str)> {
    let (Some(action), Some(spec)) = (action, spec) else {
        return Vec::new();
    };
    let reaches_others = spec.reaches_other_mailboxes();
    let one = |need| {
        let names = docket_connections::scopes(spec.kind, reaches_others, [need]);
        names.into_iter().next()
    };
    action
        .scopes
        .iter()
        .filter_map(|need| Some((one(need)?, need.reason.as_str())))
        .collect()
}

/// A pattern's URL with the endpoint that its name stands for.
fn resolved(url: &str, spec: Option<&ConnectionSpec>) -> String {
    let named = url.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let base = named.and_then(|(name, path)| Some((spec?.endpoints.get(name)?, path)));
    base.map_or_else(|| url.to_owned(), |(base, path)| format!("{base}{path}"))
}

/// What each plugin may do and no step of the workflow asks for.
fn unused_grants<'p>(bench: &Workbench, plan: &'p Plan) -> BTreeMap<&'p str, Vec<&'p RequestRule>> {
    let mut unused = BTreeMap::new();
    for (name, pinned) in &plan.plugins {
        let Some(held) = bench.plugins.get(name) else {
            continue;
        };
        let polls: Vec<PlannedStep> = plan.polls().collect();
        let used: Vec<&RequestRule> = plan
            .all_steps()
            .chain(&polls)
            .filter(|step| step.plugin == *name)
            .filter_map(|step| held.plugin.manifest().action(&step.action))
            .flat_map(|action| &action.requests)
            .map(|need| &need.rule)
            .collect();
        let is_used = |rule: &RequestRule| {
            used.iter()
                .any(|used| rule.covers(used) || used.covers(rule))
        };
        let rules: Vec<&RequestRule> = pinned.grants.iter().filter(|rule| !is_used(rule)).collect();
        if !rules.is_empty() {
            unused.insert(name.as_str(), rules);
        }
    }
    unused
}

fn fields(with: &Template) -> Vec<(String, String)> {
    let shown = |value: String| match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value,
    };
    match with {
        Template::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), shown(written(value))))
            .collect(),
        Template::Literal(Value::Object(fields)) => fields
            .iter()
            .map(|(name, value)| (name.clone(), shown(literal(value))))
            .collect(),
        _ => Vec::new(),
    }
}

/// A value as somebody would write it.
fn written(value: &Template) -> String {
    match value {
        Template::Literal(value) => literal(value),
        Template::Expression(text) => format!("${{{{ {text} }}}}"),
        Template::Text(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Expression(text) => format!("${{{{ {text} }}}}"),
            })
            .collect(),
        Template::List(items) => {
            let items: Vec<String> = items.iter().map(written).collect();
            format!("[{}]", items.join(", "))
        }
        Template::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}: {}", written(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Template::Render { template, .. } => format!("the template {template}"),
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The domains of the addresses in an input, as far as they are written out, with the fields that they
/// stand in.
fn domains(with: &Template) -> BTreeMap<String, BTreeSet<String>> {
    let mut fields: Vec<(&str, Vec<String>)> = Vec::new();
    match with {
        Template::Object(all) => {
            for (name, value) in all {
                let mut found = Vec::new();
                domains_of(value, &mut found);
                fields.push((name, found));
            }
        }
        Template::Literal(Value::Object(all)) => {
            for (name, value) in all {
                let mut found = Vec::new();
                domains_of_literal(value, &mut found);
                fields.push((name, found));
            }
        }
        _ => {}
    }
    let mut domains: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, found) in fields {
        for domain in found {
            domains.entry(domain).or_default().insert(name.to_owned());
        }
    }
    domains
}

fn domains_of(value: &Template, found: &mut Vec<String>) {
    match value {
        Template::Literal(value) => domains_of_literal(value, found),
        Template::List(items) => items.iter().for_each(|item| domains_of(item, found)),
        Template::Object(fields) => {
            fields
                .iter()
                .for_each(|(_, value)| domains_of(value, found));
        }
        Template::Expression(_) | Template::Text(_) | Template::Render { .. } => {}
    }
}

fn domains_of_literal(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.extend(domain(text)),
        Value::Array(items) => items
            .iter()
            .for_each(|item| domains_of_literal(item, found)),
        Value::Object(fields) => {
            fields
                .values()
                .for_each(|value| domains_of_literal(value, found));
        }
        _ => {}
    }
}

/// The domain of an address, `anna@example.com` or `Anna <anna@example.com>`; `None` of other text.
fn domain(text: &str) -> Option<String> {
    let address = match text.rsplit_once('<') {
        Some((_, rest)) => rest.trim_end().strip_suffix('>')?,
        None => text,
    };
    let (local, domain) = address.trim().split_once('@')?;
    let is_plain = |part: &str| !part.contains(|c: char| c.is_whitespace() || c == '@');
    let is_address =
        !local.is_empty() && is_plain(local) && is_plain(domain) && domain.contains('.');
    is_address.then(|| domain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_those_of_addresses_by_field() {
        let with = Template::Object(vec![
            (
                "to".to_owned(),
                Template::List(vec![
                    Template::Literal(json!("Anna Berger <anna@Fabrikam.example>")),
                    Template::Expression("inputs.to".to_owned()),
                ]),
            ),
            (
                "from".to_owned(),
                Template::Literal(json!("us@contoso.example")),
            ),
            (
                "cc".to_owned(),
                Template::Literal(json!({"name": "b", "address": "b@contoso.example"})),
            ),
            (
                "text".to_owned(),
                Template::Literal(json!("write to me@fabrikam.example")),
            ),
        ]);
        assert_eq!(
            json!(domains(&with)),
            json!({"contoso.example": ["cc", "from"], "fabrikam.example": ["to"]})
        );
    }
}
