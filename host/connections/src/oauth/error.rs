//! What the sign-in service's refusals mean, and what to do about each.
//!
//! The class says what a caller does next. It comes from the OAuth `error` (RFC 6749 section 5.2)
//! and, where Entra's number says more than that, from the number (Entra: reference-error-codes.md).

use std::fmt;

use oauth2::ErrorResponse;
use serde::{Deserialize, Serialize};

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {remedy}")]
pub struct AuthError {
    /// What the caller does next.
    pub class: AuthErrorClass,
    /// Entra's number, `AADSTS700082`, or else the OAuth error; empty where there was no answer.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Who has to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthErrorClass {
    /// The account must sign in again.
    SignInRequired,
    /// Somebody must agree to what the application asks for.
    ConsentRequired,
    /// The application's secret is missing, wrong or expired.
    Credential,
    /// A policy of the directory, or the account's state, forbids it: its administrator must act.
    Blocked,
    /// The connection or the application's registration is not right.
    Configuration,
    /// Worth another try.
    Transient,
    /// The host's own vault failed.
    Host,
}

/// Whose sign-in it is; for messages.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// The connection's name.
    pub(crate) connection: String,
    /// Its account.
    pub(crate) account: String,
    /// Its application's id.
    pub(crate) client_id: String,
    /// Its directory.
    pub(crate) tenant: String,
    /// Where it signs in.
    pub(crate) authority: String,
}

/// The sign-in service's words (RFC 6749 section 5.2, and Entra's additions).
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_description: Option<String>,
    #[serde(default)]
    pub(crate) error_codes: Vec<u32>,
}

impl ErrorResponse for Refusal {}

// The description is the service's text, which may repeat what was sent.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("error", &self.error)
            .field("error_codes", &self.error_codes)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl Refusal {
    /// The number, from its own field or from the description, where the redirect of a sign-in has it.
    fn number(&self) -> Option<u32> {
        self.error_codes.first().copied().or_else(|| {
            let (_, rest) = self.error_description.as_deref()?.split_once("AADSTS")?;
            let end = rest
                .find(|letter: char| !letter.is_ascii_digit())
                .unwrap_or(rest.len());
            rest[..end].parse().ok()
        })
    }
}

/// What a number means: class, message and remedy. `{…}` are the members of [`Subject`].
type Row = (&'static [u32], AuthErrorClass, &'static str, &'static str);

const AUTHORIZE: &str = "run `docket connections authorize {connection}` and sign in as {account}";
const CONSENT: &str = "ask an administrator to open {authority}/{tenant}/adminconsent?client_id={client_id} and agree, then run `docket connections authorize {connection}`";
const NEW_SECRET: &str = "make a new client secret for the application {client_id} in Entra ID (Certificates & secrets) and give it to `docket connections add {connection}`";
const ADMIN: &str = "ask an administrator of {tenant} to allow it";
const CHECK: &str = "check connections.{connection} in docket.yaml against the application's registration in Entra ID";
const LATER: &str = "nothing to do: it is tried again";

#[rustfmt::skip]
const ROWS: &[Row] = {
    use AuthErrorClass::*;
    &[
    (&[50173, 700082, 70008, 700084, 50089, 70000, 70043], SignInRequired,
        "the sign-in of {account} has ended", AUTHORIZE),
    (&[50055, 50132, 50133, 50144], SignInRequired,
        "the password of {account} has expired or was changed", AUTHORIZE),
    (&[50076, 50079, 50074, 50072, 50078, 50158], SignInRequired,
        "the directory asks {account} for a stronger sign-in", AUTHORIZE),
    (&[50196], SignInRequired,
        "the sign-in service refuses {account} for asking too often", "wait some minutes, then run `docket connections authorize {connection}`"),
    (&[54005, 501481, 700005], SignInRequired,
        "the sign-in's code was not accepted", AUTHORIZE),
    (&[50057], Blocked,
        "the account {account} is disabled", "ask an administrator of {tenant} to enable it, then run `docket connections authorize {connection}`"),
    (&[50053], Blocked,
        "the account {account} is locked", "wait, or ask an administrator of {tenant} to unlock it"),
    (&[53000, 53001, 53003, 530032, 530035], Blocked,
        "a conditional access policy of {tenant} blocks {account}", ADMIN),
    (&[50105], Blocked,
        "{account} is not assigned to the application {client_id}", "ask an administrator to assign it in Entra ID (Enterprise applications, Users and groups)"),
    (&[65004], ConsentRequired,
        "the consent was declined", AUTHORIZE),
    (&[65001, 90094, 90095, 650052, 650056, 650057], ConsentRequired,
        "nobody has agreed to what the application {client_id} asks for", CONSENT),
    (&[7000222], Credential,
        "the client secret of {connection} has expired", NEW_SECRET),
    (&[7000215, 70002], Credential,
        "the client secret of {connection} is wrong; perhaps it is the secret's id and not its value", NEW_SECRET),
    (&[7000218], Credential,
        "the application {client_id} needs a client secret, and {connection} has none", NEW_SECRET),
    (&[700025], Configuration,
        "the application {client_id} is a public client and takes no client secret", "register its redirect as Web in Entra ID (Authentication)"),
    (&[700016, 700011, 7000112, 70001], Configuration,
        "the directory {tenant} does not know the application {client_id}, or has disabled it", CHECK),
    (&[90002, 50059, 90019, 50194], Configuration,
        "the sign-in service does not know the directory {tenant}", CHECK),
    (&[70011, 28002, 700022, 500011, 50001], Configuration,
        "a scope is asked for that does not exist", CHECK),
    (&[50011, 900971], Configuration,
        "the redirect is not registered", "add `http://localhost/callback` to the application {client_id} in Entra ID (Authentication, platform Web)"),
    (&[90033, 50033, 90006, 90024, 90012, 90055], Transient,
        "the sign-in service is not available", LATER),
    ]
};

/// What an error without a known number means.
fn by_error(error: &str) -> (AuthErrorClass, &'static str, &'static str) {
    use AuthErrorClass::*;
    match error {
        "invalid_grant" | "interaction_required" | "login_required" => {
            (SignInRequired, "{account} must sign in again", AUTHORIZE)
        }
        "consent_required" => (
            ConsentRequired,
            "nobody has agreed to what the application {client_id} asks for",
            CONSENT,
        ),
        "access_denied" => (Blocked, "the sign-in of {account} was refused", ADMIN),
        "invalid_client" => (
            Credential,
            "the sign-in service does not accept the client secret of {connection}",
            NEW_SECRET,
        ),
        "temporarily_unavailable" | "server_error" => {
            (Transient, "the sign-in service is not available", LATER)
        }
        _ => (
            Configuration,
            "the sign-in service refuses the request",
            CHECK,
        ),
    }
}

impl Subject {
    fn fill(&self, text: &str) -> String {
        text.replace("{connection}", &self.connection)
            .replace("{account}", &self.account)
            .replace("{client_id}", &self.client_id)
            .replace("{tenant}", &self.tenant)
            .replace("{authority}", &self.authority)
    }

    /// The meaning of a refusal.
    pub(crate) fn refused(&self, refusal: &Refusal) -> AuthError {
        let number = refusal.number();
        let row = number.and_then(|number| ROWS.iter().find(|row| row.0.contains(&number)));
        let (class, message, remedy) = match row {
            Some(&(_, class, message, remedy)) => (class, message, remedy),
            None => by_error(&refusal.error),
        };
        let code = match number {
            Some(number) => format!("AADSTS{number}"),
            None => refusal
                .error
                .chars()
                .filter(|c| c.is_ascii_graphic())
                .take(64)
                .collect(),
        };
        AuthError {
            class,
            message: format!("{} ({code})", self.fill(message)),
            remedy: self.fill(remedy),
            code,
        }
    }

    /// No sign-in is there to use.
    pub(crate) fn sign_in_required(&self, message: &str) -> AuthError {
        self.other(AuthErrorClass::SignInRequired, message, AUTHORIZE)
    }

    /// Something to correct.
    pub(crate) fn misconfigured(&self, message: &str) -> AuthError {
        self.other(AuthErrorClass::Configuration, message, CHECK)
    }

    /// No usable answer came.
    pub(crate) fn transient(&self, message: &str) -> AuthError {
        self.other(AuthErrorClass::Transient, message, LATER)
    }

    /// Any other.
    pub(crate) fn other(&self, class: AuthErrorClass, message: &str, remedy: &str) -> AuthError {
        AuthError {
            class,
            code: String::new(),
            message: self.fill(message),
            remedy: self.fill(remedy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject {
            connection: "contracts".to_owned(),
            account: "svc@contoso.example".to_owned(),
            client_id: "app-id".to_owned(),
            tenant: "contoso.example".to_owned(),
            authority: "https://login.test".to_owned(),
        }
    }

    #[track_caller]
    fn check(error: &str, number: Option<u32>, class: AuthErrorClass, remedy: &str) {
        let refusal = Refusal {
            error: error.to_owned(),
            error_description: None,
            error_codes: number.into_iter().collect(),
        };
        let found = subject().refused(&refusal);
        assert_eq!(found.class, class, "{error} {number:?}");
        assert!(
            found.remedy.contains(remedy),
            "{error} {number:?}: {}",
            found.remedy
        );
        assert!(!found.to_string().contains(['{', '}']), "{found}");
    }

    #[test]
    fn classes_and_remedies() {
        use AuthErrorClass::*;
        let authorize = "docket connections authorize contracts";
        check("invalid_grant", Some(700_082), SignInRequired, authorize);
        check("invalid_grant", None, SignInRequired, authorize);
        check("invalid_grant", Some(1), SignInRequired, authorize);
        check(
            "interaction_required",
            Some(50076),
            SignInRequired,
            "svc@contoso.example",
        );
        check(
            "invalid_grant",
            Some(65001),
            ConsentRequired,
            "https://login.test/contoso.example/adminconsent?client_id=app-id",
        );
        check("access_denied", Some(65004), ConsentRequired, authorize);
        check("access_denied", None, Blocked, "administrator");
        check("invalid_grant", Some(53003), Blocked, "administrator");
        check("invalid_grant", Some(50057), Blocked, "enable");
        check(
            "invalid_client",
            Some(7_000_222),
            Credential,
            "new client secret",
        );
        check(
            "invalid_client",
            Some(7_000_215),
            Credential,
            "new client secret",
        );
        check("invalid_client", None, Credential, "contracts");
        check(
            "unauthorized_client",
            Some(700_016),
            Configuration,
            "connections.contracts in docket.yaml",
        );
        check("invalid_scope", None, Configuration, "docket.yaml");
        check("nonsense", None, Configuration, "docket.yaml");
        check(
            "invalid_request",
            Some(50011),
            Configuration,
            "http://localhost/callback",
        );
        check("temporarily_unavailable", None, Transient, "tried again");
        check("server_error", Some(90033), Transient, "tried again");
    }

    #[test]
    fn the_number_of_a_redirect_is_in_its_description() {
        let refusal = Refusal {
            error: "access_denied".to_owned(),
            error_description: Some("AADSTS65004: The user canary declined.\r\nTrace".to_owned()),
            error_codes: Vec::new(),
        };
        let found = subject().refused(&refusal);
        assert_eq!(found.code, "AADSTS65004");
        assert!(!format!("{found} {found:?} {refusal} {refusal:?}").contains("canary"));
    }

    #[test]
    fn every_number_has_one_row() {
        let mut seen = std::collections::BTreeSet::new();
        for number in ROWS.iter().flat_map(|row| row.0) {
            assert!(seen.insert(number), "{number} twice");
        }
    }
}
