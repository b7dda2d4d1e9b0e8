//! `/token`: codes, refresh tokens, client credentials and device codes into tokens.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use jiff::SignedDuration;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::config::RedirectKind;
use crate::identity::aadsts::{Aadsts, aadsts};
use crate::identity::directory::{AccessToken, RefreshToken};
use crate::identity::scopes::{self, Granted};
use crate::identity::{assertion, check_tenant, device, issuer, json_error, keys};
use crate::state::{SignInRecord, TenantState};
use crate::store::World;
use crate::wire::{Call, Reply};

/// A token request whose app is known.
pub(crate) struct TokenCall<'a> {
    pub(crate) call: &'a Call,
    pub(crate) tenant: &'a str,
    pub(crate) form: Vec<(String, String)>,
    /// Lower case.
    pub(crate) client_id: String,
    /// Whether a secret or assertion was shown, and was right.
    pub(crate) is_confidential: bool,
}

impl TokenCall<'_> {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.form
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the `claims` declare `cp1`: the client answers claims challenges.
    fn answers_claims(&self) -> bool {
        let claims = self
            .get("claims")
            .and_then(|text| serde_json::from_str::<Value>(text).ok());
        claims
            .as_ref()
            .and_then(|claims| claims.pointer("/access_token/xms_cc/values")?.as_array())
            .is_some_and(|values| values.iter().any(|value| value == "cp1"))
    }

    fn required(&self, name: &str) -> Result<&str, Aadsts> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                aadsts(900_144).about(&format!(
                    "The request body must contain the following parameter: '{name}'."
                ))
            })
    }
}

/// Who signed in and how; what a delegated token is made of.
pub(crate) struct SignIn {
    pub(crate) account: usize,
    pub(crate) kind: RedirectKind,
    pub(crate) scope_text: String,
    pub(crate) nonce: Option<String>,
    pub(crate) stamp: u64,
    /// When the user signed in.
    pub(crate) signed_in: jiff::Timestamp,
    /// An SPA's refresh tokens keep their first end.
    pub(crate) fixed_end: Option<jiff::Timestamp>,
}

/// Answers the token endpoint.
pub(crate) fn handle(
    state: &TenantState,
    call: &Call,
    tenant: &str,
    scripted: Option<u32>,
) -> Reply {
    let record = record(state, call);
    let answer = match scripted {
        Some(code) => Err(aadsts(code)),
        None => run(state, call, tenant),
    };
    let refusal = answer.as_ref().err().map(|error| error.code);
    // A device that waits for its user asks over and over.
    if refusal != Some(70016) {
        state.record_sign_in(SignInRecord { refusal, ..record });
    }
    match answer {
        Ok(body) => Reply::json(StatusCode::OK, &Value::Object(body)).with("pragma", "no-cache"),
        Err(error) => json_error(&error, call),
    }
}

/// What the sign-in log says of a request, before it is known how it ends.
fn record(state: &TenantState, call: &Call) -> SignInRecord {
    let form = call.form();
    let get = |name: &str| {
        form.iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str())
    };
    let basic = call.header("authorization").and_then(read_basic);
    let client_id = match &basic {
        Some((id, _)) if get("client_id").is_empty() => id.as_str(),
        _ => get("client_id"),
    };
    let world = state.world();
    let directory = &world.directory;
    let account = match get("grant_type") {
        "authorization_code" => directory.codes.get(get("code")).map(|code| code.account),
        "refresh_token" => directory
            .refresh
            .get(get("refresh_token"))
            .map(|token| token.account),
        "client_credentials" => None,
        _ => directory
            .devices
            .get(get("device_code"))
            .and_then(|device| device.outcome?.ok()),
    };
    let credential = if !get("client_assertion").is_empty() {
        "certificate"
    } else if !get("client_secret").is_empty() || basic.is_some() {
        "secret"
    } else {
        "none"
    };
    let grant = get("grant_type").rsplit(':').next().unwrap_or_default();
    SignInRecord {
        at: call.now,
        client_id: client_id.to_owned(),
        app: directory
            .app(client_id)
            .map_or_else(String::new, |app| app.config.name.clone()),
        grant: grant.to_owned(),
        user: account.map(|account| world.accounts[account].user.upn.clone()),
        credential: credential.to_owned(),
        refusal: None,
    }
}

fn run(state: &TenantState, call: &Call, tenant: &str) -> Result<Map<String, Value>, Aadsts> {
    let form = call.form();
    let find = |name: &str| {
        form.iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    let basic = call.header("authorization").and_then(read_basic);
    let client_id = find("client_id")
        .or_else(|| basic.as_ref().map(|(id, _)| id.clone()))
        .unwrap_or_default();
    let grant = find("grant_type").unwrap_or_default();
    let mut world = state.world();
    let world = &mut *world;
    let app = world.directory.app(&client_id).ok_or_else(|| {
        aadsts(700_016).about(&format!(
            "Application with identifier '{client_id}' was not found in the directory '{}'. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the \
             tenant. You may have sent your authentication request to the wrong tenant.",
            world.display_name
        ))
    })?;
    check_tenant(world, tenant, app.config.is_multi_tenant)?;
    if !app.config.is_enabled {
        return Err(aadsts(7_000_112).about(&format!(
            "Application '{client_id}'({}) is disabled.",
            app.config.name
        )));
    }
    let secret = find("client_secret")
        .filter(|secret| !secret.is_empty())
        .or_else(|| basic.map(|(_, secret)| secret));
    let mut is_confidential = false;
    if let Some(secret) = secret {
        check_secret(world, &client_id, &secret, call)?;
        is_confidential = true;
    } else if let Some(jwt) = find("client_assertion") {
        assertion::check(
            world,
            call,
            tenant,
            &client_id,
            find("client_assertion_type").as_deref(),
            &jwt,
        )?;
        is_confidential = true;
    }
    let request = TokenCall {
        call,
        tenant,
        form,
        client_id: client_id.to_ascii_lowercase(),
        is_confidential,
    };
    match grant.as_str() {
        "authorization_code" => from_code(world, &request),
        "refresh_token" => from_refresh(world, &request),
        "client_credentials" => app_only(world, &request),
        "urn:ietf:params:oauth:grant-type:device_code" | "device_code" => {
            device::redeem(world, &request)
        }
        other => Err(aadsts(70003).about(&format!(
            "The app requested an unsupported grant type '{other}'."
        ))),
    }
}

/// HTTP Basic: both parts are form-encoded (RFC 6749, 2.3.1).
fn read_basic(header: &str) -> Option<(String, String)> {
    let encoded = header
        .strip_prefix("Basic ")
        .or_else(|| header.strip_prefix("basic "))?;
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |part: &str| {
        percent_decode_str(&part.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    Some((decode(id), decode(secret)))
}

fn check_secret(world: &World, client_id: &str, secret: &str, call: &Call) -> Result<(), Aadsts> {
    let app = world
        .directory
        .app(client_id)
        .ok_or_else(|| aadsts(700_016))?;
    let Some(known) = app.secrets.iter().find(|known| known.value == secret) else {
        return Err(aadsts(7_000_215).about(&format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
             not the client secret ID, for a secret added to app '{client_id}'."
        )));
    };
    if known.expires <= call.now {
        return Err(aadsts(7_000_222).about(&format!(
            "The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to create new \
             keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added \
             security: https://aka.ms/certCreds."
        )));
    }
    Ok(())
}

/// Whether the kind of client fits the credential that was (not) shown.
fn check_kind(request: &TokenCall<'_>, kind: RedirectKind) -> Result<(), Aadsts> {
    match kind {
        RedirectKind::Web if !request.is_confidential => Err(aadsts(7_000_218)),
        RedirectKind::Public | RedirectKind::Spa if request.is_confidential => Err(aadsts(700_025)),
        _ => Ok(()),
    }
}

/// Why this account gets no tokens at all, if so.
pub(crate) fn blocked(world: &World, account: usize) -> Option<Aadsts> {
    let state = world.accounts[account].state;
    match () {
        () if state.disabled => Some(aadsts(50057)),
        () if state.locked => Some(aadsts(50053)),
        () if state.password_expired => Some(aadsts(50055)),
        () if state.blocked_by_policy => Some(aadsts(53003)),
        () if state.unassigned => Some(aadsts(50105)),
        () => None,
    }
}

fn from_code(world: &mut World, request: &TokenCall<'_>) -> Result<Map<String, Value>, Aadsts> {
    let code = request.required("code")?.to_owned();
    let grant = world.directory.codes.get_mut(&code).ok_or_else(|| {
        aadsts(70000).about("The provided authorization code is invalid or malformed.")
    })?;
    if *grant.client_id != *request.client_id {
        return Err(
            aadsts(70000).about("The provided authorization code was issued to another client.")
        );
    }
    if grant.used {
        return Err(aadsts(54005));
    }
    if grant.expires <= request.call.now {
        return Err(aadsts(70008));
    }
    if grant.tenant != request.tenant.to_ascii_lowercase() {
        return Err(aadsts(700_005));
    }
    if request
        .get("redirect_uri")
        .is_some_and(|uri| uri != grant.redirect_uri)
    {
        return Err(aadsts(500_112));
    }
    check_kind(request, grant.kind)?;
    if grant.kind == RedirectKind::Spa && grant.challenge.is_none() {
        return Err(aadsts(9_002_325));
    }
    if let Some((challenge, is_s256)) = &grant.challenge {
        let verifier = request.get("code_verifier").unwrap_or("");
        let shown = if *is_s256 {
            URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
        } else {
            verifier.to_owned()
        };
        if shown != *challenge {
            return Err(aadsts(501_481));
        }
    }
    grant.used = true;
    let grant = grant.clone();
    if let Some(error) = blocked(world, grant.account) {
        return Err(error);
    }
    // The scopes of the code count when the redemption names none.
    let scope_text = request
        .get("scope")
        .map_or_else(|| grant.scopes.join(" "), str::to_owned);
    let stamp = world.directory.new_stamp();
    let sign_in = SignIn {
        account: grant.account,
        kind: grant.kind,
        scope_text,
        nonce: grant.nonce,
        stamp,
        signed_in: request.call.now,
        fixed_end: None,
    };
    issue(world, request, sign_in)
}

fn from_refresh(world: &mut World, request: &TokenCall<'_>) -> Result<Map<String, Value>, Aadsts> {
    let name = request.required("refresh_token")?;
    let known = world.directory.refresh.get(name).cloned().ok_or_else(|| {
        aadsts(70000)
            .about("The provided value for the input parameter 'refresh_token' is not valid.")
    })?;
    if *known.client_id != *request.client_id {
        return Err(aadsts(70000).about("The refresh token was issued to another client."));
    }
    check_kind(request, known.kind)?;
    if known.expires <= request.call.now {
        return Err(aadsts(if known.kind == RedirectKind::Spa {
            700_084
        } else {
            700_082
        }));
    }
    let account = &world.accounts[known.account];
    if known.stamp <= account.revoked_before {
        return Err(aadsts(50173));
    }
    // A changed password ends only public clients' sign-ins (refresh-tokens.md).
    if known.kind != RedirectKind::Web && known.stamp <= account.password_changed_before {
        return Err(aadsts(50173));
    }
    if let Some(error) = blocked(world, known.account) {
        return Err(error);
    }
    if known.stamp <= account.fresh_needed_before {
        return Err(aadsts(50076));
    }
    let frequency = world.timings.sign_in_frequency;
    if frequency.is_some_and(|most| request.call.now.duration_since(known.signed_in) >= most) {
        return Err(aadsts(70043));
    }
    let scope_text = request
        .get("scope")
        .map_or_else(|| known.scopes.join(" "), str::to_owned);
    let fixed_end = (known.kind == RedirectKind::Spa).then_some(known.expires);
    // An inactive token is one that is not used: using it keeps it.
    let lived = request
        .call
        .now
        .checked_add(world.timings.refresh_token)
        .unwrap_or(request.call.now);
    if let Some(token) = world.directory.refresh.get_mut(name)
        && fixed_end.is_none()
    {
        token.expires = lived;
    }
    let mut sign_in = SignIn {
        account: known.account,
        kind: known.kind,
        scope_text,
        nonce: None,
        stamp: known.stamp,
        signed_in: known.signed_in,
        fixed_end,
    };
    if !sign_in.scope_text.contains("offline_access") {
        sign_in.scope_text.push_str(" offline_access");
    }
    issue(world, request, sign_in)
}

fn app_only(world: &mut World, request: &TokenCall<'_>) -> Result<Map<String, Value>, Aadsts> {
    if matches!(
        request.tenant.to_ascii_lowercase().as_str(),
        "common" | "organizations" | "consumers"
    ) {
        return Err(aadsts(9_001_023));
    }
    if !request.is_confidential {
        return Err(aadsts(7_000_218));
    }
    let scope = request.required("scope")?;
    let requested = scopes::parse(scope)?;
    if !requested.is_default || !requested.graph.is_empty() {
        return Err(aadsts(1_002_012).about(&format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with \
             /.default suffixed to the resource identifier (application ID URI)."
        )));
    }
    let app = world
        .directory
        .app(&request.client_id)
        .ok_or_else(|| aadsts(700_016))?;
    // An app without roles gets a token too; Graph refuses it later.
    let roles = app.config.roles.clone();
    let access = issue_access(world, request, None, 0, roles);
    let mut body = Map::new();
    lifetimes(world, &mut body);
    body.insert("access_token".into(), access.into());
    Ok(body)
}

fn lifetimes(world: &World, body: &mut Map<String, Value>) {
    let seconds = world.timings.access_token.as_secs();
    body.insert("token_type".into(), "Bearer".into());
    body.insert("expires_in".into(), seconds.into());
    body.insert("ext_expires_in".into(), seconds.into());
}

fn issue_access(
    world: &mut World,
    request: &TokenCall<'_>,
    account: Option<usize>,
    stamp: u64,
    scopes: Vec<String>,
) -> String {
    let now = request.call.now;
    let expires = now.checked_add(world.timings.access_token).unwrap_or(now);
    let token = AccessToken {
        client_id: request.client_id.as_str().into(),
        account,
        scopes: scopes.into(),
        expires,
        stamp,
        answers_claims: request.answers_claims(),
    };
    world.directory.issue_access(token, now)
}

/// Everything that a delegated sign-in gets.
pub(crate) fn issue(
    world: &mut World,
    request: &TokenCall<'_>,
    sign_in: SignIn,
) -> Result<Map<String, Value>, Aadsts> {
    let requested = scopes::parse(&sign_in.scope_text)?;
    let app = world
        .directory
        .app(&request.client_id)
        .ok_or_else(|| aadsts(700_016))?;
    let Granted { names, mut shown } = scopes::grant(app, sign_in.account, &requested)?;
    shown.extend(
        requested
            .oidc
            .iter()
            .filter(|scope| *scope != "offline_access")
            .cloned(),
    );
    let access = issue_access(world, request, Some(sign_in.account), sign_in.stamp, names);
    let mut body = Map::new();
    lifetimes(world, &mut body);
    body.insert("scope".into(), shown.join(" ").into());
    body.insert("access_token".into(), access.into());
    if requested.has("offline_access") {
        let now = request.call.now;
        let life = match sign_in.kind {
            RedirectKind::Spa => SignedDuration::from_hours(24),
            RedirectKind::Web | RedirectKind::Public => world.timings.refresh_token,
        };
        let token = RefreshToken {
            client_id: request.client_id.as_str().into(),
            account: sign_in.account,
            scopes: sign_in
                .scope_text
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            kind: sign_in.kind,
            expires: sign_in
                .fixed_end
                .unwrap_or_else(|| now.checked_add(life).unwrap_or(now)),
            stamp: sign_in.stamp,
            signed_in: sign_in.signed_in,
        };
        body.insert(
            "refresh_token".into(),
            world.directory.issue_refresh(token).into(),
        );
    }
    if requested.has("openid") {
        let id_token = id_token(world, request, &sign_in)?;
        body.insert("id_token".into(), id_token.into());
    }
    if request.get("client_info").is_some() {
        body.insert(
            "client_info".into(),
            client_info(world, sign_in.account).into(),
        );
    }
    Ok(body)
}

/// `{"uid","utid"}`, which MSAL asks for.
pub(crate) fn client_info(world: &World, account: usize) -> String {
    let info = json!({"uid": world.accounts[account].user.id, "utid": world.tenant_id});
    URL_SAFE_NO_PAD.encode(info.to_string())
}

fn id_token(world: &World, request: &TokenCall<'_>, sign_in: &SignIn) -> Result<String, Aadsts> {
    let user = &world.accounts[sign_in.account].user;
    let now = request.call.now.as_second();
    let audience = world
        .directory
        .app(&request.client_id)
        .map_or("", |app| app.config.client_id.as_str());
    let mut claims = json!({
        "aud": audience,
        "iss": issuer(request.call, &world.tenant_id),
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
        "name": user.display_name,
        "oid": user.id,
        "preferred_username": user.upn,
        "rh": crate::guid::random_name(24),
        "sub": crate::guid::named_guid(&format!("{} {}", request.client_id, user.id)),
        "tid": world.tenant_id,
        "uti": crate::guid::random_name(16),
        "ver": "2.0",
    });
    if let Some(nonce) = &sign_in.nonce {
        claims["nonce"] = nonce.clone().into();
    }
    keys::sign(&claims).ok_or_else(|| aadsts(90033))
}
