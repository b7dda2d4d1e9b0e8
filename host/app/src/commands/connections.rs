//! `docket connections`: the client secret, the sign-in, and how things stand.

use std::future::Future;
use std::io::Read as _;

use anyhow::{Context as _, Result};
use docket_connections::{ConnectionStatus, LoopbackRedirect, SignedIn};
use docket_model::ConnectionSpec;
use secrecy::SecretString;
use serde_json::{Value, json};
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
                .set_client_secret(&name, &secret)
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
                let list: Vec<Value> = status.iter().map(status_json).collect();
                render::line(&json!({"connections": list}).to_string());
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
        .begin_sign_in(name, &redirect.redirect_uri(), &host.scopes(name))
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
    let spec = host.project.connection(name)?;
    let ConnectionSpec {
        tenant,
        client_id,
        account,
        ..
    } = spec;
    note!("In the Entra admin center > App registrations, in the directory {tenant}:");
    note!("  Application (client) ID   {client_id}");
    note!("  Redirect URI (Web)        http://localhost/callback");
    note!(
        "  Delegated permissions     {}",
        host.scopes(name).join(" ")
    );
    note!("  Certificates & secrets    a new client secret; its value is asked for now");
    note!("The account {account} signs in afterwards.");
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
    let signed_in = status.signed_in.as_ref();
    vec![
        status.name.clone(),
        status.kind.as_str().to_owned(),
        status.account.clone(),
        if status.has_client_secret {
            "stored"
        } else {
            "missing"
        }
        .to_owned(),
        signed_in.map_or("no".to_owned(), |sign_in| {
            sign_in.since.strftime("%F %R").to_string()
        }),
        signed_in.map_or(String::new(), |held| {
            held.refreshed_at.strftime("%F %R").to_string()
        }),
    ]
}

fn status_json(status: &ConnectionStatus) -> Value {
    json!({
        "connection": status.name,
        "kind": status.kind,
        "account": status.account,
        "has-client-secret": status.has_client_secret,
        "signed-in": status.signed_in.as_ref().map(|sign_in| json!({
            "account": sign_in.account,
            "scopes": sign_in.scopes,
            "since": sign_in.since,
            "refreshed-at": sign_in.refreshed_at,
        })),
    })
}
