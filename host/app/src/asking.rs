//! Who is told of needed sign-ins, as `docket.yaml` says it.

use std::sync::Arc;

use anyhow::Result;
use docket_model::SignInHookKind;
use docket_sign_ins::{Asking, Mail, MailError, Ports, Setting, Teller};

use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::project::read_template;
use crate::render;

/// Makes ready what `docket.yaml` says; `None` where it says nothing. Links begin with `base`.
pub(crate) fn open(host: &Arc<Host>, base: &str) -> Result<Option<Asking>> {
    let spec = &host.project.spec;
    let Some(hook) = &spec.sign_in_hook else {
        return Ok(None);
    };
    let by = match &hook.by {
        SignInHookKind::Mail(mail) => {
            let templates = |name: &str| read_template(&host.project.root, name);
            let made = Mail::new(mail, spec, &host.catalog(), &templates);
            let (mail, found) = made.map_err(|error| {
                if let MailError::Invalid(found) = &error {
                    render::diagnostics(found);
                }
                Failed::new(Exit::Invalid, error.to_string()).with_help(error.help())
            })?;
            render::diagnostics(&found);
            Teller::Mail(Box::new(mail))
        }
        SignInHookKind::Webhook(webhook) => {
            let webhook = host.connections.webhook(webhook);
            Teller::Webhook(webhook.map_err(|error| Failed::new(Exit::Invalid, error.to_string()))?)
        }
    };
    let accounts = spec.connections.iter();
    let accounts = accounts.filter_map(|(name, one)| Some((name.clone(), one.account.clone()?)));
    let (clock, timer) = host.time();
    let ports = Ports {
        engine: Arc::clone(&host.engine),
        store: Arc::clone(&host.store),
        connections: Arc::clone(&host.connections),
        clock,
        timer,
    };
    let setting = Setting {
        base: base.to_owned(),
        every: hook.every,
        by,
        accounts: accounts.collect(),
    };
    Ok(Some(Asking::new(ports, setting)))
}
