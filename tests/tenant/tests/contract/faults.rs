//! Faults and throttling.

use docket_tenant::{
    DEMO_CLIENT_ID, Fault, FaultAction, RetryAfterStyle, TenantConfig, ThrottleConfig,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{ANNA, INVOICES, SERVICE, World, mail, refusal};

#[tokio::test]
async fn a_reset_after_the_effect_has_taken_effect() {
    let world = World::contoso().await;
    let state = world.tenant.state();
    let body = json!({"message": mail("once", ANNA)});
    // (action, whether the mail went out)
    let table = [
        (FaultAction::ResetBefore, false),
        (FaultAction::ResetAfter, true),
        (FaultAction::CutOff { bytes: 0 }, true),
    ];
    for (action, went_out) in table {
        let before = world.subjects(ANNA, "inbox").len();
        state.add_fault(Fault::next("POST", "*/sendMail", action.clone()));
        let answer = world
            .graph(Method::POST, "/me/sendMail")
            .json(&body)
            .send()
            .await;
        assert!(answer.is_err(), "{action:?}: the connection is gone");
        let after = world.subjects(ANNA, "inbox").len();
        assert_eq!(after - before, usize::from(went_out), "{action:?}");
    }
    state.add_fault(Fault::next(
        "POST",
        "*/sendMail",
        FaultAction::TimeoutAfterAccept,
    ));
    let answer = world
        .graph(Method::POST, "/me/sendMail")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(world.subjects(ANNA, "inbox").len(), 3);
    state.add_fault(Fault::next(
        "POST",
        "*/sendMail",
        FaultAction::AcceptedNotSent,
    ));
    let answer = world
        .graph(Method::POST, "/me/sendMail")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(world.subjects(ANNA, "inbox").len(), 3, "200 and not sent");
    state.add_fault(Fault::next(
        "GET",
        "*/messages",
        FaultAction::CutOff { bytes: 20 },
    ));
    let cut = world
        .graph(Method::GET, "/me/messages")
        .send()
        .await
        .unwrap();
    assert!(cut.text().await.is_err(), "the body breaks off");
}

#[tokio::test]
async fn refusals_carry_their_headers() {
    let world = World::contoso().await;
    let state = world.tenant.state();
    let table = [
        (
            FaultAction::Throttle {
                retry_after: Some("2.128".into()),
            },
            429,
            "ApplicationThrottled",
            Some("2.128"),
        ),
        (
            FaultAction::Throttle { retry_after: None },
            429,
            "ApplicationThrottled",
            None,
        ),
        (
            FaultAction::Unavailable {
                retry_after: Some("1".into()),
            },
            503,
            "ServiceUnavailable",
            Some("1"),
        ),
        (FaultAction::GatewayTimeout, 504, "UnknownError", None),
        (
            FaultAction::AccessTokenExpired,
            401,
            "InvalidAuthenticationToken",
            None,
        ),
        (
            FaultAction::Refuse {
                status: 507,
                code: "quota".into(),
                message: String::new(),
            },
            507,
            "quota",
            None,
        ),
        (FaultAction::DeltaLost, 200, "", None),
    ];
    for (action, status, code, retry) in table {
        state.add_fault(Fault::next("GET", "*/me/messages", action.clone()));
        let answer = world
            .graph(Method::GET, "/me/messages")
            .header("client-request-id", "my-id")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status, "{action:?}");
        let headers = answer.headers().clone();
        assert_eq!(headers["client-request-id"], "my-id");
        assert!(
            headers.contains_key("request-id")
                && headers.contains_key("date")
                && headers.contains_key("x-ms-ags-diagnostic")
        );
        assert_eq!(
            headers
                .get("retry-after")
                .map(|value| value.to_str().unwrap()),
            retry
        );
        assert_eq!(headers.contains_key("www-authenticate"), status == 401);
        if status != 200 {
            assert_eq!(refusal(answer).await.1, code);
        }
    }
    let anonymous = world
        .http
        .get(format!("{}v1.0/me", world.tenant.graph()))
        .send()
        .await
        .unwrap();
    assert_eq!(
        refusal(anonymous).await,
        (401, "InvalidAuthenticationToken".into())
    );
    world.clock.advance(jiff::SignedDuration::from_hours(2));
    let expired = world.graph(Method::GET, "/me").send().await.unwrap();
    assert_eq!(
        refusal(expired).await,
        (401, "InvalidAuthenticationToken".into())
    );
}

#[tokio::test]
async fn the_throttle_counts() {
    let mut config = TenantConfig::contoso();
    config.throttle = ThrottleConfig {
        requests: 3,
        retry_after: RetryAfterStyle::Fractional,
        ..ThrottleConfig::real()
    };
    let world = World::with(config).await;
    for _ in 0..3 {
        world.get("/me/messages").await;
    }
    let answer = world
        .graph(Method::GET, "/me/messages")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["retry-after"], "600.128");
    assert_eq!(refusal(answer).await, (429, "ApplicationThrottled".into()));
    world.get(&format!("/users/{INVOICES}/messages")).await;
    world.clock.advance(jiff::SignedDuration::from_secs(600));
    world.get("/me/messages").await;
    assert_eq!(world.tenant.state().throttle_counts().refused, 1);
}

#[tokio::test]
async fn four_at_a_time() {
    let mut config = TenantConfig::contoso();
    config.throttle = ThrottleConfig::real();
    let world = World::with(config).await;
    let state = world.tenant.state();
    // Requests whose bodies never end hold their places.
    let held: Vec<_> = (0..4)
        .map(|_| {
            let endless = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
            let request = world.graph(Method::POST, "/me/messages");
            tokio::spawn(request.body(reqwest::Body::wrap_stream(endless)).send())
        })
        .collect();
    while state.throttle_counts().highest_in_flight < 4 {
        tokio::task::yield_now().await;
    }
    let fifth = world
        .graph(Method::GET, "/me/messages")
        .send()
        .await
        .unwrap();
    let body: Value = fifth.json().await.unwrap();
    assert_eq!(
        body["error"]["message"],
        "Application is over its MailboxConcurrency limit."
    );
    world.get(&format!("/users/{INVOICES}/messages")).await;
    for request in held {
        request.abort();
    }
    // Their places are free once the tenant has noticed.
    loop {
        let answer = world
            .graph(Method::GET, "/me/messages")
            .send()
            .await
            .unwrap();
        if answer.status() == StatusCode::OK {
            break;
        }
    }
}

#[tokio::test]
async fn faults_change_the_tenant_under_way() {
    let world = World::contoso().await;
    let state = world.tenant.state();
    let client_id = DEMO_CLIENT_ID.to_owned();
    let url = format!(
        "{}{}/oauth2/v2.0/token",
        world.tenant.authority(),
        state.tenant_id()
    );
    let refresh = async |token: &str, scope: &str| -> Value {
        let secret = state.client_secret(DEMO_CLIENT_ID).unwrap();
        let form = [
            ("client_id", DEMO_CLIENT_ID),
            ("client_secret", secret.as_str()),
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("scope", scope),
        ];
        world
            .http
            .post(&url)
            .form(&form)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    let table = [
        (
            FaultAction::SignInLapses {
                user: SERVICE.into(),
            },
            50173,
        ),
        (
            FaultAction::ScopeRevoked {
                client_id: client_id.clone(),
                scope: "Mail.Send".into(),
            },
            65001,
        ),
        (FaultAction::SecretsExpire { client_id }, 7_000_222),
    ];
    for (action, code) in table {
        let token = state
            .refresh_token(DEMO_CLIENT_ID, SERVICE, &["Mail.Send"])
            .unwrap();
        state.add_fault(Fault::next("GET", "*/me/messages/$count", action.clone()));
        let counted = world
            .graph(Method::GET, "/me/messages/$count")
            .send()
            .await
            .unwrap();
        assert_eq!(
            counted.text().await.unwrap(),
            "0",
            "the request itself succeeds"
        );
        assert_eq!(
            refresh(&token, "Mail.Send").await["error_codes"],
            json!([code]),
            "{action:?}"
        );
    }
}
