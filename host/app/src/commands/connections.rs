//! `docket connections`: the client secret, the sign-in, and how things stand.

use std::future::Future;
use std::io::Read as _;

use anyhow::{Context as _, Result};
use docket_connections::{ConnectionStatus, LoopbackRedirect, SignedIn};
use secrecy::SecretString;
use serde_json::json;
use url::Url;

use crate::cli::{ConnectionsCommand, Global};
use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::project::Project;
use crate::render::{self, note};

pub(crate) async fn run(global: &Global, command: ConnectionsCommand) -> Result<Exit> {
    let host = Host::open(Project::load(global)?, global).await?;
    match command {
        ConnectionsCommand::Add { name, secret_file } => {
            let secret = match secret_file {
                Some(path) => std::fs::read_to_string(&path).map_err(|error| {
                    Failed::new(Exit::Invalid, format!("{}: {error}", path.display()))
                })?,
                None => {
                    show_registration(&host, &name)?;
                    note!("the client secret, then Enter:");
                    let mut text = String::new();
                    std::io::stdin().take(64 << 10).read_to_string(&mut text)?;
                    text
                }
            };
            let secret = SecretString::from(secret.trim());
            host.connections
                .set_client_secret(&name, &secret, None)
                .map_err(refused)?;
            note!("stored; next: docket connections authorize {name}");
            Ok(Exit::Success)
        }
        ConnectionsCommand::Authorize { name, no_browser } => {
            let signed_in = sign_in(&host, &name, |link| async move {
                note!("sign in here:\n\n  {link}\n");
                if !no_browser {
                    open_browser(&link);
                }
                Ok(())
            })
            .await?;
            let account = &signed_in.principal.account;
            note!("{name} is signed in as {account}");
            for scope in &signed_in.missing {
                note!("warning: the scope {scope} was not granted");
            }
            if global.json {
                let SignedIn {
                    scopes, missing, ..
                } = &signed_in;
                render::line(
                    &json!({"connection": name, "account": account, "scopes": scopes, "missing": missing})
                        .to_string(),
                );
            }
            Ok(Exit::Success)
        }
        ConnectionsCommand::List => {
            let status = host.connections.status()?;
            if global.json {
                render::line(&json!({"connections": status}).to_string());
            } else {
                let rows: Vec<_> = status.iter().map(status_row).collect();
                let head = [
                    "connection",
                    "kind",
                    "account",
                    "secret",
                    "signed in",
                    "last used",
                ];
                render::line(&render::table(&head, &rows));
            }
            Ok(Exit::Success)
        }
    }
}

/// Signs a connection's account in: `visit` gets the link and returns once somebody goes there; the
/// answer is awaited on loopback.
pub(crate) async fn sign_in<F>(
    host: &Host,
    name: &str,
    visit: impl FnOnce(Url) -> F,
) -> Result<SignedIn>
where
    F: Future<Output = Result<()>>,
{
    let redirect = LoopbackRedirect::bind()
        .await
        .context("loopback cannot be listened on")?;
    let begun = host
        .connections
        .begin_sign_in(
            name,
            None,
            Some(&redirect.redirect_uri()),
            &host.scopes(name),
        )
        .map_err(refused)?;
    let visited = visit(begun.authorize_url);
    let answered = redirect.wait(&begun.state);
    // Whoever cannot even open the page is not waited for.
    let ((), answer) = tokio::try_join!(visited, async {
        tokio::select! {
            answered = answered => answered.map_err(anyhow::Error::from),
            _ = tokio::signal::ctrl_c() => {
                Err(Failed::new(Exit::SignInNeeded, "the sign-in was given up").into())
            }
        }
    })?;
    Ok(host
        .connections
        .finish_sign_in(answer)
        .await
        .map_err(refused)?)
}

fn refused(error: impl std::fmt::Display) -> Failed {
    Failed::new(Exit::SignInNeeded, error.to_string())
}

/// The app registration that the connection needs, field by field.
fn show_registration(host: &Host, name: &str) -> Result<()> {
    let app = host
        .connections
        .registration(name, &host.scopes(name))
        .map_err(refused)?;
    let permissions: Vec<&str> = app
        .permissions
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    note!(
        "In the Entra admin center ({}), in the directory {}:",
        app.portal,
        app.tenant
    );
    note!("  Name                      {}", app.name);
    note!("  Application (client) ID   {}", app.client_id);
    note!("  Supported account types   {}", app.account_types);
    for uri in &app.redirect_uris {
        note!("  Redirect URI (Web)        {uri}");
    }
    note!("  API permissions           {}", permissions.join(" "));
    note!("  Admin consent             {}", app.admin_consent);
    note!("  Certificates & secrets    a new client secret; its value is asked for now");
    Ok(())
}

fn open_browser(link: &Url) {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(windows) {
        "explorer"
    } else {
        "xdg-open"
    };
    // Without one, the link that was printed is the way.
    let _ = std::process::Command::new(program)
        .arg(link.as_str())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
}

fn status_row(status: &ConnectionStatus) -> Vec<String> {
    let last = status.signed_in.iter().max_by_key(|one| one.refreshed_at);
    vec![
        status.name.clone(),
        status.kind.as_str().to_owned(),
        status.account.clone().unwrap_or_default(),
        match (status.problems.is_empty(), status.credentials.is_empty()) {
            (false, _) => "damaged",
            (true, true) => "missing",
            (true, false) => "stored",
        }
        .to_owned(),
        match (last, status.signed_in.len()) {
            (None, _) => "no".to_owned(),
            (Some(one), 1) => one.since.strftime("%F %R").to_string(),
            (Some(_), users) => format!("{users} users"),
        },
        last.map_or(String::new(), |one| {
            one.refreshed_at.strftime("%F %R").to_string()
        }),
    ]
}
