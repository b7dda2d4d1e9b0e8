//! `/authorize`: who are you, and do you agree? (v2-oauth2-auth-code-flow.md)

use http::{Method, StatusCode};

use crate::config::RedirectKind;
use crate::guid::{guid, random_name};
use crate::identity::aadsts::{Aadsts, aadsts};
use crate::identity::browser::{accounts, cookie, error_page, hidden, page};
use crate::identity::directory::CodeGrant;
use crate::identity::redirect::{self, ResponseMode};
use crate::identity::scopes::{self, Requested};
use crate::identity::{check_tenant, token};
use crate::state::TenantState;
use crate::store::World;
use crate::store::html::escape;
use crate::wire::{Call, Reply};

/// An authorize request that may be answered at its redirect URI.
struct Ask<'a> {
    call: &'a Call,
    tenant: &'a str,
    pairs: Vec<(String, String)>,
    client_id: String,
    redirect_uri: String,
    kind: RedirectKind,
    mode: ResponseMode,
    requested: Requested,
}

impl Ask<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        value(&self.pairs, name)
    }

    /// Sends an answer to the redirect URI.
    fn deliver(&self, mut pairs: Vec<(&str, String)>) -> Reply {
        if let Some(state) = self.get("state") {
            pairs.push(("state", state.to_owned()));
        }
        redirect::deliver(&self.redirect_uri, self.mode, &pairs)
    }

    fn refuse(&self, error: &Aadsts) -> Reply {
        self.deliver(vec![
            ("error", error.error.to_owned()),
            ("error_description", error.description(self.call)),
        ])
    }

    /// The request's own parameters, without what the forms of these pages add.
    fn carried(&self) -> Vec<(String, String)> {
        self.pairs
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "choice" | "consent"))
            .cloned()
            .collect()
    }
}

fn value<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// GET shows the account picker (or answers silently); POST is somebody's choice.
pub(crate) fn handle(
    state: &TenantState,
    call: &Call,
    tenant: &str,
    scripted: Option<u32>,
) -> Reply {
    let mut pairs = call.query_pairs();
    if call.method == Method::POST {
        let form = call.form();
        pairs.retain(|(name, _)| value(&form, name).is_none());
        pairs.extend(form);
    }
    let mut world = state.world();
    let ask = match check(&world, call, tenant, pairs) {
        Ok(ask) => ask,
        Err(error) => return error_page(&error, call),
    };
    if let Some(code) = scripted {
        let error = aadsts(code);
        return if code == 50011 || code == 900_971 {
            error_page(&error, call)
        } else {
            ask.refuse(&error)
        };
    }
    if !ask
        .get("response_type")
        .unwrap_or("code")
        .split(' ')
        .any(|kind| kind == "code")
    {
        return ask.refuse(&aadsts(700_054));
    }
    if !matches!(
        ask.get("code_challenge_method"),
        None | Some("S256" | "plain")
    ) {
        let error = aadsts(501_481)
            .with_error("invalid_request")
            .about("The code_challenge_method is not supported.");
        return ask.refuse(&error);
    }
    match ask.get("choice").map(str::to_owned) {
        Some(cancelled) if cancelled.is_empty() => {
            ask.refuse(&aadsts(65004).about("The user has cancelled the sign-in."))
        }
        Some(upn) => chosen(&mut world, &ask, &upn),
        None => silent_or_picker(&mut world, &ask),
    }
}

/// What must be right before anything may be redirected.
fn check<'a>(
    world: &World,
    call: &'a Call,
    tenant: &'a str,
    pairs: Vec<(String, String)>,
) -> Result<Ask<'a>, Aadsts> {
    let client_id = value(&pairs, "client_id").unwrap_or_default().to_owned();
    let app = world.directory.app(&client_id).ok_or_else(|| {
        aadsts(700_016).about(&format!(
            "Application with identifier '{client_id}' was not found in the directory '{}'.",
            world.display_name
        ))
    })?;
    check_tenant(world, tenant, app.config.is_multi_tenant)?;
    if !app.config.is_enabled {
        return Err(aadsts(7_000_112));
    }
    let redirect_uri = match value(&pairs, "redirect_uri") {
        Some(uri) => uri.to_owned(),
        None => match app.config.redirects.as_slice() {
            [only] => only.uri.clone(),
            _ => return Err(aadsts(900_971)),
        },
    };
    let kind = redirect::matching(&app.config.redirects, &redirect_uri).ok_or_else(|| {
        aadsts(50011).about(&format!(
            "The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs configured \
             for the application '{client_id}'. Make sure the redirect URI sent in the request matches one added to \
             your application in the Azure portal."
        ))
    })?;
    let mode = ResponseMode::parse(value(&pairs, "response_mode"))
        .ok_or_else(|| aadsts(900_144).about("The response_mode is not supported."))?;
    let requested = scopes::parse(value(&pairs, "scope").unwrap_or_default())?;
    Ok(Ask {
        call,
        tenant,
        client_id,
        redirect_uri,
        kind,
        mode,
        requested,
        pairs,
    })
}

fn silent_or_picker(world: &mut World, ask: &Ask<'_>) -> Reply {
    let session = cookie(ask.call, "ESTSAUTH")
        .and_then(|session| world.directory.sessions.get(session))
        .copied();
    let hint = ask
        .get("login_hint")
        .or_else(|| ask.get("username"))
        .map(str::to_owned);
    let hinted = hint.as_deref().and_then(|hint| world.find(hint));
    match (ask.get("prompt"), session) {
        (Some("none"), None) => ask.refuse(&aadsts(50058)),
        (Some("none"), Some(_)) if hint.is_some() && hinted != session => {
            ask.refuse(&aadsts(16000))
        }
        (Some("none"), Some(account)) => match world.accounts[account].state {
            state if state.mfa_demanded => ask.refuse(&aadsts(50076)),
            _ if !missing(world, ask, account).is_empty() => {
                ask.refuse(&aadsts(65001).with_error("consent_required"))
            }
            _ => match token::blocked(world, account) {
                Some(error) => ask.refuse(&error),
                None => finish(world, ask, account),
            },
        },
        // Single sign-on: the hinted account is the one that is signed in.
        (None, Some(account))
            if hinted == Some(account) && missing(world, ask, account).is_empty() =>
        {
            match token::blocked(world, account) {
                Some(error) => error_page(&error, ask.call),
                None => finish(world, ask, account),
            }
        }
        _ => picker(world, ask, hint.as_deref()),
    }
}

fn missing(world: &World, ask: &Ask<'_>, account: usize) -> Vec<String> {
    world
        .directory
        .app(&ask.client_id)
        .map_or_else(Vec::new, |app| {
            scopes::missing_consent(app, account, &ask.requested)
        })
}

/// The account picker.
fn picker(world: &World, ask: &Ask<'_>, hint: Option<&str>) -> Reply {
    let app = world
        .directory
        .app(&ask.client_id)
        .map_or("", |app| app.config.name.as_str());
    // A hint puts its account first.
    let choices = accounts(world, hint);
    let body = format!(
        "<h1>Pick an account</h1><p class=\"soft\">to continue to <b>{}</b> in {}</p><form method=\"post\">{}{choices}\
         <div class=\"row\"><button name=\"choice\" value=\"\">Cancel</button></div></form>",
        escape(app),
        escape(&world.display_name),
        hidden(&ask.carried()),
    );
    Reply::html(StatusCode::OK, page("Sign in to your account", &body))
}

/// Somebody was picked: checks the account and the consent.
fn chosen(world: &mut World, ask: &Ask<'_>, upn: &str) -> Reply {
    let Some(account) = world
        .find(upn)
        .filter(|account| world.accounts[*account].user.can_sign_in)
    else {
        return error_page(&aadsts(50034), ask.call);
    };
    // Signing in interactively renews the password and passes multi-factor authentication.
    world.accounts[account].state.password_expired = false;
    world.accounts[account].state.mfa_demanded = false;
    if let Some(error) = token::blocked(world, account) {
        return error_page(&error, ask.call);
    }
    let missing = missing(world, ask, account);
    let unknown = unknown_scope(world, ask);
    let may_consent = world.policies.user_consent || world.accounts[account].user.is_admin;
    if unknown.is_some() || (!missing.is_empty() && !may_consent) {
        return error_page(&aadsts(90094), ask.call);
    }
    match ask.get("consent") {
        Some("accept") => {
            if let Some(app) = world.directory.app_mut(&ask.client_id) {
                let given = app.consents.entry(account).or_default();
                given.extend(missing.iter().map(|scope| scope.to_ascii_lowercase()));
            }
            finish(world, ask, account)
        }
        Some(_) => ask.refuse(&aadsts(65004)),
        None if !missing.is_empty() || ask.get("prompt") == Some("consent") => {
            consent_page(world, ask, upn, &missing)
        }
        None => finish(world, ask, account),
    }
}

/// A scope that the registration does not list; only an administrator can change that.
fn unknown_scope<'a>(world: &World, ask: &'a Ask<'_>) -> Option<&'a str> {
    let app = world.directory.app(&ask.client_id)?;
    ask.requested
        .graph
        .iter()
        .map(|(_, name)| name.as_str())
        .find(|name| app.registered(name).is_none())
}

fn consent_page(world: &World, ask: &Ask<'_>, upn: &str, missing: &[String]) -> Reply {
    let app = world
        .directory
        .app(&ask.client_id)
        .map_or("", |app| app.config.name.as_str());
    let list: String = missing
        .iter()
        .map(|scope| format!("<li>{}</li>", escape(scope)))
        .collect();
    let body = format!(
        "<h1>Permissions requested</h1><p class=\"soft\">{}</p><p><b>{}</b> would like to:</p><ul>{list}</ul>\
         <form method=\"post\">{}<input type=\"hidden\" name=\"choice\" value=\"{}\"><div class=\"row\">\
         <button name=\"consent\" value=\"decline\">Cancel</button>\
         <button class=\"primary\" name=\"consent\" value=\"accept\">Accept</button></div></form>",
        escape(upn),
        escape(app),
        hidden(&ask.carried()),
        escape(upn),
    );
    Reply::html(StatusCode::OK, page("Permissions requested", &body))
}

/// Hands out the code and remembers the browser.
fn finish(world: &mut World, ask: &Ask<'_>, account: usize) -> Reply {
    let expires = ask
        .call
        .now
        .checked_add(world.timings.code)
        .unwrap_or(ask.call.now);
    let challenge = ask.get("code_challenge").map(|challenge| {
        (
            challenge.to_owned(),
            ask.get("code_challenge_method")
                .is_some_and(|method| method == "S256"),
        )
    });
    let scopes = ask
        .get("scope")
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let code = format!("1.A{}", random_name(90));
    world
        .directory
        .codes
        .retain(|_, old| old.expires > ask.call.now);
    world.directory.codes.insert(
        code.clone(),
        CodeGrant {
            client_id: ask.client_id.to_ascii_lowercase().into(),
            account,
            tenant: ask.tenant.to_ascii_lowercase(),
            redirect_uri: ask.redirect_uri.clone(),
            kind: ask.kind,
            scopes,
            challenge,
            nonce: ask.get("nonce").map(str::to_owned),
            expires,
            used: false,
        },
    );
    let session = random_name(48);
    world.directory.sessions.insert(session.clone(), account);
    let mut pairs = vec![("code", code)];
    if ask.get("client_info").is_some() {
        pairs.push(("client_info", token::client_info(world, account)));
    }
    pairs.push(("session_state", guid()));
    ask.deliver(pairs).with(
        "set-cookie",
        &format!("ESTSAUTH={session}; Path=/; HttpOnly; SameSite=Lax"),
    )
}
