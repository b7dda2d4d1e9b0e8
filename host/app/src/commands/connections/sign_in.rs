//! Sign-ins: in the browser of this machine, or by a code on any other.

use std::future::Future;

use anyhow::{Context as _, Result};
use docket_connections::{LoopbackRedirect, SignedIn};
use jiff::Timestamp;
use serde_json::json;
use url::Url;

use crate::administration::Desk;
use crate::cli::AuthorizeArgs;
use crate::exit::{Exit, Failed};
use crate::render::{self, note};

/// Signs the account of a connection in, or one of its users.
pub(super) async fn authorize(
    desk: &Desk,
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
        by_device_code(desk, name, user, as_json).await?
    } else {
        sign_in(desk, name, user, |link| async move {
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
    desk: &Desk,
    name: &str,
    user: Option<&str>,
    as_json: bool,
) -> Result<SignedIn> {
    let begun = desk.begin_device(name, user).await?;
    let shown = begun.shown();
    let text = |name: &str| shown[name].as_str().unwrap_or_default();
    note!("{}", text("message"));
    let end = text("expires-at").parse().unwrap_or(Timestamp::MAX);
    note!(
        "  sign in as {}; the code is good until {}",
        text("account"),
        end.strftime("%R UTC")
    );
    if as_json {
        render::line(&shown.to_string());
    }
    given_up_by_ctrl_c(desk.finish_device(begun)).await
}

/// Signs an account in by the loopback redirect: `visit` gets the link and returns once somebody
/// goes there.
pub(crate) async fn sign_in<F>(
    desk: &Desk,
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
    let begun = desk.begin_sign_in(name, user, &uri).await?;
    let visited = visit(begun.authorize_url);
    let answered = redirect.wait(&begun.state);
    // Whoever cannot even open the page is not waited for.
    let ((), answer) =
        tokio::try_join!(visited, given_up_by_ctrl_c(async { Ok(answered.await?) }))?;
    desk.finish_sign_in(answer).await
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
