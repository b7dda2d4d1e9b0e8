//! Trying a connection: what the workflows need of it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use docket_connections::probe::{ProbeReport, ProbeRequest};
use docket_model::{Plan, Template};

use super::{aside, refused};
use crate::exit::Failed;
use crate::host::Host;

/// Tries what the workflows need of a connection; `send` also sends a mail from each mailbox to
/// itself.
pub(crate) async fn probe(
    host: &Arc<Host>,
    name: &str,
    user: Option<String>,
    send: bool,
) -> Result<ProbeReport, Failed> {
    let asked = name.to_owned();
    let request = aside(host, move |host| {
        Ok(ProbeRequest {
            user,
            scopes: host.scopes(&asked),
            folders: folders(host, &asked),
            send,
        })
    });
    let request = request.await?;
    host.connections
        .probe(name, &request)
        .await
        .map_err(refused)
}

/// The folders that the workflows name: mailbox and folder, as they are written or as an input has
/// them by default.
fn folders(host: &Host, connection: &str) -> Vec<(String, String)> {
    let mut found = BTreeSet::new();
    for (plan, step) in host.steps_with(connection) {
        let text = |name: &str| known_text(&plan, field(&step.with, name)?);
        if let (Some(mailbox), Some(folder)) = (text("mailbox"), text("folder")) {
            found.insert((mailbox, folder));
        }
    }
    found.into_iter().collect()
}

fn field<'t>(with: &'t Template, name: &str) -> Option<Cow<'t, Template>> {
    match with {
        Template::Object(fields) => {
            let (_, field) = fields.iter().find(|(key, _)| key == name)?;
            Some(Cow::Borrowed(field))
        }
        Template::Literal(value) => Some(Cow::Owned(Template::Literal(value.get(name)?.clone()))),
        _ => None,
    }
}

fn known_text(plan: &Plan, template: Cow<'_, Template>) -> Option<String> {
    let value = match template.as_ref() {
        Template::Literal(value) => value,
        Template::Expression(text) => {
            let input = text.trim().strip_prefix("inputs.")?;
            plan.inputs.get(input)?.default.as_ref()?
        }
        _ => return None,
    };
    value.as_str().map(str::to_owned)
}
