//! Signing in with a browser: codes, PKCE, prompts, refresh, and how sign-ins end.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use docket_tenant::DEMO_CLIENT_ID;
use jiff::SignedDuration;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use crate::client::{ANNA, SERVICE, World, expect};

const REDIRECT: &str = "http://localhost:41234/callback";
const SCOPE: &str = "openid profile offline_access Mail.Send Mail.ReadWrite";
const VERIFIER: &str = "a-verifier-that-is-long-enough-for-the-specification-0123";

pub(crate) fn url(world: &World, tail: &str) -> String {
    format!(
        "{}{}/{tail}",
        world.tenant.authority(),
        world.tenant.state().tenant_id()
    )
}

fn authorize_pairs(extra: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let mut pairs = vec![
        ("client_id", DEMO_CLIENT_ID.to_owned()),
        ("response_type", "code".to_owned()),
        ("redirect_uri", REDIRECT.to_owned()),
        ("scope", SCOPE.to_owned()),
        ("state", "st 1".to_owned()),
        ("nonce", "n-1".to_owned()),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256".to_owned()),
    ];
    for (name, value) in extra {
        pairs.retain(|(other, _)| other != name);
        pairs.push((name, value.clone()));
    }
    pairs
}

/// Picks `who` on the authorize page; returns the answer.
async fn choose(world: &World, who: &str, extra: &[(&'static str, String)]) -> Response {
    let mut pairs = authorize_pairs(extra);
    pairs.push(("choice", who.to_owned()));
    world
        .http
        .post(url(world, "oauth2/v2.0/authorize"))
        .form(&pairs)
        .send()
        .await
        .unwrap()
}

/// The parameters with which the browser was sent back.
fn sent_back(answer: &Response) -> Vec<(String, String)> {
    assert_eq!(answer.status(), StatusCode::FOUND);
    let location = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    assert_eq!(
        (location.host_str(), location.port(), location.path()),
        (Some("localhost"), Some(41234), "/callback")
    );
    location.query_pairs().into_owned().collect()
}

fn pick<'p>(pairs: &'p [(String, String)], name: &str) -> &'p str {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map_or("", |(_, value)| value)
}

async fn code(world: &World, who: &str) -> String {
    let pairs = sent_back(&choose(world, who, &[]).await);
    assert_eq!(pick(&pairs, "state"), "st 1");
    pick(&pairs, "code").to_owned()
}

pub(crate) async fn token(world: &World, form: &[(&str, &str)]) -> Response {
    world
        .http
        .post(url(world, "oauth2/v2.0/token?client-request-id=abc"))
        .form(form)
        .send()
        .await
        .unwrap()
}

pub(crate) fn secret(world: &World) -> String {
    world.tenant.state().client_secret(DEMO_CLIENT_ID).unwrap()
}

async fn redeem(world: &World, code: &str, verifier: &str, secret: &str) -> Response {
    token(
        world,
        &[
            ("client_id", DEMO_CLIENT_ID),
            ("client_secret", secret),
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
            ("scope", SCOPE),
            ("client_info", "1"),
            ("x-client-SKU", "test"),
        ],
    )
    .await
}

pub(crate) async fn refresh(world: &World, refresh_token: &str) -> Response {
    token(
        world,
        &[
            ("client_id", DEMO_CLIENT_ID),
            ("client_secret", &secret(world)),
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ],
    )
    .await
}

/// The number of the failure, its OAuth error and the status.
pub(crate) async fn failure(answer: Response) -> (u16, String, u64) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    for field in [
        "error_description",
        "timestamp",
        "trace_id",
        "correlation_id",
    ] {
        assert!(body[field].is_string(), "{field}: {body}");
    }
    let code = body["error_codes"][0].as_u64().unwrap();
    assert!(
        body["error_description"]
            .as_str()
            .unwrap()
            .starts_with(&format!("AADSTS{code}: "))
    );
    (status, body["error"].as_str().unwrap().to_owned(), code)
}

#[tokio::test]
async fn code_with_pkce_signs_in_and_refreshes() {
    let world = World::contoso().await;
    let page = world
        .http
        .get(url(&world, "oauth2/v2.0/authorize"))
        .query(&authorize_pairs(&[]))
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.unwrap();
    assert!(
        page.contains(SERVICE) && page.contains(ANNA),
        "the picker offers people"
    );
    assert!(
        !page.contains("contracts@contoso.example"),
        "and no shared mailboxes"
    );

    let code = code(&world, SERVICE).await;
    let body = expect(
        redeem(&world, &code, VERIFIER, &secret(&world)).await,
        StatusCode::OK,
    )
    .await;
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["scope"], "Mail.Send Mail.ReadWrite openid profile");
    assert!(body["ext_expires_in"].as_i64().unwrap() > 3000);
    let info = URL_SAFE_NO_PAD
        .decode(body["client_info"].as_str().unwrap())
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&info).unwrap()["utid"],
        world.tenant.state().tenant_id()
    );

    let access = body["access_token"].as_str().unwrap();
    let me = world
        .http
        .get(format!("{}v1.0/me/messages", world.tenant.graph()))
        .bearer_auth(access)
        .send()
        .await
        .unwrap();
    assert_eq!(me.status(), StatusCode::OK);

    // The id token verifies against the published key.
    let id_token = body["id_token"].as_str().unwrap();
    let keys: Value = world
        .http
        .get(url(&world, "discovery/v2.0/keys"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let key = &keys["keys"][0];
    let key = jsonwebtoken::DecodingKey::from_rsa_components(
        key["n"].as_str().unwrap(),
        key["e"].as_str().unwrap(),
    )
    .unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_audience(&[DEMO_CLIENT_ID]);
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Value>(id_token, &key, &validation)
        .unwrap()
        .claims;
    assert_eq!(claims["preferred_username"], SERVICE);
    assert_eq!(claims["nonce"], "n-1");
    let discovery = url(&world, "v2.0/.well-known/openid-configuration");
    let discovery: Value = world
        .http
        .get(discovery)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(claims["iss"], discovery["issuer"]);

    // Rotation hands out a new token and leaves the old one alive.
    let first = body["refresh_token"].as_str().unwrap();
    let next = expect(refresh(&world, first).await, StatusCode::OK).await;
    assert_ne!(next["refresh_token"], body["refresh_token"]);
    assert_eq!(refresh(&world, first).await.status(), StatusCode::OK);
    assert_eq!(
        refresh(&world, next["refresh_token"].as_str().unwrap())
            .await
            .status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn codes_fail_as_documented() {
    let world = World::contoso().await;
    let good = secret(&world);
    let fresh = code(&world, SERVICE).await;
    assert_eq!(
        failure(redeem(&world, &fresh, "wrong", &good).await).await,
        (400, "invalid_grant".into(), 501_481)
    );
    assert_eq!(
        failure(redeem(&world, &fresh, VERIFIER, "nonsense").await).await,
        (401, "invalid_client".into(), 7_000_215)
    );
    assert_eq!(
        redeem(&world, &fresh, VERIFIER, &good).await.status(),
        StatusCode::OK
    );
    assert_eq!(
        failure(redeem(&world, &fresh, VERIFIER, &good).await)
            .await
            .2,
        54005,
        "codes work once"
    );
    let late = code(&world, SERVICE).await;
    world.clock.advance(SignedDuration::from_mins(11));
    assert_eq!(
        failure(redeem(&world, &late, VERIFIER, &good).await)
            .await
            .2,
        70008
    );

    let state = world.tenant.state();
    state.expire_secret(DEMO_CLIENT_ID, None).unwrap();
    let next = code(&world, SERVICE).await;
    assert_eq!(
        failure(redeem(&world, &next, VERIFIER, &good).await).await,
        (401, "invalid_client".into(), 7_000_222)
    );
    let later = world
        .tenant
        .state()
        .now()
        .checked_add(SignedDuration::from_hours(24))
        .unwrap();
    let second = state.add_secret(DEMO_CLIENT_ID, later).unwrap();
    assert_eq!(
        redeem(&world, &next, VERIFIER, &second.value)
            .await
            .status(),
        StatusCode::OK,
        "the code survived"
    );
}

#[tokio::test]
async fn redirects_and_prompts() {
    let world = World::contoso().await;
    let wrong = choose(
        &world,
        SERVICE,
        &[("redirect_uri", "http://localhost:1/other".to_owned())],
    )
    .await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    assert!(
        wrong.text().await.unwrap().contains("AADSTS50011"),
        "shown, not redirected"
    );

    let cancelled = sent_back(&choose(&world, "", &[]).await);
    assert_eq!(pick(&cancelled, "error"), "access_denied");

    let fragment = choose(&world, SERVICE, &[("response_mode", "fragment".to_owned())]).await;
    assert!(
        fragment.headers()["location"]
            .to_str()
            .unwrap()
            .contains("/callback#code=")
    );
    let post = choose(
        &world,
        SERVICE,
        &[("response_mode", "form_post".to_owned())],
    )
    .await;
    assert!(
        post.text()
            .await
            .unwrap()
            .contains("action=\"http://localhost:41234/callback\"")
    );

    let silent = |cookie: Option<String>| {
        let pairs = authorize_pairs(&[("prompt", "none".to_owned())]);
        let request = world
            .http
            .get(url(&world, "oauth2/v2.0/authorize"))
            .query(&pairs);
        cookie
            .map_or_else(
                || request.try_clone().unwrap(),
                |cookie| request.try_clone().unwrap().header("cookie", cookie),
            )
            .send()
    };
    let nobody = sent_back(&silent(None).await.unwrap());
    assert_eq!(pick(&nobody, "error"), "login_required");
    let signed_in = choose(&world, SERVICE, &[]).await;
    let cookie = signed_in.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let somebody = sent_back(&silent(Some(cookie)).await.unwrap());
    assert!(!pick(&somebody, "code").is_empty());
}

#[tokio::test]
async fn sign_ins_end_by_client_kind() {
    let world = World::contoso().await;
    let state = world.tenant.state();
    let confidential = state
        .refresh_token(DEMO_CLIENT_ID, SERVICE, &["Mail.Send"])
        .unwrap();
    state.change_password(SERVICE).unwrap();
    assert_eq!(
        refresh(&world, &confidential).await.status(),
        StatusCode::OK,
        "confidential sign-ins live on"
    );

    let check = async |change: fn(&mut docket_tenant::UserState), expected: (u16, &str, u64)| {
        state.set_user_state(SERVICE, change).unwrap();
        let (status, error, code) = failure(refresh(&world, &confidential).await).await;
        assert_eq!((status, error.as_str(), code), expected);
        state
            .set_user_state(SERVICE, |state| {
                *state = docket_tenant::UserState::default()
            })
            .unwrap();
    };
    check(|state| state.disabled = true, (400, "invalid_grant", 50057)).await;
    check(|state| state.locked = true, (400, "invalid_grant", 50053)).await;
    check(
        |state| state.mfa_demanded = true,
        (400, "interaction_required", 50076),
    )
    .await;
    check(
        |state| state.blocked_by_policy = true,
        (400, "invalid_grant", 53003),
    )
    .await;
    check(
        |state| state.password_expired = true,
        (400, "invalid_grant", 50055),
    )
    .await;

    state.revoke_sign_ins(SERVICE).unwrap();
    assert_eq!(failure(refresh(&world, &confidential).await).await.2, 50173);
    let idle = state
        .refresh_token(DEMO_CLIENT_ID, SERVICE, &["Mail.Send"])
        .unwrap();
    world.clock.advance(SignedDuration::from_hours(24 * 91));
    assert_eq!(failure(refresh(&world, &idle).await).await.2, 700_082);
}
