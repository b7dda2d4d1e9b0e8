//! Entra ID, v2.0 endpoints: authorize, token, device code, discovery, keys, logout, admin consent.

pub(crate) mod aadsts;
mod aadsts_rows;
mod assertion;
mod authorize;
mod browser;
mod device;
pub(crate) mod directory;
mod keys;
mod redirect;
mod scopes;
mod token;

use http::{Method, StatusCode};
use serde_json::json;

use crate::identity::aadsts::{Aadsts, aadsts};
use crate::state::TenantState;
use crate::store::World;
use crate::wire::{Call, Reply};

/// Answers a request to the sign-in origin; `scripted` is an AADSTS number to fail with.
pub(crate) fn handle(state: &TenantState, call: &Call, scripted: Option<u32>) -> Reply {
    let parts: Vec<&str> = call
        .path
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let reply = match parts.as_slice() {
        [tenant, rest @ ..] => route(state, call, tenant, rest, scripted),
        [] => Reply::empty(StatusCode::NOT_FOUND),
    };
    reply
        .with("x-ms-request-id", &call.request_id)
        .with("cache-control", "no-store, no-cache")
        .with(
            "strict-transport-security",
            "max-age=31536000; includeSubDomains",
        )
        .with("date", &crate::clock::http_date(call.now))
}

fn route(
    state: &TenantState,
    call: &Call,
    tenant: &str,
    rest: &[&str],
    scripted: Option<u32>,
) -> Reply {
    let lower: Vec<String> = rest.iter().map(|part| part.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let is_post = call.method == Method::POST;
    match lower.as_slice() {
        ["oauth2", "v2.0", "token"] if is_post => token::handle(state, call, tenant, scripted),
        ["oauth2", "v2.0", "devicecode"] if is_post => device::start(state, call, tenant),
        ["oauth2", "v2.0", "authorize"] => authorize::handle(state, call, tenant, scripted),
        ["oauth2", "v2.0", "logout"] => browser::logout(state, call),
        ["oauth2", "deviceauth"] => device::page(state, call, tenant),
        ["v2.0", ".well-known", "openid-configuration"]
        | ["oauth2", "v2.0", ".well-known", "openid-configuration"] => {
            discovery(state, call, tenant)
        }
        ["discovery", "v2.0", "keys"] | ["discovery", "keys"] => {
            Reply::json(StatusCode::OK, &keys::jwks())
        }
        ["discovery", "instance"] => instance(call),
        ["adminconsent"] | ["v2.0", "adminconsent"] => browser::admin_consent(state, call, tenant),
        _ => Reply::empty(StatusCode::NOT_FOUND),
    }
}

/// `error` as JSON, for endpoints that programs call.
fn json_error(error: &Aadsts, call: &Call) -> Reply {
    Reply::json(error.status(), &error.body(call))
}

/// Whether a tenant segment is known; the multi-tenant names only for multi-tenant apps.
fn check_tenant(world: &World, tenant: &str, is_multi_tenant: bool) -> Result<(), Aadsts> {
    if tenant.eq_ignore_ascii_case(&world.tenant_id) || tenant.eq_ignore_ascii_case(&world.domain) {
        return Ok(());
    }
    match tenant.to_ascii_lowercase().as_str() {
        "common" | "organizations" if is_multi_tenant => Ok(()),
        "common" | "organizations" => Err(aadsts(50194)),
        "consumers" => Err(aadsts(9_002_346)),
        _ => Err(aadsts(90002).about(&format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud. Check with your subscription administrator, this may happen if there are no active \
             subscriptions for the tenant."
        ))),
    }
}

fn issuer(call: &Call, tenant_id: &str) -> String {
    format!("{}/{tenant_id}/v2.0", call.base)
}

/// OpenID discovery.
fn discovery(state: &TenantState, call: &Call, tenant: &str) -> Reply {
    let world = state.world();
    if let Err(error) = check_tenant(&world, tenant, true) {
        return json_error(&error, call);
    }
    let is_named = matches!(
        tenant.to_ascii_lowercase().as_str(),
        "common" | "organizations"
    );
    let issuer = if is_named {
        format!("{}/{{tenantid}}/v2.0", call.base)
    } else {
        issuer(call, &world.tenant_id)
    };
    // Endpoints keep the segment that was asked for, as the real ones do.
    let at = |path: &str| format!("{}/{tenant}/{path}", call.base);
    Reply::json(
        StatusCode::OK,
        &json!({
            "token_endpoint": at("oauth2/v2.0/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": at("discovery/v2.0/keys"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": issuer,
            "request_uri_parameter_supported": false,
            "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
            "authorization_endpoint": at("oauth2/v2.0/authorize"),
            "device_authorization_endpoint": at("oauth2/v2.0/devicecode"),
            "http_logout_supported": true,
            "frontchannel_logout_supported": true,
            "end_session_endpoint": at("oauth2/v2.0/logout"),
            "claims_supported": ["sub", "iss", "cloud_instance_name", "cloud_instance_host_name",
                "cloud_graph_host_name", "msgraph_host", "aud", "exp", "iat", "auth_time", "acr", "nonce",
                "preferred_username", "name", "tid", "ver", "at_hash", "c_hash", "email"],
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
            "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com",
        }),
    )
}

/// Instance discovery, which MSAL asks for unless told not to.
fn instance(call: &Call) -> Reply {
    let host = call.base.split("://").nth(1).unwrap_or("localhost");
    let authorize = call
        .query_value("authorization_endpoint")
        .unwrap_or_default();
    let endpoint = authorize.replace(
        "/oauth2/v2.0/authorize",
        "/v2.0/.well-known/openid-configuration",
    );
    Reply::json(
        StatusCode::OK,
        &json!({
            "tenant_discovery_endpoint": endpoint,
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }),
    )
}
