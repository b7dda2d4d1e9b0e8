//! Faults, throttling, the recorder, batches and the pages.

use docket_tenant::{Fault, FaultAction, RetryAfterStyle, TenantConfig, ThrottleConfig};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{ANNA, INVOICES, World, expect, mail, refusal};

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
    config.timings.service = std::time::Duration::from_millis(200);
    let world = World::with(config).await;
    let answers = futures_util::future::join_all(
        (0..8).map(|_| world.graph(Method::GET, "/me/messages").send()),
    )
    .await;
    let refused = answers
        .iter()
        .filter(|answer| answer.as_ref().unwrap().status() == StatusCode::TOO_MANY_REQUESTS)
        .count();
    assert_eq!(refused, 4);
}

#[tokio::test]
async fn batches_answer_each_part() {
    let world = World::contoso().await;
    world.tenant.state().add_fault(Fault::next(
        "GET",
        "*/mailFolders/archive",
        FaultAction::Throttle {
            retry_after: Some("3".into()),
        },
    ));
    let body = json!({"requests": [
        {"id": "1", "method": "GET", "url": "/me/mailFolders/inbox?$select=displayName"},
        {"id": "2", "method": "POST", "url": "/me/messages", "body": mail("batched", ANNA), "headers": {"Content-Type": "application/json"}},
        {"id": "3", "method": "GET", "url": "/me/messages/nonsense"},
        {"id": "4", "method": "GET", "url": "/me/mailFolders/drafts", "dependsOn": ["3"]},
        {"id": "5", "method": "GET", "url": "/me/mailFolders/archive"},
    ]});
    let answer = world.post("/$batch", &body, 200).await;
    let find = |id: &str| {
        answer["responses"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["id"] == id)
            .unwrap()
            .clone()
    };
    let statuses: Vec<u64> = ["1", "2", "3", "4", "5"]
        .iter()
        .map(|id| find(id)["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 201, 400, 424, 429]);
    assert_eq!(find("1")["body"]["displayName"], "Inbox");
    assert_eq!(find("5")["headers"]["Retry-After"], "3");
    let twice = json!({"requests": [{"id": "1", "method": "GET", "url": "/me"}, {"id": "1", "method": "GET", "url": "/me"}]});
    let twice = world
        .graph(Method::POST, "/$batch")
        .json(&twice)
        .send()
        .await
        .unwrap();
    assert_eq!(twice.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn control_and_recorder() {
    let world = World::contoso().await;
    let plain = world.tenant.plain().as_str();
    let control = |method: Method, path: &str, body: Option<Value>| {
        let request = world.http.request(method, format!("{plain}_tenant/{path}"));
        match body {
            Some(body) => request.json(&body).send(),
            None => request.send(),
        }
    };
    let fault =
        json!({"method": "POST", "path": "*/send", "skip": 1, "action": {"kind": "reset-after"}});
    let made = expect(
        control(Method::POST, "faults", Some(fault)).await.unwrap(),
        StatusCode::OK,
    )
    .await;
    assert!(made["id"].is_string());
    let seed = json!({"from": {"address": "z@fabrikam.example"}, "subject": "by control", "text": "hi",
        "attachments": [{"name": "a.txt", "contentBytes": "aGk="}]});
    let made = control(
        Method::POST,
        &format!("mailboxes/{ANNA}/messages"),
        Some(seed),
    )
    .await
    .unwrap();
    expect(made, StatusCode::OK).await;
    let shown = expect(
        control(Method::GET, &format!("mailboxes/{ANNA}"), None)
            .await
            .unwrap(),
        StatusCode::OK,
    )
    .await;
    let message = &shown["mailboxes"][0]["messages"][0];
    assert_eq!(message["subject"], "by control");
    assert_eq!(
        message["attachments"][0]["sha256"],
        "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"
    );

    world
        .post(
            "/me/sendMail",
            &json!({"message": mail("recorded", ANNA)}),
            202,
        )
        .await;
    let requests = expect(
        control(Method::GET, "requests", None).await.unwrap(),
        StatusCode::OK,
    )
    .await;
    let last = requests.as_array().unwrap().last().unwrap();
    assert_eq!(
        (last["method"].as_str(), last["status"].as_u64()),
        (Some("POST"), Some(202))
    );
    assert_eq!(last["body"]["message"]["subject"], "recorded");
    assert!(
        !requests.to_string().contains(&world.token),
        "tokens are masked"
    );
    let unknown = control(Method::GET, "nonsense", None).await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pages_show_what_was_sent_and_escape_it() {
    let world = World::contoso().await;
    world
        .post(
            "/me/sendMail",
            &json!({"message": mail("<script>alert(1)</script>", ANNA)}),
            202,
        )
        .await;
    let page = async |path: &str| {
        let answer = world
            .http
            .get(format!("{}{path}", world.tenant.plain()))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    };
    assert!(page("").await.contains("Contoso Invoices"));
    let list = page(&format!("mail/{ANNA}/folder/Inbox")).await;
    assert!(list.contains("&lt;script&gt;") && !list.contains("<script>"));
    let stored = world
        .tenant
        .state()
        .messages(INVOICES, Some("Invoices"))
        .unwrap();
    let with_picture = stored
        .iter()
        .find(|one| one.message.attachments.len() == 2 && one.message.attachments[0].is_inline)
        .unwrap();
    let here = format!("mail/{INVOICES}/message/{}", with_picture.immutable_id);
    let shown = page(&here).await;
    assert!(shown.contains("LIT-15.pdf") && shown.contains("sandbox=\"\""));
    assert!(
        page(&format!("{here}/body"))
            .await
            .contains("data:image/png;base64,")
    );
    assert!(page(&format!("{here}/file/2")).await.starts_with("%PDF-"));
    assert!(page("outside").await.contains("Nothing has left"));
}
