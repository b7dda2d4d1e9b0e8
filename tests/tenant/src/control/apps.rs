//! App registrations by control: made, changed, looked at; their secrets and consents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{
    AppConfig, CertificateConfig, RbacGrant, RedirectKind, RedirectUri, SecretConfig,
};
use crate::control::{Done, Refusal};
use crate::state::TenantState;
use crate::wire::Call;

/// Answers what is below `/_tenant/apps`; `None` when nothing is.
pub(super) fn route(state: &TenantState, call: &Call, parts: &[&str]) -> Option<Done> {
    let body = &call.body;
    let done = match (call.method.as_str(), parts) {
        ("POST", []) => register(state, body),
        ("GET", [app]) => about(state, app),
        ("PATCH", [app]) => change(state, app, body),
        ("GET", [app, "secret"]) => match state.client_secret(app) {
            Some(secret) => Ok(Some(json!({"value": secret}))),
            None => Err(unknown(app)),
        },
        ("POST", [app, "secrets"]) => {
            let days = serde_json::from_slice::<NewSecretRequest>(body)
                .map_or(SECRET_DAYS, |new| new.days);
            add_secret(state, app, days).map(Some)
        }
        ("DELETE", [app, "secrets"]) => none(state.expire_secret(app, None)),
        ("DELETE", [app, "secrets", id]) => none(state.expire_secret(app, Some(id))),
        ("DELETE", [app, "consents"]) => none(state.revoke_consent(app, None)),
        ("DELETE", [app, "consents", user]) => none(state.revoke_consent(app, Some(user))),
        ("DELETE", [app, "scopes", scope]) => none(state.set_app(app, |app| {
            let is_other = |other: &String| !other.eq_ignore_ascii_case(scope);
            app.delegated.retain(is_other);
            app.roles.retain(is_other);
        })),
        _ => return None,
    };
    Some(done)
}

fn none(done: Result<(), crate::error::TenantError>) -> Done {
    Ok(done.map(|()| None)?)
}

fn unknown(app: &str) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, format!("no such app: {app}"))
}

/// The life of a secret that nobody gave one, in days.
const SECRET_DAYS: i64 = 180;

#[derive(Deserialize)]
struct NewSecretRequest {
    days: i64,
}

#[derive(Deserialize)]
struct Redirect {
    uri: String,
    kind: RedirectKind,
}

#[derive(Deserialize)]
struct Grant {
    role: String,
    mailboxes: Vec<String>,
}

/// What of a registration is named; the rest stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    client_id: Option<String>,
    name: Option<String>,
    redirects: Option<Vec<Redirect>>,
    /// How many secrets to make; only when the app is registered.
    secrets: Option<usize>,
    /// Their life in days.
    secret_days: Option<i64>,
    /// Certificates as PEM.
    certificates: Option<Vec<String>>,
    allow_public_client: Option<bool>,
    is_multi_tenant: Option<bool>,
    is_enabled: Option<bool>,
    delegated: Option<Vec<String>>,
    admin_consented: Option<bool>,
    roles: Option<Vec<String>>,
    access_policy: Option<Vec<String>>,
    rbac: Option<Vec<Grant>>,
}

impl Named {
    fn apply(self, app: &mut AppConfig) -> Result<(), Refusal> {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        set(&mut app.name, self.name);
        set(&mut app.allow_public_client, self.allow_public_client);
        set(&mut app.is_multi_tenant, self.is_multi_tenant);
        set(&mut app.is_enabled, self.is_enabled);
        set(&mut app.delegated, self.delegated);
        set(&mut app.admin_consented, self.admin_consented);
        set(&mut app.roles, self.roles);
        if self.access_policy.is_some() {
            app.access_policy = self.access_policy;
        }
        if let Some(redirects) = self.redirects {
            app.redirects = redirects
                .into_iter()
                .map(|Redirect { uri, kind }| RedirectUri { uri, kind })
                .collect();
        }
        if let Some(grants) = self.rbac {
            app.rbac = grants
                .into_iter()
                .map(|Grant { role, mailboxes }| RbacGrant { role, mailboxes })
                .collect();
        }
        if let Some(certificates) = self.certificates {
            app.certificates = certificates
                .iter()
                .map(|pem| der(pem).map(|der| CertificateConfig { der }))
                .collect::<Result<_, _>>()?;
        }
        Ok(())
    }
}

/// The bytes of a certificate in PEM (RFC 7468).
fn der(pem: &str) -> Result<Vec<u8>, Refusal> {
    let inner: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .flat_map(str::chars)
        .filter(|letter| !letter.is_whitespace())
        .collect();
    STANDARD.decode(inner).map_err(|error| {
        let text = format!("the certificate is no PEM: {error}");
        Refusal(StatusCode::BAD_REQUEST, text)
    })
}

fn register(state: &TenantState, body: &[u8]) -> Done {
    let named: Named = serde_json::from_slice(body)?;
    let client_id = named.client_id.clone().unwrap_or_else(crate::guid::guid);
    let (count, days) = (named.secrets.unwrap_or(0), named.secret_days);
    let mut app = AppConfig::new(&client_id, "");
    named.apply(&mut app)?;
    let expires = in_days(state, days.unwrap_or(SECRET_DAYS));
    app.secrets = (0..count.min(100))
        .map(|_| SecretConfig {
            id: crate::guid::guid(),
            value: None,
            expires: Some(expires),
        })
        .collect();
    state.add_app(app);
    let world = state.world();
    let made = world.directory.app(&client_id);
    let secrets: Vec<Value> = made.map_or_else(Vec::new, |app| {
        let show = |secret: &crate::identity::directory::Secret| json!({"id": secret.id, "value": secret.value, "expires": secret.expires});
        app.secrets.iter().map(show).collect()
    });
    Ok(Some(json!({"client_id": client_id, "secrets": secrets})))
}

fn in_days(state: &TenantState, days: i64) -> Timestamp {
    let life = SignedDuration::from_hours(24 * days.clamp(-3650, 3650));
    state.now().checked_add(life).unwrap_or(Timestamp::MAX)
}

fn add_secret(state: &TenantState, app: &str, days: i64) -> Result<Value, Refusal> {
    let secret = state.add_secret(app, in_days(state, days))?;
    Ok(serde_json::to_value(secret)?)
}

fn change(state: &TenantState, app: &str, body: &[u8]) -> Done {
    let named: Named = serde_json::from_slice(body)?;
    let mut applied = Ok(());
    state.set_app(app, |config| applied = named.apply(config))?;
    applied?;
    Ok(None)
}

/// A registration without the values of its secrets.
fn about(state: &TenantState, app: &str) -> Done {
    let world = state.world();
    let app = world.directory.app(app).ok_or_else(|| unknown(app))?;
    let config = &app.config;
    let secrets: Vec<Value> = app
        .secrets
        .iter()
        .map(|secret| json!({"id": secret.id, "expires": secret.expires}))
        .collect();
    let consents: Vec<Value> = app
        .consents
        .iter()
        .map(|(account, scopes)| json!({"user": world.accounts[*account].user.upn, "scopes": scopes}))
        .collect();
    let assertion = app
        .last_assertion
        .map(|(alg, thumbprint)| json!({"alg": alg, "thumbprint": thumbprint}));
    Ok(Some(json!({
        "client_id": config.client_id,
        "name": config.name,
        "redirects": config.redirects.iter().map(|one| json!({"uri": one.uri, "kind": one.kind})).collect::<Vec<_>>(),
        "secrets": secrets,
        "certificates": config.certificates.len(),
        "last_assertion": assertion,
        "allow_public_client": config.allow_public_client,
        "is_multi_tenant": config.is_multi_tenant,
        "is_enabled": config.is_enabled,
        "delegated": config.delegated,
        "admin_consented": config.admin_consented,
        "consents": consents,
        "roles": config.roles,
        "access_policy": config.access_policy,
        "rbac": config.rbac.iter().map(|one| json!({"role": one.role, "mailboxes": one.mailboxes})).collect::<Vec<_>>(),
    })))
}
