//! The mail that asks for a sign-in: a run of a workflow of the host's own. So it is journaled, goes out
//! effectively once, and is looked at as any other run.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use docket_model::{Plan, Project, SignInMail, SourceFile, resolve_inputs};
use serde_json::{Value, json};

use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::project::read_template;
use crate::render;

/// The workflow's name.
pub(crate) const WORKFLOW: &str = "docket-sign-in-request";
/// The plugin that sends it, by what its manifest says.
const PLUGIN: &str = "exchange";
/// The host's own template.
const TEMPLATE: &str = "sign-in-request.html";

/// The plan of the mail's runs.
///
/// # Errors
/// What of `docket.yaml` or of the template is not right.
pub(super) fn plan(host: &Host, mail: &SignInMail) -> Result<Plan> {
    let plugin = host
        .plugins
        .iter()
        .find(|(_, installed)| installed.plugin.manifest().id == PLUGIN)
        .map(|(name, _)| name)
        .ok_or_else(|| {
            Failed::new(
                Exit::Invalid,
                "`sign-in-hook.mail` is sent by the plugin exchange, and the project has it not",
            )
            .with_help("add it under `plugins` in docket.yaml, or tell people by a webhook")
        })?;
    let template = match &mail.template {
        Some(path) => path
            .to_str()
            .context("the template's path is not UTF-8")?
            .to_owned(),
        None => TEMPLATE.to_owned(),
    };
    // A failure to sign in must not wait for a sign-in.
    let text = format!(
        "workflow: {WORKFLOW}
description: Tells somebody that runs wait for their sign-in.
on:
  manual:
inputs:
  to:
    type: string
    required: true
  subject:
    type: string
    required: true
  request:
    type: object
    required: true
connections:
  {plugin}: {connection}
on-sign-in-needed: fail
steps:
  - id: tell
    uses: {plugin}/send
    with:
      from: {from}
      to: ${{{{ inputs.to }}}}
      subject: ${{{{ inputs.subject }}}}
      html:
        template: {template}
        data:
          request: ${{{{ inputs.request }}}}
",
        connection = mail.connection,
        from = json!(mail.from),
        template = json!(template),
    );
    let own = include_str!("request.html");
    let load = |name: &str| match &mail.template {
        Some(_) => read_template(&host.project.root, name),
        None => Ok(own.to_owned()),
    };
    let source = SourceFile::new("sign-in-hook of docket.yaml", text);
    let (plan, found) = docket_model::validate(&source, &host.catalog(), &load);
    render::diagnostics(&found);
    Ok(plan.ok_or_else(|| {
        Failed::new(Exit::Invalid, "`sign-in-hook.mail` cannot be sent as it is")
            .with_help("its template has `request` with account, connection, link, reason, remedy, since, until, runs, workflows and administrator")
    })?)
}

/// The domains of the addresses that `docket.yaml` names, in lower case. A run's input may name anybody,
/// and mail goes to the organisation's own people alone.
pub(super) fn domains(spec: &Project, mail: &SignInMail) -> BTreeSet<String> {
    let connections = spec.connections.values();
    let named =
        connections.flat_map(|one| one.account.iter().chain(one.mailboxes.iter().flatten()));
    let addresses = named.chain([&mail.from]).chain(&mail.administrator);
    let of_addresses = addresses.filter_map(|address| domain(address));
    let tenants = spec
        .connections
        .values()
        .map(|one| one.tenant.to_lowercase());
    of_addresses.chain(tenants).collect()
}

/// The domain of an address, in lower case.
pub(super) fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    Some(domain.to_lowercase())
}

/// The inputs of one such mail.
pub(super) fn inputs(
    plan: &Plan,
    to: &str,
    subject: &str,
    request: Value,
) -> Result<Value, String> {
    let given = json!({"to": to, "subject": subject, "request": request});
    let Value::Object(given) = given else {
        return Err("the inputs are no object".to_owned());
    };
    resolve_inputs(plan, given).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        texts.join("; ")
    })
}

#[cfg(test)]
mod tests {
    use docket_model::{ConnectionKind, ConnectionSpec};

    use super::*;

    #[test]
    fn only_domains_that_the_project_names_are_written_to() {
        let spec = ConnectionSpec {
            mailboxes: Some(vec!["desk@Sub.contoso.example".to_owned()]),
            ..ConnectionSpec::new(
                ConnectionKind::AppOnly,
                "contoso.onmicrosoft.com".to_owned(),
                "app".to_owned(),
            )
        };
        let mut project = Project::default();
        project.connections.insert("robot".to_owned(), spec);
        let mail = SignInMail {
            connection: "robot".to_owned(),
            from: "desk@contoso.example".to_owned(),
            administrator: None,
            template: None,
        };
        let domains = domains(&project, &mail);
        for (address, is_known) in [
            ("anna@contoso.example", true),
            ("anna@CONTOSO.example", true),
            ("anna@sub.contoso.example", true),
            ("anna@contoso.onmicrosoft.com", true),
            ("anna@other.contoso.example", false),
            ("anna@contoso.example@evil.example", false),
            ("anna@evil.example", false),
            ("anna", false),
        ] {
            let found = domain(address).is_some_and(|domain| domains.contains(&domain));
            assert_eq!(found, is_known, "{address}");
        }
    }
}
