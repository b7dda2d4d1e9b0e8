//! Device codes, for machines without a browser (v2-oauth2-device-code.md).

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::config::RedirectKind;
use crate::guid::random_name;
use crate::identity::aadsts::{Aadsts, aadsts};
use crate::identity::browser::{accounts, page as layout};
use crate::identity::directory::DeviceCode;
use crate::identity::token::{SignIn, TokenCall, blocked, issue};
use crate::identity::{check_tenant, json_error, scopes};
use crate::state::TenantState;
use crate::store::World;
use crate::store::html::escape;
use crate::wire::{Call, Reply};

/// Letters and digits that are not mistaken for each other.
const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// `POST /devicecode`
pub(crate) fn start(state: &TenantState, call: &Call, tenant: &str) -> Reply {
    match try_start(state, call, tenant) {
        Ok(body) => Reply::json(StatusCode::OK, &body),
        Err(error) => json_error(&error, call),
    }
}

fn try_start(state: &TenantState, call: &Call, tenant: &str) -> Result<Value, Aadsts> {
    let form = call.form();
    let get = |name: &str| {
        form.iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    };
    let mut world = state.world();
    let client_id = get("client_id");
    let app = world
        .directory
        .app(&client_id)
        .ok_or_else(|| aadsts(700_016))?;
    check_tenant(&world, tenant, app.config.is_multi_tenant)?;
    scopes::parse(&get("scope"))?;
    let raw: [u8; 9] = rand::random();
    let user_code: String = raw
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect();
    let device_code = format!("{}AQ{}", &user_code[..1], random_name(90));
    let life = world.timings.device_code;
    let interval = world.timings.device_interval;
    let expires = call.now.checked_add(life).unwrap_or(call.now);
    world
        .directory
        .devices
        .retain(|_, old| old.expires > call.now || !old.used);
    world.directory.devices.insert(
        device_code.clone(),
        DeviceCode {
            client_id: client_id.to_ascii_lowercase().into(),
            user_code: user_code.clone(),
            scopes: get("scope").split_whitespace().map(str::to_owned).collect(),
            expires,
            outcome: None,
            used: false,
        },
    );
    let uri = format!("{}/common/oauth2/deviceauth", call.base);
    Ok(json!({
        "user_code": user_code,
        "device_code": device_code,
        "verification_uri": uri,
        "expires_in": life.as_secs(),
        "interval": interval,
        "message": format!("To sign in, use a web browser to open the page {uri} and enter the code {user_code} to authenticate."),
    }))
}

/// The page where the code is typed and an account picked.
pub(crate) fn page(state: &TenantState, call: &Call, _tenant: &str) -> Reply {
    let form = call.form();
    let get = |name: &str| {
        form.iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    let typed = get("code")
        .or_else(|| call.query_value("code"))
        .unwrap_or_default()
        .to_ascii_uppercase();
    let mut world = state.world();
    let found = world
        .directory
        .devices
        .iter()
        .find(|(_, one)| {
            !typed.is_empty()
                && one.user_code == typed
                && one.expires > call.now
                && one.outcome.is_none()
        })
        .map(|(name, one)| (name.clone(), one.client_id.clone()));
    let Some((device_code, client_id)) = found else {
        let note = if typed.is_empty() {
            ""
        } else {
            "<p>That code didn’t work. Check the code and try again.</p>"
        };
        let body = format!(
            "<h1>Enter code to allow access</h1>{note}<form method=\"post\"><input type=\"text\" name=\"code\" \
             autofocus autocomplete=\"off\" aria-label=\"Code\"><div class=\"row\"><button class=\"primary\">Next</button></div></form>"
        );
        return Reply::html(StatusCode::OK, layout("Sign in to your account", &body));
    };
    if call.method == Method::POST
        && let Some(choice) = get("choice")
    {
        let account = world
            .find(&choice)
            .filter(|account| world.accounts[*account].user.can_sign_in);
        if let Some(device) = world.directory.devices.get_mut(&device_code) {
            device.outcome = Some(account.ok_or(()));
        }
        let text = match account {
            Some(account) => {
                world.accounts[account].state.mfa_demanded = false;
                "You have signed in. You may now close this window."
            }
            None => "You declined. You may now close this window.",
        };
        return Reply::html(
            StatusCode::OK,
            layout("Signed in", &format!("<h1>{text}</h1>")),
        );
    }
    let app = world
        .directory
        .app(&client_id)
        .map_or("", |app| app.config.name.as_str());
    let choices = accounts(&world, None);
    let body = format!(
        "<h1>Pick an account</h1><p class=\"soft\">to sign in to <b>{}</b> on another device</p><form method=\"post\">\
         <input type=\"hidden\" name=\"code\" value=\"{}\">{choices}<div class=\"row\">\
         <button name=\"choice\" value=\"\">Cancel</button></div></form>",
        escape(app),
        escape(&typed)
    );
    Reply::html(StatusCode::OK, layout("Sign in to your account", &body))
}

/// The device asks whether its user is done.
pub(crate) fn redeem(
    world: &mut World,
    request: &TokenCall<'_>,
) -> Result<Map<String, Value>, Aadsts> {
    let name = request
        .get("device_code")
        .or_else(|| request.get("code"))
        .unwrap_or_default()
        .to_owned();
    let app = world
        .directory
        .app(&request.client_id)
        .ok_or_else(|| aadsts(700_016))?;
    if !app.config.allow_public_client && !request.is_confidential {
        return Err(aadsts(7_000_218));
    }
    let device = world
        .directory
        .devices
        .get_mut(&name)
        .filter(|one| *one.client_id == *request.client_id);
    let device = device.ok_or_else(|| aadsts(70018))?;
    if device.used {
        return Err(aadsts(54005));
    }
    if device.expires <= request.call.now {
        return Err(aadsts(70020));
    }
    let account = match device.outcome {
        None => return Err(aadsts(70016)),
        Some(Err(())) => return Err(aadsts(650_058)),
        Some(Ok(account)) => account,
    };
    device.used = true;
    let scope_text = device.scopes.join(" ");
    if let Some(error) = blocked(world, account) {
        return Err(error);
    }
    let kind = if request.is_confidential {
        RedirectKind::Web
    } else {
        RedirectKind::Public
    };
    let stamp = world.directory.new_stamp();
    issue(
        world,
        request,
        SignIn {
            account,
            kind,
            scope_text,
            nonce: None,
            stamp,
            signed_in: request.call.now,
            fixed_end: None,
        },
    )
}
