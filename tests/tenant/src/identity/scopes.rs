//! Scopes: what was asked for, and what the app and the user's consent allow.

use crate::identity::aadsts::{Aadsts, aadsts};
use crate::identity::directory::App;

/// Graph's resource identifiers.
const GRAPH: [&str; 2] = [
    "https://graph.microsoft.com",
    "00000003-0000-0000-c000-000000000000",
];
const OIDC: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// A scope request, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requested {
    /// Graph scopes as the client wrote them, with their bare names.
    pub(crate) graph: Vec<(String, String)>,
    /// `openid`, `profile`, `email`, `offline_access`.
    pub(crate) oidc: Vec<String>,
    /// `…/.default`: whatever was consented.
    pub(crate) is_default: bool,
}

impl Requested {
    pub(crate) fn has(&self, oidc: &str) -> bool {
        self.oidc.iter().any(|scope| scope == oidc)
    }
}

/// Reads a space-separated scope list.
pub(crate) fn parse(text: &str) -> Result<Requested, Aadsts> {
    let mut requested = Requested::default();
    for scope in text.split_whitespace() {
        let lower = scope.to_ascii_lowercase();
        if OIDC.contains(&lower.as_str()) {
            requested.oidc.push(lower);
            continue;
        }
        let name = match scope.rsplit_once('/') {
            None => scope,
            Some((resource, name)) => {
                let resource = resource.trim_end_matches('/').to_ascii_lowercase();
                if !GRAPH.contains(&resource.trim_start_matches("api://")) {
                    return Err(aadsts(500_011).about(&format!(
                        "The resource principal named {resource} was not found in the tenant. This can happen if the \
                         application has not been installed by the administrator of the tenant or consented to by any \
                         user in the tenant."
                    )));
                }
                name
            }
        };
        if name.eq_ignore_ascii_case(".default") {
            requested.is_default = true;
        } else {
            requested.graph.push((scope.to_owned(), name.to_owned()));
        }
    }
    Ok(requested)
}

/// The Graph scopes that a token for `account` gets, or why not.
pub(crate) fn grant(app: &App, account: usize, requested: &Requested) -> Result<Granted, Aadsts> {
    if requested.is_default {
        let all: Vec<String> = app
            .config
            .delegated
            .iter()
            .filter(|scope| app.is_consented(account, scope) && !is_oidc(scope))
            .cloned()
            .collect();
        if all.is_empty() {
            return Err(aadsts(65001));
        }
        return Ok(Granted {
            shown: all.clone(),
            names: all,
        });
    }
    let mut granted = Granted::default();
    for (written, name) in &requested.graph {
        let Some(registered) = app.registered(name) else {
            return Err(aadsts(65001).about(&format!(
                "The user or administrator has not consented to use the application with ID '{}' named '{}'. Send an \
                 interactive authorization request for this user and resource. Missing scope: {name}.",
                app.config.client_id, app.config.name
            )));
        };
        if !app.is_consented(account, name) {
            return Err(aadsts(65001));
        }
        granted.names.push(registered.to_owned());
        granted.shown.push(written.clone());
    }
    if granted.names.is_empty() {
        // Only OpenID scopes: the token is for reading oneself.
        granted.names.extend(
            ["User.Read".to_owned()]
                .into_iter()
                .filter(|scope| app.is_consented(account, scope)),
        );
    }
    Ok(granted)
}

fn is_oidc(scope: &str) -> bool {
    OIDC.iter().any(|name| name.eq_ignore_ascii_case(scope))
}

/// Scopes that were granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Bare names, for checking.
    pub(crate) names: Vec<String>,
    /// As the client wrote them, for the answer.
    pub(crate) shown: Vec<String>,
}

/// Registered scopes that the user has not consented to yet.
pub(crate) fn missing_consent(app: &App, account: usize, requested: &Requested) -> Vec<String> {
    let wanted: Vec<&str> = if requested.is_default {
        app.config.delegated.iter().map(String::as_str).collect()
    } else {
        requested
            .graph
            .iter()
            .map(|(_, name)| name.as_str())
            .collect()
    };
    wanted
        .into_iter()
        .filter(|name| !is_oidc(name))
        .filter_map(|name| app.registered(name))
        .filter(|name| !app.is_consented(account, name))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_lists() {
        let parsed =
            parse("openid offline_access Mail.Send https://graph.microsoft.com/Mail.ReadWrite")
                .unwrap();
        assert!(parsed.has("offline_access") && !parsed.is_default);
        let names: Vec<&str> = parsed.graph.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["Mail.Send", "Mail.ReadWrite"]);
        assert!(
            parse("https://graph.microsoft.com/.default")
                .unwrap()
                .is_default
        );
        assert_eq!(
            parse("https://vault.azure.net/.default").unwrap_err().code,
            500_011
        );
    }
}
