//! Client secrets and certificates: stored, and rotated.

use std::io::{IsTerminal as _, Read as _};

use anyhow::Result;
use docket_connections::Credential;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use serde_json::json;

use super::{refused, registration};
use crate::cli::CredentialArgs;
use crate::exit::{Exit, Failed};
use crate::host::Host;
use crate::render::{self, note};

/// The longest client secret or certificate that is read, in bytes.
const MOST: u64 = 64 << 10;

/// Stores a credential in the place of the one before, or beside it.
pub(super) fn add(
    host: &Host,
    name: &str,
    arguments: &CredentialArgs,
    beside: bool,
    as_json: bool,
) -> Result<Exit> {
    if !as_json && asks(arguments) {
        registration::show(host, name, false)?;
        note!("");
    }
    let credential = read(arguments)?;
    let about = credential.status();
    let stored = match beside {
        true => host.connections.add_credential(name, credential),
        false => host.connections.set_credential(name, credential),
    };
    stored.map_err(refused)?;
    let spec = host.project.spec.connections.get(name);
    if as_json {
        render::line(&json!({"connection": name, "credential": about}).to_string());
    } else if spec.is_some_and(|spec| spec.account.is_some()) {
        note!("stored; next: docket connections authorize {name}");
    } else {
        note!("stored; next: docket connections test {name}");
    }
    Ok(Exit::Success)
}

/// Tries a new credential at the sign-in service, and takes it into use if it is accepted.
pub(super) async fn rotate(
    host: &Host,
    name: &str,
    arguments: &CredentialArgs,
    as_json: bool,
) -> Result<Exit> {
    let credential = read(arguments)?;
    let about = credential.status();
    host.connections
        .rotate_credential(name, credential)
        .await
        .map_err(|error| {
            refused(error).with_help("nothing has changed: the credential in use stays in use")
        })?;
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

fn asks(arguments: &CredentialArgs) -> bool {
    arguments.secret_file.is_none() && arguments.certificate.is_none()
}

fn read(arguments: &CredentialArgs) -> Result<Credential> {
    let invalid =
        |error: docket_connections::InvalidCredential| Failed::new(Exit::Invalid, error.to_string());
    if let Some(path) = &arguments.certificate {
        return Ok(Credential::certificate(&file(path)?).map_err(invalid)?);
    }
    let secret = match &arguments.secret_file {
        Some(path) => file(path)?,
        None => {
            if std::io::stdin().is_terminal() {
                note!("the client secret's value, then Enter and Ctrl-D:");
            }
            let mut text = String::new();
            std::io::stdin().take(MOST).read_to_string(&mut text)?;
            SecretString::from(text)
        }
    };
    let expires = arguments.expires.as_deref().map(end_of).transpose()?;
    Ok(Credential::secret(&secret, expires).map_err(invalid)?)
}

fn file(path: &std::path::Path) -> Result<SecretString> {
    let unreadable = |error: std::io::Error| {
        Failed::new(Exit::Invalid, format!("{}: {error}", path.display()))
    };
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
        .and_then(|day| day.to_zoned(TimeZone::UTC))
        .map(|day| day.timestamp());
    end.map_err(|_| {
        Failed::new(Exit::Usage, format!("`{text}` is no date"))
            .with_help("write it as in 2027-05-31")
            .into()
    })
}
