//! Sending: where copies end up, who may send as whom, what is refused.

use docket_tenant::{InFlightSend, RightKind, TenantConfig};
use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{ALL, ANNA, BEN, CONTRACTS, SERVICE, World, expect, mail, refusal};

fn from(mut message: Value, address: &str) -> Value {
    message["from"] = json!({"emailAddress": {"address": address}});
    message
}

#[tokio::test]
async fn copies_end_up_where_documented() {
    // path, from, save, expected Sent Items: (service, contracts)
    let table = [
        ("/me/sendMail", SERVICE, json!(true), (1, 0)),
        ("/me/sendMail", CONTRACTS, json!(true), (1, 0)),
        (
            "/users/contracts@contoso.example/sendMail",
            CONTRACTS,
            json!(true),
            (0, 1),
        ),
        (
            "/users/contracts@contoso.example/sendMail",
            SERVICE,
            json!(true),
            (0, 1),
        ),
        ("/me/sendMail", SERVICE, json!(false), (0, 0)),
        ("/me/sendMail", CONTRACTS, json!("false"), (0, 0)),
    ];
    for (path, sender, save, expected) in table {
        let world = World::contoso().await;
        let body = json!({"Message": from(mail("hello", ANNA), sender), "SaveToSentItems": save});
        let answer = world
            .graph(Method::POST, path)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        assert_eq!(answer.headers()["content-length"], "0");
        let count = |mailbox| world.subjects(mailbox, "sentitems").len();
        assert_eq!(
            (count(SERVICE), count(CONTRACTS)),
            expected,
            "{path} from {sender}, save {save}"
        );
        assert_eq!(world.subjects(SERVICE, "drafts").len(), 0);
        assert_eq!(world.subjects(ANNA, "inbox"), ["hello"]);
        let arrived = world.tenant.state().messages(ANNA, Some("inbox")).unwrap();
        assert_eq!(arrived[0].message.from.as_ref().unwrap().address, sender);
    }
}

#[tokio::test]
async fn rights_decide_who_is_seen() {
    let world = World::contoso().await;
    let state = world.tenant.state();
    let anna = world.token_for(Some(ANNA), &ALL);
    let send = async |path: &str, as_whom: &str, token: &str| {
        let body = json!({"message": from(mail("rights", BEN), as_whom)});
        let url = format!("{}v1.0{path}", world.tenant.graph());
        world
            .http
            .post(url)
            .bearer_auth(token)
            .json(&body)
            .send()
            .await
            .unwrap()
    };
    let denied = send("/me/sendMail", CONTRACTS, &anna).await;
    assert_eq!(refusal(denied).await, (403, "ErrorSendAsDenied".into()));
    let denied = send(
        "/users/contracts@contoso.example/sendMail",
        CONTRACTS,
        &anna,
    )
    .await;
    assert_eq!(refusal(denied).await, (403, "ErrorAccessDenied".into()));

    state
        .set_right(ANNA, RightKind::SendOnBehalf, CONTRACTS, true)
        .unwrap();
    assert_eq!(
        send("/me/sendMail", CONTRACTS, &anna).await.status(),
        StatusCode::ACCEPTED
    );
    let seen = |address: &str, sender: &str| {
        let newest = state
            .messages(BEN, Some("inbox"))
            .unwrap()
            .remove(0)
            .message;
        assert_eq!(newest.from.as_ref().unwrap().address, address);
        assert_eq!(newest.sender.as_ref().unwrap().address, sender);
    };
    seen(CONTRACTS, ANNA);
    state
        .set_right(ANNA, RightKind::SendAs, CONTRACTS, true)
        .unwrap();
    assert_eq!(
        send("/me/sendMail", CONTRACTS, &anna).await.status(),
        StatusCode::ACCEPTED
    );
    seen(CONTRACTS, CONTRACTS);
    let still = send(
        "/users/contracts@contoso.example/sendMail",
        CONTRACTS,
        &anna,
    )
    .await;
    assert_eq!(
        refusal(still).await,
        (403, "ErrorAccessDenied".into()),
        "that route needs Full Access too"
    );

    let small = world.token_for(Some(ANNA), &["Mail.Send"]);
    assert_eq!(
        send("/me/sendMail", ANNA, &small).await.status(),
        StatusCode::ACCEPTED
    );
    assert_eq!(
        refusal(send("/me/sendMail", CONTRACTS, &small).await).await,
        (403, "ErrorAccessDenied".into())
    );
    let nobody = send("/users/nobody@contoso.example/sendMail", ANNA, &anna).await;
    assert_eq!(refusal(nobody).await, (404, "ErrorInvalidUser".into()));
    let app = world.token_for(None, &["Mail.Send"]);
    assert_eq!(
        send("/users/ben@contoso.example/sendMail", BEN, &app)
            .await
            .status(),
        StatusCode::ACCEPTED
    );
}

#[tokio::test]
async fn bad_mail_is_refused() {
    let world = World::contoso().await;
    let headers = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| json!({"name": name, "value": "1"}))
            .collect()
    };
    let with = |name: &str, value: Value| {
        let mut message = mail("bad", ANNA);
        message[name] = value;
        json!({"message": message})
    };
    let table = [
        (mail("no wrapper", ANNA), "ErrorInvalidRecipients"),
        (with("toRecipients", json!([])), "ErrorInvalidRecipients"),
        (
            with(
                "toRecipients",
                json!([{"emailAddress": {"address": "a@x.example;b@x.example"}}]),
            ),
            "ErrorInvalidRecipients",
        ),
        (
            with(
                "toRecipients",
                json!([{"emailAddress": {"name": "nobody"}}]),
            ),
            "ErrorInvalidRecipients",
        ),
        (
            with("internetMessageHeaders", headers(&["Date"])),
            "InvalidInternetMessageHeader",
        ),
        (
            with(
                "internetMessageHeaders",
                headers(&["x-1", "x-2", "x-3", "x-4", "x-5", "x-6"]),
            ),
            "InvalidInternetMessageHeaderCollection",
        ),
    ];
    for (body, code) in table {
        let answer = world
            .graph(Method::POST, "/me/sendMail")
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(refusal(answer).await, (400, code.to_owned()), "{body}");
    }
    let mime = world
        .graph(Method::POST, "/me/sendMail")
        .header("content-type", "text/plain")
        .body("!not base64!");
    assert_eq!(
        refusal(mime.send().await.unwrap()).await,
        (400, "ErrorMimeContentInvalidBase64String".into())
    );
    let large = with(
        "body",
        json!({"contentType": "text", "content": "x".repeat(20 * 1024 * 1024)}),
    );
    let large = world
        .graph(Method::POST, "/me/sendMail")
        .json(&large)
        .send()
        .await
        .unwrap();
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(
        world
            .tenant
            .state()
            .messages(SERVICE, None)
            .unwrap()
            .is_empty(),
        "nothing was stored"
    );

    // Capital letters and unknown recipients pass; the latter bounce later.
    let bounced = json!({"message": {"subject": "b", "importance": "Low", "toRecipients": [{"emailAddress": {"address": "nobody@contoso.example"}}]}});
    world.post("/me/sendMail", &bounced, 202).await;
    assert_eq!(world.subjects(SERVICE, "inbox"), ["Undeliverable: b"]);
    world
        .post(
            "/me/sendMail",
            &json!({"message": mail("out", "x@fabrikam.example")}),
            202,
        )
        .await;
    assert_eq!(
        world.tenant.state().outside()[0].recipients,
        ["x@fabrikam.example"]
    );
}

#[tokio::test]
async fn a_draft_leaves_drafts_later() {
    let mut config = TenantConfig::contoso();
    config.timings.delivery = SignedDuration::from_secs(10);
    let world = World::with(config).await;
    let answer = world
        .graph(Method::POST, "/me/messages")
        .header("prefer", "IdType=\"ImmutableId\"")
        .json(&mail("slow", ANNA));
    let draft = expect(answer.send().await.unwrap(), StatusCode::CREATED).await;
    let path = format!(
        "/me/messages/{}",
        draft["id"].as_str().unwrap().replace('=', "%3D")
    );
    world.post(&format!("{path}/send"), &Value::Null, 202).await;
    assert_eq!(
        (
            world.subjects(SERVICE, "drafts").len(),
            world.subjects(ANNA, "inbox").len()
        ),
        (1, 0)
    );
    let again = world
        .graph(Method::POST, &format!("{path}/send"))
        .send()
        .await
        .unwrap();
    assert_eq!(refusal(again).await, (404, "ErrorItemNotFound".into()));
    world.clock.advance(SignedDuration::from_secs(11));
    assert_eq!(
        (
            world.subjects(SERVICE, "drafts").len(),
            world.subjects(SERVICE, "sentitems").len()
        ),
        (0, 1)
    );
    assert_eq!(world.subjects(ANNA, "inbox"), ["slow"]);
    let sent = world.get(&path).await;
    assert_eq!(sent["isDraft"], false);
    assert_eq!(sent["internetMessageId"], draft["internetMessageId"]);
    let again = world
        .graph(Method::POST, &format!("{path}/send"))
        .send()
        .await
        .unwrap();
    assert_eq!(refusal(again).await, (404, "ErrorItemNotFound".into()));

    // The worst cases, by policy.
    world.tenant.state().set_policies(|policies| {
        policies.sending_keeps_immutable_id = false;
        policies.in_flight_send = InFlightSend::SendsAgain;
    });
    let answer = world
        .graph(Method::POST, "/me/messages")
        .header("prefer", "IdType=\"ImmutableId\"")
        .json(&mail("twice", BEN));
    let draft = expect(answer.send().await.unwrap(), StatusCode::CREATED).await;
    let path = format!(
        "/me/messages/{}",
        draft["id"].as_str().unwrap().replace('=', "%3D")
    );
    world.post(&format!("{path}/send"), &Value::Null, 202).await;
    world.post(&format!("{path}/send"), &Value::Null, 202).await;
    world.tenant.state().deliver_now();
    assert_eq!(world.subjects(BEN, "inbox"), ["twice", "twice"]);
    let gone = world.graph(Method::GET, &path).send().await.unwrap();
    assert_eq!(refusal(gone).await, (404, "ErrorItemNotFound".into()));
}

#[tokio::test]
async fn replies_and_mime() {
    use base64::Engine as _;
    let world = World::contoso().await;
    let mut first = mail("question", SERVICE);
    first["ccRecipients"] = json!([{"emailAddress": {"address": BEN}}]);
    let anna = world.token_for(Some(ANNA), &ALL);
    let url = format!("{}v1.0/me/sendMail", world.tenant.graph());
    let sent = world
        .http
        .post(url)
        .bearer_auth(anna)
        .json(&json!({"message": first}))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), StatusCode::ACCEPTED);
    let inbox = world.get("/me/mailFolders/inbox/messages").await;
    let path = format!(
        "/me/messages/{}",
        inbox["value"][0]["id"]
            .as_str()
            .unwrap()
            .replace('=', "%3D")
    );
    let draft = world
        .post(
            &format!("{path}/createReplyAll"),
            &json!({"comment": "Yes"}),
            201,
        )
        .await;
    assert_eq!(draft["subject"], "RE: question");
    assert_eq!(draft["toRecipients"][0]["emailAddress"]["address"], ANNA);
    assert_eq!(draft["ccRecipients"][0]["emailAddress"]["address"], BEN);
    assert_eq!(draft["conversationId"], inbox["value"][0]["conversationId"]);
    let both =
        json!({"comment": "a", "message": {"body": {"contentType": "text", "content": "b"}}});
    let both = world
        .graph(Method::POST, &format!("{path}/createReply"))
        .json(&both)
        .send()
        .await
        .unwrap();
    assert_eq!(both.status(), StatusCode::BAD_REQUEST);
    world
        .post(
            &format!("{path}/forward"),
            &json!({"comment": "fyi", "toRecipients": [{"emailAddress": {"address": BEN}}]}),
            202,
        )
        .await;
    assert_eq!(world.subjects(BEN, "inbox")[0], "FW: question");

    let raw = format!(
        "From: <{SERVICE}>\r\nTo: Anna <{ANNA}>\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\nX-Key: 7\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--b--\r\n"
    );
    let encoded = base64::engine::general_purpose::STANDARD.encode(raw);
    let answer = world
        .graph(Method::POST, "/me/sendMail")
        .header("content-type", "text/plain")
        .body(encoded);
    assert_eq!(answer.send().await.unwrap().status(), StatusCode::ACCEPTED);
    let got = world
        .tenant
        .state()
        .messages(ANNA, Some("inbox"))
        .unwrap()
        .remove(0)
        .message;
    assert_eq!(got.subject.as_deref(), Some("Grüße"));
    assert_eq!(got.attachments[0].name, "a.pdf");
    assert_eq!(got.attachments[0].bytes().unwrap().as_ref(), b"%PDF-");
}
