//! Pages of the sign-in service: layout, errors, log-out, admin consent.

use http::StatusCode;

use crate::identity::aadsts::{Aadsts, aadsts};
use crate::identity::check_tenant;
use crate::identity::redirect::{self, ResponseMode};
use crate::state::TenantState;
use crate::store::World;
use crate::store::html::escape;
use crate::wire::{Call, Reply};

const STYLE: &str = "
:root{color-scheme:light dark;--bg:#f3f5f8;--card:#fff;--ink:#1b1f24;--soft:#5c6670;--line:#d9dee4;--hover:#eef3fb;--accent:#0f62fe;--on:#fff}
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1e2328;--ink:#e8ebee;--soft:#9aa4ae;--line:#343b43;--hover:#262d35;--accent:#78a9ff;--on:#0b1524}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--bg);color:var(--ink);font:16px/1.45 system-ui,sans-serif;padding:1rem}
main{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:2rem;width:100%;max-width:28rem;box-shadow:0 2px 14px #0002}
h1{font-size:1.35rem;margin:.2rem 0 1rem}p{margin:.5rem 0}.soft{color:var(--soft);font-size:.9rem}.brand{font-weight:600;color:var(--accent)}
button{font:inherit;cursor:pointer;border-radius:6px;border:1px solid var(--line);background:none;color:inherit;padding:.55rem 1rem}
button.primary{background:var(--accent);border-color:var(--accent);color:var(--on)}
button.account{display:block;width:100%;text-align:left;margin:.45rem 0;padding:.7rem .9rem}button:hover,button:focus-visible{background:var(--hover)}button.primary:hover{filter:brightness(1.1);background:var(--accent)}
.row{display:flex;gap:.6rem;justify-content:flex-end;margin-top:1.2rem}code{font-size:.85rem;overflow-wrap:anywhere}ul{padding-left:1.2rem}input[type=text]{font:inherit;width:100%;padding:.55rem;border:1px solid var(--line);border-radius:6px;background:none;color:inherit;letter-spacing:.15em}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--bg);border:1px solid var(--line);border-radius:6px;padding:.7rem;font-size:.8rem}";

/// A page of the sign-in service around `body`.
pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{}</title><style>{STYLE}</style></head><body><main>\
         <p class=\"brand\">Simulated Microsoft 365</p>{body}</main></body></html>",
        escape(title)
    )
}

/// A failure that is shown and not redirected.
pub(crate) fn error_page(error: &Aadsts, call: &Call) -> Reply {
    let body = format!(
        "<h1>Sorry, but we’re having trouble signing you in.</h1><pre>{}</pre>",
        escape(&error.description(call))
    );
    Reply::html(
        StatusCode::BAD_REQUEST,
        page("Sign in to your account", &body),
    )
}

/// Hidden fields that carry `pairs` through a form.
pub(crate) fn hidden(pairs: &[(String, String)]) -> String {
    pairs
        .iter()
        .map(|(name, value)| {
            format!(
                "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
                escape(name),
                escape(value)
            )
        })
        .collect()
}

/// The value of a cookie.
pub(crate) fn cookie<'c>(call: &'c Call, name: &str) -> Option<&'c str> {
    call.header("cookie")?
        .split(';')
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// `/logout`: ends the browser's session; refresh tokens live on (refresh-tokens.md).
pub(crate) fn logout(state: &TenantState, call: &Call) -> Reply {
    if let Some(session) = cookie(call, "ESTSAUTH") {
        state.world().directory.sessions.remove(session);
    }
    let reply = match call
        .query_value("post_logout_redirect_uri")
        .filter(|uri| url::Url::parse(uri).is_ok())
    {
        Some(uri) => {
            let mut target = uri;
            if let Some(state) = call.query_value("state") {
                let separator = if target.contains('?') { '&' } else { '?' };
                let encoded: String =
                    url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
                target = format!("{target}{separator}state={encoded}");
            }
            Reply::redirect(&target)
        }
        None => Reply::html(
            StatusCode::OK,
            page(
                "Signed out",
                "<h1>You signed out of your account</h1><p>It’s a good idea to close all browser windows.</p>",
            ),
        ),
    };
    reply.with(
        "set-cookie",
        "ESTSAUTH=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
    )
}

/// `/adminconsent`: an administrator consents for everybody.
pub(crate) fn admin_consent(state: &TenantState, call: &Call, tenant: &str) -> Reply {
    let mut pairs = call.query_pairs();
    if call.method == http::Method::POST {
        pairs.extend(call.form());
    }
    let get = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    let mut world = state.world();
    let client_id = get("client_id").unwrap_or_default();
    let redirect_uri = get("redirect_uri").unwrap_or_default();
    let tenant_id = world.tenant_id.clone();
    let checked = match world.directory.app(&client_id) {
        None => Err(aadsts(700_016)),
        Some(app) => check_tenant(&world, tenant, app.config.is_multi_tenant).and_then(|()| {
            redirect::matching(&app.config.redirects, &redirect_uri)
                .map(|_| app)
                .ok_or_else(|| aadsts(50011))
        }),
    };
    let app = match checked {
        Ok(app) => app,
        Err(error) => return error_page(&error, call),
    };
    let Some(choice) = get("choice") else {
        return admin_picker(&world, call, &app.config.name);
    };
    let is_admin = world
        .find(&choice)
        .is_some_and(|account| world.accounts[account].user.is_admin);
    if !is_admin {
        return error_page(&aadsts(90094), call);
    }
    let mut answer: Vec<(&str, String)> = get("state")
        .map(|state| ("state", state))
        .into_iter()
        .collect();
    match get("decision").as_deref() {
        Some("accept") => {
            answer.push(("tenant", tenant_id));
            answer.push(("admin_consent", "True".to_owned()));
            if let Some(app) = world.directory.app_mut(&client_id) {
                app.config.admin_consented = true;
            }
            redirect::deliver(&redirect_uri, ResponseMode::Query, &answer)
        }
        Some(_) => {
            answer.push(("error", "permission_denied".to_owned()));
            answer.push((
                "error_description",
                "The admin canceled the request.".to_owned(),
            ));
            redirect::deliver(&redirect_uri, ResponseMode::Query, &answer)
        }
        None => {
            let scopes: String = app
                .config
                .delegated
                .iter()
                .chain(&app.config.roles)
                .map(|scope| format!("<li>{}</li>", escape(scope)))
                .collect();
            let body = format!(
                "<h1>Permissions requested: accept for your organization</h1><p><b>{}</b> would like to use:</p>\
                 <ul>{scopes}</ul><form method=\"post\">{}<input type=\"hidden\" name=\"choice\" value=\"{}\"><div class=\"row\">\
                 <button name=\"decision\" value=\"cancel\">Cancel</button>\
                 <button class=\"primary\" name=\"decision\" value=\"accept\">Accept</button></div></form>",
                escape(&app.config.name),
                hidden(&call.query_pairs()),
                escape(&choice),
            );
            Reply::html(StatusCode::OK, page("Admin consent", &body))
        }
    }
}

/// Asks who gives the consent.
fn admin_picker(world: &World, call: &Call, app: &str) -> Reply {
    let body = format!(
        "<h1>Pick an account</h1><p class=\"soft\">An administrator can accept for the organization what <b>{}</b> \
         asks for.</p><form method=\"post\">{}{}</form>",
        escape(app),
        hidden(&call.query_pairs()),
        accounts(world, None),
    );
    Reply::html(StatusCode::OK, page("Sign in to your account", &body))
}

/// A button for everybody who can sign in; `first` names the account that comes first.
pub(crate) fn accounts(world: &World, first: Option<&str>) -> String {
    let mut people: Vec<_> = world
        .accounts
        .iter()
        .filter(|one| one.user.can_sign_in)
        .collect();
    people.sort_by_key(|one| first.is_none_or(|first| !one.user.upn.eq_ignore_ascii_case(first)));
    people
        .iter()
        .map(|one| {
            let (upn, name) = (escape(&one.user.upn), escape(&one.user.display_name));
            format!(
                "<button class=\"account\" name=\"choice\" value=\"{upn}\"><b>{name}</b><br>\
                 <span class=\"soft\">{upn}</span></button>"
            )
        })
        .collect()
}
