//! What an administrator steers by the control API, and what users and clients notice of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docket_tenant::{DEMO_CLIENT_ID, Policies, ThrottleConfig};
use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{ANNA, BEN, INVOICES, SERVICE, World, expect, mail, refusal};
use crate::identity::{failure, refresh, token, url};

async fn control(world: &World, method: Method, path: &str, body: &Value) -> Value {
    let address = format!("{}_tenant/{path}", world.tenant.plain());
    let mut request = world.http.request(method, address);
    if !body.is_null() {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

#[tokio::test]
async fn apps_are_registered_changed_and_shown_without_their_secrets() {
    let world = World::contoso().await;
    let app = json!({"name": "by control", "secrets": 2, "secret_days": 30, "roles": ["Mail.Read"],
        "redirects": [{"uri": "http://localhost/cb", "kind": "web"}],
        "rbac": [{"role": "Mail.Send", "mailboxes": [INVOICES]}]});
    let made = control(&world, Method::POST, "apps", &app).await;
    let id = made["client_id"].as_str().unwrap();
    let form = |secret: &Value| {
        [
            ("client_id", id.to_owned()),
            ("client_secret", secret.as_str().unwrap().to_owned()),
            ("grant_type", "client_credentials".to_owned()),
            ("scope", "https://graph.microsoft.com/.default".to_owned()),
        ]
    };
    let ask = async |secret: &Value| {
        let form = form(secret);
        let pairs: Vec<(&str, &str)> = form
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        token(&world, &pairs).await
    };
    for secret in made["secrets"].as_array().unwrap() {
        assert_eq!(ask(&secret["value"]).await.status(), StatusCode::OK);
    }
    let shown = control(&world, Method::GET, &format!("apps/{id}"), &Value::Null).await;
    assert_eq!(shown["secrets"].as_array().unwrap().len(), 2);
    assert_eq!(shown["rbac"][0]["mailboxes"][0], INVOICES);
    for secret in made["secrets"].as_array().unwrap() {
        assert!(
            !shown
                .to_string()
                .contains(secret["value"].as_str().unwrap())
        );
    }
    let days = SignedDuration::from_hours(24 * 31);
    control(
        &world,
        Method::POST,
        "clock",
        &json!({"advance_seconds": days.as_secs()}),
    )
    .await;
    let late = failure(ask(&made["secrets"][0]["value"]).await).await;
    assert_eq!(late, (401, "invalid_client".into(), 7_000_222));
    control(
        &world,
        Method::PATCH,
        &format!("apps/{id}"),
        &json!({"is_enabled": false}),
    )
    .await;
    let off = failure(ask(&made["secrets"][0]["value"]).await).await;
    assert_eq!(off, (400, "unauthorized_client".into(), 7_000_112));

    let log = control(&world, Method::GET, "sign-ins", &Value::Null).await;
    let seen: Vec<(&str, &str, Option<u64>)> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or_default();
            (text("app"), text("credential"), one["refusal"].as_u64())
        })
        .collect();
    let by = |refusal| ("by control", "secret", refusal);
    assert_eq!(
        seen,
        [by(None), by(None), by(Some(7_000_222)), by(Some(7_000_112))]
    );
}

#[tokio::test]
async fn a_fresh_sign_in_is_demanded_of_old_ones_only() {
    let world = World::contoso().await;
    let state = world.tenant.state();
    let old = state
        .refresh_token(DEMO_CLIENT_ID, SERVICE, &["Mail.Send"])
        .unwrap();
    let capable = json!({"access_token": {"xms_cc": {"values": ["cp1"]}}}).to_string();
    let secret = state.client_secret(DEMO_CLIENT_ID).unwrap();
    let issue = async |name: &str| {
        token(
            &world,
            &[
                ("client_id", DEMO_CLIENT_ID),
                ("client_secret", &secret),
                ("grant_type", "refresh_token"),
                ("refresh_token", name),
                ("scope", "Mail.ReadWrite"),
                ("claims", &capable),
            ],
        )
        .await
    };
    let access = expect(issue(&old).await, StatusCode::OK).await["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let list = async |token: &str| {
        let url = format!("{}v1.0/me/messages", world.tenant.graph());
        world.http.get(url).bearer_auth(token).send().await.unwrap()
    };
    assert_eq!(list(&access).await.status(), StatusCode::OK);
    state
        .set_user_state(SERVICE, |state| state.mfa_demanded = true)
        .unwrap();
    let challenged = list(&access).await;
    let header = challenged.headers()["www-authenticate"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(challenged.status(), StatusCode::UNAUTHORIZED);
    assert!(header.contains("error=\"insufficient_claims\""), "{header}");
    let claims = header
        .split("claims=\"")
        .nth(1)
        .unwrap()
        .trim_end_matches('"');
    let claims: Value = serde_json::from_slice(&STANDARD.decode(claims).unwrap()).unwrap();
    assert!(claims["access_token"].is_object());
    assert_eq!(
        list(&world.token).await.status(),
        StatusCode::OK,
        "a client that did not declare cp1 keeps its token"
    );
    assert_eq!(
        failure(issue(&old).await).await,
        (400, "interaction_required".into(), 50076)
    );
    let fresh = state
        .refresh_token(DEMO_CLIENT_ID, SERVICE, &["Mail.Send"])
        .unwrap();
    assert_eq!(
        issue(&fresh).await.status(),
        StatusCode::OK,
        "what is signed in afresh goes on"
    );
}

#[tokio::test]
async fn sign_in_frequency_and_password_resets_end_refreshing() {
    let world = World::contoso().await;
    let state = world.tenant.state();
    let new = || {
        state
            .refresh_token(DEMO_CLIENT_ID, SERVICE, &["Mail.Send"])
            .unwrap()
    };
    let frequency = json!({"sign_in_frequency_seconds": 3600, "device_interval_seconds": 1});
    control(&world, Method::PUT, "timings", &frequency).await;
    let held = new();
    state.advance(SignedDuration::from_mins(50));
    let rotated = expect(refresh(&world, &held).await, StatusCode::OK).await;
    state.advance(SignedDuration::from_mins(20));
    let rotated = rotated["refresh_token"].as_str().unwrap();
    assert_eq!(
        failure(refresh(&world, rotated).await).await.2,
        70043,
        "use does not renew it"
    );
    control(
        &world,
        Method::PUT,
        "timings",
        &json!({"sign_in_frequency_seconds": null}),
    )
    .await;
    assert_eq!(refresh(&world, rotated).await.status(), StatusCode::OK);
    let shown = control(&world, Method::GET, "timings", &Value::Null).await;
    assert_eq!(
        (
            &shown["sign_in_frequency_seconds"],
            &shown["device_interval_seconds"]
        ),
        (&Value::Null, &json!(1))
    );
    control(
        &world,
        Method::POST,
        &format!("users/{SERVICE}/reset-password"),
        &Value::Null,
    )
    .await;
    assert_eq!(failure(refresh(&world, rotated).await).await.2, 50173);
    let discovery = url(&world, "v2.0/.well-known/openid-configuration");
    assert_eq!(
        world.http.get(discovery).send().await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_full_mailbox_takes_nothing_and_mail_to_it_bounces() {
    let world = World::contoso().await;
    let user = json!({"upn": "full@contoso.example", "quota": 100});
    control(&world, Method::POST, "users", &user).await;
    let full = world.token_for(Some("full@contoso.example"), &crate::client::ALL);
    let mut large = mail("large", BEN);
    large["body"]["content"] = "x".repeat(200).into();
    let post = async |path: &str, body: &Value| {
        let url = format!("{}v1.0{path}", world.tenant.graph());
        world
            .http
            .post(url)
            .bearer_auth(&full)
            .json(body)
            .send()
            .await
            .unwrap()
    };
    let over = (507, "ErrorQuotaExceeded".to_owned());
    assert_eq!(refusal(post("/me/messages", &large).await).await, over);
    assert_eq!(
        refusal(post("/me/sendMail", &json!({"message": large})).await).await,
        over
    );
    assert_eq!(
        post("/me/messages", &mail("small", BEN)).await.status(),
        StatusCode::CREATED
    );

    let mut to_full = mail("to a full one", "full@contoso.example");
    to_full["body"]["content"] = "x".repeat(200).into();
    world
        .post("/me/sendMail", &json!({"message": to_full}), 202)
        .await;
    assert!(world.subjects("full@contoso.example", "inbox").is_empty());
    assert_eq!(
        world.subjects(SERVICE, "inbox"),
        ["Undeliverable: to a full one"]
    );
}

#[tokio::test]
async fn a_deferred_mail_waits_in_drafts_for_its_time() {
    let world = World::contoso().await;
    let at = world
        .tenant
        .state()
        .now()
        .checked_add(SignedDuration::from_hours(2))
        .unwrap();
    let mut later = mail("later", ANNA);
    later["singleValueExtendedProperties"] =
        json!([{"id": "SystemTime 0x3FEF", "value": at.to_string()}]);
    world
        .post("/me/sendMail", &json!({"message": later}), 202)
        .await;
    world.clock.advance(SignedDuration::from_mins(119));
    assert_eq!(
        (
            world.subjects(SERVICE, "drafts").len(),
            world.subjects(ANNA, "inbox").len()
        ),
        (1, 0)
    );
    world.clock.advance(SignedDuration::from_mins(2));
    assert_eq!(world.subjects(ANNA, "inbox"), ["later"]);
    assert_eq!(world.subjects(SERVICE, "sentitems"), ["later"]);
}

#[tokio::test]
async fn links_name_the_mailbox_by_its_object_id_where_that_is_the_policy() {
    let world = World::contoso().await;
    let list = format!("/users/{INVOICES}/messages?$top=1");
    let link = |page: &Value| page["@odata.nextLink"].as_str().unwrap().to_owned();
    assert!(link(&world.get(&list).await).contains(INVOICES));
    world.tenant.state().set_policies(|policies| {
        *policies = Policies {
            links_by_object_id: true,
            ..policies.clone()
        };
    });
    let next = link(&world.get(&list).await);
    let id = control(&world, Method::GET, "", &Value::Null).await["users"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["upn"] == INVOICES)
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        next.contains(&format!("/v1.0/users/{id}/messages?")),
        "{next}"
    );
    let followed = world
        .http
        .get(next)
        .bearer_auth(&world.token)
        .send()
        .await
        .unwrap();
    assert_eq!(
        expect(followed, StatusCode::OK).await["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn what_limits_would_have_refused_is_counted_while_they_are_off() {
    let world = World::contoso().await;
    let state = world.tenant.state();
    state.set_throttle(ThrottleConfig {
        enabled: false,
        requests: 2,
        ..ThrottleConfig::real()
    });
    for _ in 0..5 {
        world.get("/me/messages").await;
    }
    let counts = state.throttle_counts();
    assert_eq!(
        (counts.requests, counts.refused, counts.over_limits),
        (5, 0, 3)
    );
    let shown = control(&world, Method::GET, "throttle", &Value::Null).await;
    assert_eq!(
        (&shown["over_limits"], &shown["limits"]["requests"]),
        (&json!(3), &json!(2))
    );
}
