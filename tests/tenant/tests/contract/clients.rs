//! Clients without a browser: app-only, device code; and every failure by number.

use docket_tenant::{AppConfig, DEMO_CLIENT_ID, Fault, FaultAction, RedirectKind, RedirectUri};
use reqwest::StatusCode;

use crate::client::{ANNA, World, expect};
use crate::identity::{failure, refresh, secret, token, url};

#[tokio::test]
async fn every_scripted_failure_has_the_full_body() {
    let world = World::contoso().await;
    let table = [
        (50173, "invalid_grant", 400),
        (700_082, "invalid_grant", 400),
        (50076, "interaction_required", 400),
        (65001, "invalid_grant", 400),
        (90094, "consent_required", 400),
        (53003, "invalid_grant", 400),
        (7_000_222, "invalid_client", 401),
        (7_000_215, "invalid_client", 401),
        (700_027, "invalid_client", 401),
        (700_016, "unauthorized_client", 400),
        (90002, "invalid_request", 400),
        (70011, "invalid_scope", 400),
        (500_011, "invalid_resource", 400),
        (90033, "temporarily_unavailable", 503),
        (50196, "invalid_grant", 400),
    ];
    for (code, error, status) in table {
        world.tenant.state().add_fault(Fault::next(
            "POST",
            "*/token",
            FaultAction::Aadsts { code },
        ));
        let got = failure(refresh(&world, "x").await).await;
        assert_eq!(got, (status, error.to_owned(), u64::from(code)));
    }
}

#[tokio::test]
async fn app_only_needs_roles_only_at_graph() {
    let world = World::contoso().await;
    let form = |scope: &'static str| {
        [
            ("client_id", DEMO_CLIENT_ID.to_owned()),
            ("client_secret", secret(&world)),
            ("grant_type", "client_credentials".to_owned()),
            ("scope", scope.to_owned()),
        ]
    };
    let ask = async |scope| {
        world
            .http
            .post(url(&world, "oauth2/v2.0/token"))
            .form(&form(scope))
            .send()
            .await
            .unwrap()
    };
    assert_eq!(failure(ask("Mail.Send").await).await.2, 1_002_012);
    let body = expect(
        ask("https://graph.microsoft.com/.default").await,
        StatusCode::OK,
    )
    .await;
    assert!(body.get("refresh_token").is_none() && body.get("scope").is_none());
    let access = body["access_token"].as_str().unwrap().to_owned();
    let list = |path: &str| {
        world
            .http
            .get(format!("{}v1.0{path}", world.tenant.graph()))
            .bearer_auth(&access)
            .send()
    };
    assert_eq!(
        crate::client::refusal(list("/users/anna@contoso.example/messages").await.unwrap()).await,
        (403, "ErrorAccessDenied".into())
    );
    assert_eq!(
        crate::client::refusal(list("/me/messages").await.unwrap()).await,
        (400, "BadRequest".into())
    );
    world
        .tenant
        .state()
        .set_app(DEMO_CLIENT_ID, |app| app.roles = vec!["Mail.Read".into()])
        .unwrap();
    let body = expect(
        ask("https://graph.microsoft.com/.default").await,
        StatusCode::OK,
    )
    .await;
    let access = body["access_token"].as_str().unwrap();
    let path = format!(
        "{}v1.0/users/anna@contoso.example/messages",
        world.tenant.graph()
    );
    assert_eq!(
        world
            .http
            .get(path)
            .bearer_auth(access)
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn device_code_from_start_to_token() {
    let world = World::contoso().await;
    let client = "11111111-2222-4333-8444-555555555555";
    let mut app = AppConfig::new(client, "device app");
    app.delegated = vec!["Mail.Send".into()];
    app.redirects = vec![RedirectUri {
        uri: "http://localhost".into(),
        kind: RedirectKind::Public,
    }];
    world.tenant.state().add_app(app);
    let started = world
        .http
        .post(url(&world, "oauth2/v2.0/devicecode"))
        .form(&[("client_id", client), ("scope", "Mail.Send offline_access")]);
    let started = expect(started.send().await.unwrap(), StatusCode::OK).await;
    assert!(started.get("verification_uri_complete").is_none());
    let device_code = started["device_code"].as_str().unwrap().to_owned();
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let poll = || async {
        token(
            &world,
            &[
                ("client_id", client),
                ("grant_type", grant),
                ("device_code", &device_code),
            ],
        )
        .await
    };
    assert_eq!(
        failure(poll().await).await.2,
        7_000_218,
        "public client flows are off"
    );
    world
        .tenant
        .state()
        .set_app(client, |app| app.allow_public_client = true)
        .unwrap();
    assert_eq!(failure(poll().await).await.1, "authorization_pending");
    let page = started["verification_uri"].as_str().unwrap();
    let code = started["user_code"].as_str().unwrap();
    let done = world
        .http
        .post(page)
        .form(&[("code", code), ("choice", ANNA)])
        .send()
        .await
        .unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    let body = expect(poll().await, StatusCode::OK).await;
    // A public client's sign-in dies with the password.
    let refresh_token = body["refresh_token"].as_str().unwrap();
    let again = || async {
        token(
            &world,
            &[
                ("client_id", client),
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh_token),
            ],
        )
        .await
    };
    assert_eq!(again().await.status(), StatusCode::OK);
    world.tenant.state().change_password(ANNA).unwrap();
    assert_eq!(failure(again().await).await.2, 50173);
}
