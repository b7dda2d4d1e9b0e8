//! Sign-ins: in the browser of this machine, or by a code on any other.

use std::future::Future;

use anyhow::{Context as _, Result};
use docket_connections::{ConnectionError, FinishError, LoopbackRedirect, SignedIn};
use serde_json::json;
use url::Url;

use super::refused;
use crate::cli::AuthorizeArgs;
use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::render::{self, note};

/// Signs the account of a connection in, or one of its users.
pub(super) async fn authorize(
    host: &Host,
    arguments: &AuthorizeArgs,
    as_json: bool,
) -> Result<Exit> {
    let AuthorizeArgs {
        name,
        user,
        device,
        no_browser,
    } = arguments;
    let user = user.as_deref();
    let signed_in = if *device {
        by_device_code(host, name, user, as_json).await?
    } else {
        sign_in(host, name, user, |link| async move {
            note!("sign in here:\n\n  {link}\n");
            if !no_browser {
                open_browser(&link);
            }
            Ok(())
        })
        .await?
    };
    let account = &signed_in.principal.account;
    note!("{name} is signed in as {account}");
    for scope in &signed_in.missing {
        note!("warning: the scope {scope} was not granted");
    }
    if as_json {
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

async fn by_device_code(
    host: &Host,
    name: &str,
    user: Option<&str>,
    as_json: bool,
) -> Result<SignedIn> {
    let begun = host
        .connections
        .begin_device_sign_in(name, user, &host.scopes(name))
        .await
        .map_err(refused)?;
    note!("{}", begun.message);
    note!(
        "  sign in as {}; the code is good until {}",
        begun.account(),
        begun.expires_at.strftime("%R UTC")
    );
    if as_json {
        render::line(&serde_json::to_string(&begun)?);
    }
    let finished = host.connections.finish_device_sign_in(begun);
    given_up_by_ctrl_c(async {
        finished
            .await
            .map_err(|error| refused(ConnectionError::Auth(error)).into())
    })
    .await
}

/// Signs an account in by the loopback redirect: `visit` gets the link and returns once somebody
/// goes there.
pub(crate) async fn sign_in<F>(
    host: &Host,
    name: &str,
    user: Option<&str>,
    visit: impl FnOnce(Url) -> F,
) -> Result<SignedIn>
where
    F: Future<Output = Result<()>>,
{
    let redirect = LoopbackRedirect::bind()
        .await
        .context("loopback cannot be listened on")?;
    let uri = redirect.redirect_uri();
    let begun = host
        .connections
        .begin_sign_in(name, user, Some(&uri), &host.scopes(name))
        .map_err(refused)?;
    let visited = visit(begun.authorize_url);
    let answered = redirect.wait(&begun.state);
    // Whoever cannot even open the page is not waited for.
    let ((), answer) = tokio::try_join!(
        visited,
        given_up_by_ctrl_c(async { Ok(answered.await?) })
    )?;
    let finished = host.connections.finish_sign_in(answer).await;
    Ok(finished.map_err(|error| match error {
        FinishError::Auth(error) => refused(ConnectionError::Auth(error)),
        other => Failed::new(Exit::SignInNeeded, other.to_string()),
    })?)
}

async fn given_up_by_ctrl_c<T>(waiting: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = waiting => done,
        _ = tokio::signal::ctrl_c() => {
            Err(Failed::new(Exit::SignInNeeded, "the sign-in was given up").into())
        }
    }
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
