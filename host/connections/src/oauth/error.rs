//! What the sign-in service's refusals mean, and what to do about each.
//!
//! The class says what a caller does next. It comes from the OAuth `error` (RFC 6749 section 5.2)
//! and, where Entra's number says more than that, from the number (Entra: reference-error-codes.md).

use std::fmt;

use super::claims::Claims;
use super::error_rows::{ADMIN, AUTHORIZE, CHECK, CONSENT, LATER, NEW_SECRET, ROWS};
use super::exchange::NoAnswer;
use crate::vault::VaultError;
use oauth2::ErrorResponse;
use serde::{Deserialize, Serialize};

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[error("{message}; {remedy}")]
pub struct AuthError {
    /// What the caller does next.
    pub class: AuthErrorClass,
    /// The connection.
    pub connection: Box<str>,
    /// The account that the token was for: a user principal name, or the application's id.
    pub account: Box<str>,
    /// Entra's number, `AADSTS700082`, or else the OAuth error; empty where there was no answer.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// What the next sign-in must be asked for with.
    #[serde(skip)]
    pub(super) claims: Option<Box<Claims>>,
}

/// Who has to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthErrorClass {
    /// The account must sign in again.
    SignInRequired,
    /// Somebody must agree to what the application asks for.
    ConsentRequired,
    /// The application's secret or certificate is missing, wrong or expired.
    Credential,
    /// A policy of the directory, or the account's state, forbids it: its administrator must act.
    Blocked,
    /// The connection or the application's registration is not right.
    Configuration,
    /// Worth another try.
    Transient,
    /// This machine: its vault failed, or its clock is off.
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
    /// Whether the account is the application itself.
    pub(crate) is_application: bool,
    /// Whether the account is one of the connection's users.
    pub(crate) is_per_user: bool,
    /// Whether it is at Entra ID.
    pub(crate) is_entra: bool,
}

/// The sign-in service's words (RFC 6749 section 5.2, and Entra's additions).
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_description: Option<String>,
    #[serde(default)]
    pub(crate) error_codes: Vec<u32>,
    /// JSON in a text: what a policy wants of the next sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claims: Option<String>,
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
        "authorization_declined" => (SignInRequired, "the sign-in was declined", AUTHORIZE),
        "expired_token" => (SignInRequired, "nobody entered the code in time", AUTHORIZE),
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

/// What `docket connections authorize` is told besides the connection, with a space before it: whose
/// sign-in it is, where a connection has many users.
pub(crate) fn user_option(is_per_user: bool, account: &str) -> String {
    match is_per_user {
        true => format!(" --user {account}"),
        false => String::new(),
    }
}

impl Subject {
    /// Whether both are the same account of the same connection.
    pub(crate) fn is_same_account(&self, other: &Self) -> bool {
        self.connection == other.connection
            && self.account.to_lowercase() == other.account.to_lowercase()
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{user}", &user_option(self.is_per_user, &self.account))
            .replace("{connection}", &self.connection)
            .replace("{account}", &self.account)
            .replace("{client_id}", &self.client_id)
            .replace("{tenant}", &self.tenant)
            .replace("{authority}", &self.authority)
    }

    /// What to do, in words that are true of other providers than Entra, too.
    fn remedy(&self, remedy: &str) -> String {
        self.fill(match (self.is_entra, remedy) {
            (false, CONSENT) => AUTHORIZE,
            (false, CHECK) => {
                "check connections.{connection} in docket.yaml against the application's registration at the provider"
            }
            (false, NEW_SECRET) => {
                "make a new client secret for the application {client_id} at the provider, and give it to `docket connections rotate-secret {connection}`"
            }
            (_, remedy) => remedy,
        })
    }

    /// The meaning of a refusal.
    pub(crate) fn refused(&self, refusal: &Refusal) -> AuthError {
        let number = refusal.number();
        let row = number.and_then(|number| ROWS.iter().find(|row| row.0.contains(&number)));
        let (class, message, remedy) = match row {
            Some(&(_, class, message, remedy)) => (class, message, remedy),
            None => by_error(&refusal.error),
        };
        // Nobody can sign in for an application.
        let (class, remedy) = match (class, self.is_application) {
            (AuthErrorClass::SignInRequired, true) => (AuthErrorClass::Configuration, CHECK),
            _ => (class, remedy),
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
        let mut message = self.fill(message);
        if !message.contains(&code) {
            message.push_str(&format!(" ({code})"));
        }
        AuthError {
            class,
            connection: self.connection.as_str().into(),
            account: self.account.as_str().into(),
            message,
            remedy: self.remedy(remedy),
            code,
            claims: refusal
                .claims
                .as_deref()
                .and_then(Claims::parse)
                .map(Box::new),
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

    /// The application has neither secret nor certificate.
    pub(crate) fn no_credential(&self) -> AuthError {
        self.other(
            AuthErrorClass::Credential,
            "{connection} has no client secret and no certificate",
            NEW_SECRET,
        )
    }

    /// No answer of the service's.
    pub(super) fn no_answer(&self, problem: &NoAnswer) -> AuthError {
        match problem {
            NoAnswer::Denied(text) => self.misconfigured(text),
            NoAnswer::Lost(text) => self.transient(text),
        }
    }

    /// An answer that makes no sense, and is not shown.
    pub(super) fn nonsense(&self) -> AuthError {
        self.transient("the sign-in service's answer is not one that OAuth knows")
    }

    pub(super) fn shutting_down(&self) -> AuthError {
        self.other(
            AuthErrorClass::Host,
            "the host is shutting down",
            "run it again",
        )
    }

    /// The vault does not give the sign-in.
    pub(super) fn vault_failed(&self, error: &VaultError) -> AuthError {
        self.unreadable(error, AuthErrorClass::SignInRequired)
    }

    /// The vault does not give the credentials; signing in does not mend that.
    pub(super) fn credentials_failed(&self, error: &VaultError) -> AuthError {
        self.unreadable(error, AuthErrorClass::Credential)
    }

    /// A record of the vault that is damaged is of this class.
    fn unreadable(&self, error: &VaultError, damaged: AuthErrorClass) -> AuthError {
        match error {
            VaultError::Damaged {
                path,
                problem,
                remedy,
            } => self.other(damaged, &format!("{path} is damaged: {problem}"), remedy),
            other => self.other(
                AuthErrorClass::Host,
                &other.to_string(),
                "see that the data folder can be read and written, and has room",
            ),
        }
    }

    /// Any other.
    pub(crate) fn other(&self, class: AuthErrorClass, message: &str, remedy: &str) -> AuthError {
        AuthError {
            class,
            connection: self.connection.as_str().into(),
            account: self.account.as_str().into(),
            code: String::new(),
            message: self.fill(message),
            remedy: self.remedy(remedy),
            claims: None,
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
            is_application: false,
            is_per_user: false,
            is_entra: true,
        }
    }

    #[track_caller]
    fn check(error: &str, number: Option<u32>, class: AuthErrorClass, remedy: &str) {
        let refusal = Refusal {
            error: error.to_owned(),
            error_description: None,
            error_codes: number.into_iter().collect(),
            claims: None,
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
            "New client secret",
        );
        check(
            "invalid_client",
            Some(7_000_215),
            Credential,
            "New client secret",
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
        check("invalid_client", Some(700_024), Host, "clock");
        check("invalid_client", Some(700_027), Credential, "Certificates");
        check("expired_token", None, SignInRequired, authorize);
        check("temporarily_unavailable", None, Transient, "tried again");
        check("server_error", Some(90033), Transient, "tried again");
    }

    #[test]
    fn one_of_many_users_is_named_to_the_command() {
        let subject = Subject {
            is_per_user: true,
            ..subject()
        };
        let found = subject.sign_in_required("{account} has not signed in yet");
        let command = "docket connections authorize contracts --user svc@contoso.example`";
        assert!(found.remedy.contains(command), "{}", found.remedy);
    }

    #[test]
    fn other_providers_are_not_called_entra() {
        let subject = Subject {
            is_entra: false,
            ..subject()
        };
        for error in ["invalid_grant", "invalid_client", "consent_required", "x"] {
            let refusal = Refusal {
                error: error.to_owned(),
                error_description: None,
                error_codes: Vec::new(),
                claims: None,
            };
            let found = subject.refused(&refusal).to_string();
            assert!(
                !found.contains("Entra") && !found.contains("adminconsent"),
                "{found}"
            );
        }
    }

    #[test]
    fn the_number_of_a_redirect_is_in_its_description() {
        let refusal = Refusal {
            error: "access_denied".to_owned(),
            error_description: Some("AADSTS65004: The user canary declined.\r\nTrace".to_owned()),
            error_codes: Vec::new(),
            claims: None,
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
