//! The mail that asks for a sign-in: a run of a workflow of the host's own. So it is journaled, goes out
//! effectively once, and is looked at as any other run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use docket_model::{Catalog, Diagnostics, Plan, Project, SignInMail, SourceFile, resolve_inputs};
use serde_json::{Value, json};

/// The workflow's name.
const WORKFLOW: &str = "docket-sign-in-request";
/// The plugin that sends it, by what its manifest says.
const PLUGIN: &str = "exchange";
/// The host's own template.
const TEMPLATE: &str = "sign-in-request.html";

/// How the mail is sent.
pub struct Mail {
    /// The plan of its runs.
    pub(crate) plan: Plan,
    pub(crate) administrator: Option<String>,
    /// Whose people may be written to.
    pub(crate) domains: BTreeSet<String>,
}

/// Why the mail cannot be sent as `docket.yaml` has it.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// No plugin sends it.
    #[error("`sign-in-hook.mail` is sent by the plugin exchange, and the project has it not")]
    NoPlugin,
    /// The template's path cannot stand in a workflow.
    #[error("`sign-in-hook.mail.template`: {} is not UTF-8", .0.display())]
    Path(PathBuf),
    /// The template, or what else makes up the mail, has these problems.
    #[error("`sign-in-hook.mail` cannot be sent as it is")]
    Invalid(Diagnostics),
}

impl MailError {
    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::NoPlugin => "add it under `plugins` in docket.yaml, or tell people by a webhook",
            Self::Path(_) => "give the template another name",
            Self::Invalid(_) => {
                "its template has `request` with account, connection, link, reason, remedy, since, until, runs, workflows and administrator"
            }
        }
    }
}

impl Mail {
    /// Makes ready what `docket.yaml` says, and gives what else is to be said of it. `templates` reads
    /// a template by its path below the project's folder.
    ///
    /// # Errors
    /// What of `docket.yaml` or of the template is not right.
    pub fn new(
        mail: &SignInMail,
        project: &Project,
        catalog: &Catalog,
        templates: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<(Self, Diagnostics), MailError> {
        let mut plugins = catalog.plugins.iter();
        let (plugin, _) = plugins
            .find(|(_, plugin)| plugin.manifest.id == PLUGIN)
            .ok_or(MailError::NoPlugin)?;
        let template = match &mail.template {
            Some(path) => path.to_str().ok_or_else(|| MailError::Path(path.clone()))?,
            None => TEMPLATE,
        };
        let own = include_str!("request.html");
        let load = |name: &str| match &mail.template {
            Some(_) => templates(name),
            None => Ok(own.to_owned()),
        };
        let (plan, found) =
            docket_model::validate(&workflow(plugin, mail, template), catalog, &load);
        let Some(plan) = plan else {
            return Err(MailError::Invalid(found));
        };
        let mail = Self {
            plan,
            administrator: mail.administrator.clone(),
            domains: domains(project, mail),
        };
        Ok((mail, found))
    }

    /// The inputs of one such mail.
    pub(crate) fn inputs(&self, to: &str, subject: &str, request: Value) -> Result<Value, String> {
        let given = json!({"to": to, "subject": subject, "request": request});
        let Value::Object(given) = given else {
            return Err("the inputs are no object".to_owned());
        };
        resolve_inputs(&self.plan, given).map_err(|problems| {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            texts.join("; ")
        })
    }
}

/// The workflow that sends it.
fn workflow(plugin: &str, mail: &SignInMail, template: &str) -> SourceFile {
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
    SourceFile::new("sign-in-hook of docket.yaml", text)
}

/// The domains of the addresses that `docket.yaml` names, in lower case. A run's input may name anybody,
/// and mail goes to the organisation's own people alone.
fn domains(spec: &Project, mail: &SignInMail) -> BTreeSet<String> {
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
pub(crate) fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    Some(domain.to_lowercase())
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
