//! Client secrets, certificates and the webhook's secret: stored, and rotated.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::registration;
use crate::administration::{Desk, How, NewCredential};
use crate::cli::CredentialArgs;
use crate::exit::{Exit, Failed};
use crate::render::{self, note};

/// The longest client secret or certificate that is read, in bytes.
const MOST: u64 = 64 << 10;

/// Stores a credential in the place of the one before, or beside it.
pub(super) async fn add(
    desk: &Desk,
    name: &str,
    arguments: &CredentialArgs,
    beside: bool,
    as_json: bool,
) -> Result<Exit> {
    let app = desk.registration(name).await.ok();
    if let Some(app) = app.as_ref().filter(|_| !as_json && asks(arguments)) {
        registration::print(app);
        note!("");
    }
    let how = match beside {
        true => How::Beside,
        false => How::Replace,
    };
    let about = desk.take_credential(name, read(arguments, how)?).await?;
    // Nobody signs in where there is no platform to come back to.
    let next = match app.is_some_and(|app| app["platform"].is_string()) {
        true => "authorize",
        false => "test",
    };
    match as_json {
        true => render::line(&json!({"connection": name, "credential": about}).to_string()),
        false => note!("stored; next: docket connections {next} {name}"),
    }
    Ok(Exit::Success)
}

/// Tries a new credential at the sign-in service, and takes it into use if it is accepted.
pub(super) async fn rotate(
    desk: &Desk,
    name: &str,
    arguments: &CredentialArgs,
    as_json: bool,
) -> Result<Exit> {
    let new = read(arguments, How::Rotate)?;
    let about = desk.take_credential(name, new).await?;
    if as_json {
        render::line(&json!({"connection": name, "credential": about}).to_string());
    } else {
        note!("the sign-in service accepted it; {name} uses it from now on");
        if about.expires.is_none() {
            note!("give its end with --expires, and docket warns you from 30 days ahead");
        }
    }
    Ok(Exit::Success)
}

/// Makes a secret for the webhook and prints it, or stores one that was made elsewhere.
pub(super) async fn webhook_secret(
    desk: &Desk,
    file_with_it: Option<&Path>,
    as_json: bool,
) -> Result<Exit> {
    let given = match file_with_it {
        Some(path) if path == Path::new("-") => Some(from_stdin("the webhook's secret")?),
        Some(path) => Some(file(path)?),
        None => None,
    };
    let made = desk.take_webhook_secret(given).await?;
    let made = made.as_ref().map(|secret| secret.expose_secret());
    match (made, as_json) {
        (made, true) => render::line(&json!({"secret": made}).to_string()),
        (Some(secret), false) => {
            render::line(secret);
            note!("give it to the receiver; it is not shown again");
        }
        (None, false) => note!("stored"),
    }
    Ok(Exit::Success)
}

fn asks(arguments: &CredentialArgs) -> bool {
    arguments.secret_file.is_none() && arguments.certificate.is_none()
}

fn read(arguments: &CredentialArgs, how: How) -> Result<NewCredential> {
    let mut new = NewCredential {
        secret: None,
        certificate: None,
        expires: arguments.expires.as_deref().map(end_of).transpose()?,
        how,
    };
    if let Some(path) = &arguments.certificate {
        new.certificate = Some(file(path)?.expose_secret().to_owned());
        return Ok(new);
    }
    let secret = match &arguments.secret_file {
        Some(path) => file(path)?,
        None => from_stdin("the client secret's value")?,
    };
    new.secret = Some(secret.expose_secret().to_owned());
    Ok(new)
}

fn from_stdin(what: &str) -> Result<SecretString> {
    if std::io::stdin().is_terminal() {
        note!("{what}, then Enter and Ctrl-D:");
    }
    let mut text = String::new();
    std::io::stdin().take(MOST).read_to_string(&mut text)?;
    Ok(SecretString::from(text))
}

fn file(path: &Path) -> Result<SecretString> {
    let unreadable =
        |error: std::io::Error| Failed::new(Exit::Invalid, format!("{}: {error}", path.display()));
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST).read_to_string(&mut text))
        .map_err(unreadable)?;
    Ok(SecretString::from(text))
}

/// The end of a day, as Entra shows it, or a moment.
fn end_of(text: &str) -> Result<Timestamp> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let end = text
        .parse::<Date>()
        .and_then(|day| day.at(23, 59, 59, 0).to_zoned(TimeZone::UTC))
        .map(|moment| moment.timestamp());
    end.map_err(|_| {
        Failed::new(Exit::Usage, format!("`{text}` is no date"))
            .with_help("write it as in 2027-05-31")
            .into()
    })
}
