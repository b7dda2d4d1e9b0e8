//! Batches, the control API with its recorder, the pages, and what none of them may choke on.

use docket_tenant::{Fault, FaultAction};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{ANNA, INVOICES, World, expect, mail};

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
    world
        .post(
            "/me/sendMail",
            &json!({"message": mail("gone", "x@fabrikam.example")}),
            202,
        )
        .await;
    assert!(page("outside").await.contains("/outside/0"));
    assert!(page("outside/0").await.contains("x@fabrikam.example"));
    assert!(page("outside/0/body").await.contains("Hello"));
}

#[tokio::test]
async fn the_administration_page_shows_expiry_and_refusals_and_no_secret() {
    let world = World::contoso().await;
    let secret = crate::identity::secret(&world);
    let answer = crate::identity::refresh(&world, "nonsense").await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    world.tenant.state().add_fault(Fault::next(
        "GET",
        "*/<script>",
        FaultAction::GatewayTimeout,
    ));
    world.get("/me/messages").await;
    let url = format!("{}admin", world.tenant.plain());
    let page = world.http.get(url).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.unwrap();
    assert!(
        page.contains("until 2028-01-05, 730 days") && page.contains("AADSTS70000"),
        "{page}"
    );
    assert!(page.contains("/v1.0/me/messages") && page.contains("gateway-timeout"));
    assert!(!page.contains(&secret) && !page.contains(&world.token));
    assert!(!page.contains("<script>"));
}

#[tokio::test]
async fn garbage_is_refused_politely() {
    let world = World::contoso().await;
    let base = world.tenant.plain().as_str();
    let tenant = world.tenant.state().tenant_id();
    let max = usize::MAX;
    let deep = "[".repeat(5000);
    let draft = world.post("/me/messages", &mail("x", ANNA), 201).await;
    let id = draft["id"].as_str().unwrap().replace('=', "%3D");
    let table = [
        (
            "GET",
            format!("v1.0/me/messages?$skip={max}&$top=1000"),
            String::new(),
        ),
        (
            "GET",
            "v1.0/me/messages?$filter=((((&$orderby=,,&$select=,&$expand=((".into(),
            String::new(),
        ),
        (
            "GET",
            "v1.0/me/messages?$expand=singleValueExtendedProperties($filter=id%20eq%20'".into(),
            String::new(),
        ),
        (
            "GET",
            "v1.0/me/messages?$search=%22&$count=maybe".into(),
            String::new(),
        ),
        (
            "GET",
            format!("v1.0/me/mailFolders?$skip={max}"),
            String::new(),
        ),
        (
            "GET",
            "v1.0/me/mailFolders('')/messages".into(),
            String::new(),
        ),
        (
            "GET",
            "v1.0/me/mailFolders/inbox/messages/delta?$deltatoken=e30".into(),
            String::new(),
        ),
        (
            "GET",
            "v1.0/me/mailFolders/inbox/messages/delta?$skiptoken=%00%ff".into(),
            String::new(),
        ),
        ("GET", "v1.0/%ff%fe/%00".into(), String::new()),
        ("GET", "v1.0//me///messages//".into(), String::new()),
        ("POST", "v1.0/me/sendMail".into(), deep.clone()),
        ("POST", "v1.0/me/sendMail".into(), "{\"message\":7}".into()),
        (
            "POST",
            "v1.0/me/messages".into(),
            "{\"attachments\":[1],\"body\":[]}".into(),
        ),
        (
            "PATCH",
            format!("v1.0/me/messages/{id}"),
            "{\"toRecipients\":[{}]}".into(),
        ),
        ("POST", format!("v1.0/me/messages/{id}/move"), "{}".into()),
        (
            "POST",
            format!("v1.0/me/messages/{id}/createForward"),
            "nonsense".into(),
        ),
        (
            "POST",
            format!("v1.0/me/messages/{id}/attachments/createUploadSession"),
            "{\"attachmentItem\":{\"name\":\"a\",\"size\":-1}}".into(),
        ),
        (
            "DELETE",
            format!("v1.0/me/messages/{id}/attachments/{id}"),
            String::new(),
        ),
        (
            "POST",
            "v1.0/$batch".into(),
            "{\"requests\":[{\"id\":\"1\",\"method\":\"POST\",\"url\":\"/$batch\"}]}".into(),
        ),
        (
            "POST",
            "v1.0/me/translateExchangeIds".into(),
            "{\"inputIds\":[1]}".into(),
        ),
        (
            "PUT",
            "api/x/AttachmentSessions('x')?authtoken=x".into(),
            String::new(),
        ),
        (
            "POST",
            format!("{tenant}/oauth2/v2.0/token"),
            "grant_type=%ff&client_id=".into(),
        ),
        (
            "GET",
            format!("{tenant}/oauth2/v2.0/authorize?client_id=%00"),
            String::new(),
        ),
        ("POST", "common/oauth2/deviceauth".into(), "code=%ff".into()),
        ("POST", "_tenant/faults".into(), deep),
        (
            "GET",
            "mail/%ff/message/x/file/99999999999999999999".into(),
            String::new(),
        ),
    ];
    for (method, path, body) in table {
        let request = world
            .http
            .request(method.parse().unwrap(), format!("{base}{path}"))
            .bearer_auth(&world.token);
        let answer = request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await;
        let status = answer
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
            .status();
        assert!(!status.is_server_error(), "{method} {path}: {status}");
    }
}
