//! Upload sessions, on their own origin.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{ANNA, SERVICE, World, expect, mail, refusal};

const SIZE: usize = 3_483_322;

async fn session(world: &World, size: usize) -> (String, String) {
    let draft = world.post("/me/messages", &mail("large", ANNA), 201).await;
    let path = format!(
        "/me/messages/{}",
        draft["id"].as_str().unwrap().replace('=', "%3D")
    );
    let item =
        json!({"AttachmentItem": {"attachmentType": "file", "name": "flower.png", "size": size}});
    let made = world
        .post(
            &format!("{path}/attachments/createUploadSession"),
            &item,
            201,
        )
        .await;
    assert_eq!(made["nextExpectedRanges"], json!(["0-"]));
    (path, made["uploadUrl"].as_str().unwrap().to_owned())
}

async fn put(
    world: &World,
    url: &str,
    bytes: &[u8],
    first: usize,
    total: usize,
) -> reqwest::Response {
    let range = format!("bytes {first}-{}/{total}", first + bytes.len() - 1);
    let request = world
        .http
        .put(url)
        .header("content-range", range)
        .header("content-type", "application/octet-stream");
    request.body(bytes.to_vec()).send().await.unwrap()
}

#[tokio::test]
async fn draft_attach_upload_send() {
    let world = World::contoso().await;
    let (path, url) = session(&world, SIZE).await;
    assert!(url.starts_with(world.tenant.outlook().as_str()), "{url}");
    let content: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();

    let with_token = world
        .http
        .put(&url)
        .bearer_auth(&world.token)
        .header("content-range", "bytes 0-0/1")
        .body("x");
    assert_eq!(
        with_token.send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    let gap = put(&world, &url, &content[10..20], 10, SIZE).await;
    assert_eq!(gap.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let mut at = 0;
    let mut keys = Vec::new();
    for piece in content.chunks(1_500_000) {
        let answer = put(&world, &url, piece, at, SIZE).await;
        at += piece.len();
        if at < SIZE {
            let body = expect(answer, StatusCode::OK).await;
            let key = if body.get("NextExpectedRanges").is_some() {
                "NextExpectedRanges"
            } else {
                "nextExpectedRanges"
            };
            assert_eq!(body[key], json!([at.to_string()]));
            keys.push(key);
        } else {
            assert_eq!(answer.status(), StatusCode::CREATED);
            let location = answer.headers()["location"].to_str().unwrap();
            assert!(location.contains("/Attachments('AAMk"), "{location}");
        }
    }
    assert_eq!(
        keys,
        ["NextExpectedRanges", "nextExpectedRanges"],
        "the key's case varies"
    );
    world.post(&format!("{path}/send"), &Value::Null, 202).await;
    let arrived = world
        .tenant
        .state()
        .messages(ANNA, Some("inbox"))
        .unwrap()
        .remove(0)
        .message;
    assert_eq!(arrived.attachments[0].bytes().unwrap(), &content);
    assert_eq!(
        arrived.attachments[0].content_type.as_deref(),
        Some("image/png")
    );
    let after = put(&world, &url, b"x", 0, SIZE).await;
    assert_eq!(refusal(after).await, (404, "ErrorItemNotFound".into()));
}

#[tokio::test]
async fn sessions_are_cancelled_and_expire() {
    let world = World::contoso().await;
    let small = world.post("/me/messages", &mail("small", ANNA), 201).await;
    let path = format!(
        "/me/messages/{}/attachments/createUploadSession",
        small["id"].as_str().unwrap().replace('=', "%3D")
    );
    let item = json!({"AttachmentItem": {"attachmentType": "file", "name": "a", "size": 10}});
    let answer = world
        .graph(Method::POST, &path)
        .json(&item)
        .send()
        .await
        .unwrap();
    assert_eq!(
        refusal(answer).await,
        (
            400,
            "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize".into()
        )
    );

    let (_, url) = session(&world, SIZE).await;
    assert_eq!(
        world.http.delete(&url).send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        put(&world, &url, b"x", 0, SIZE).await.status(),
        StatusCode::NOT_FOUND
    );
    let (_, url) = session(&world, SIZE).await;
    world.clock.advance(jiff::SignedDuration::from_hours(25));
    assert_eq!(
        put(&world, &url, b"x", 0, SIZE).await.status(),
        StatusCode::NOT_FOUND
    );
    let drafts = world
        .tenant
        .state()
        .messages(SERVICE, Some("drafts"))
        .unwrap();
    assert!(drafts.iter().all(|one| one.message.attachments.is_empty()));
}

#[tokio::test]
async fn plain_http_keeps_its_own_origin() {
    let world = World::contoso().await;
    let plain = world.tenant.plain().as_str();
    let draft = world
        .http
        .post(format!("{plain}v1.0/me/messages"))
        .bearer_auth(&world.token)
        .json(&mail("plain", ANNA));
    let draft = expect(draft.send().await.unwrap(), StatusCode::CREATED).await;
    let item = json!({"AttachmentItem": {"attachmentType": "file", "name": "a.bin", "size": SIZE}});
    let path = format!(
        "{plain}v1.0/me/messages/{}/attachments/createUploadSession",
        draft["id"].as_str().unwrap().replace('=', "%3D")
    );
    let made = expect(
        world
            .http
            .post(path)
            .bearer_auth(&world.token)
            .json(&item)
            .send()
            .await
            .unwrap(),
        StatusCode::CREATED,
    )
    .await;
    let url = made["uploadUrl"].as_str().unwrap();
    assert!(url.starts_with(plain), "{url}");
    assert_eq!(
        put(&world, url, &vec![7; SIZE], 0, SIZE).await.status(),
        StatusCode::CREATED
    );
}

/// An upload URL is a secret wherever it stands in an answer.
#[tokio::test]
async fn an_upload_url_in_a_batch_is_known_as_a_secret_and_not_kept() {
    let world = World::contoso().await;
    let draft = world.post("/me/messages", &mail("large", ANNA), 201).await;
    let item = json!({"attachmentType": "file", "name": "a", "size": SIZE});
    let batch = json!({"requests": [{
        "id": "1", "method": "POST",
        "url": format!(
            "/me/messages/{}/attachments/createUploadSession",
            draft["id"].as_str().unwrap().replace('=', "%3D")
        ),
        "headers": {"Content-Type": "application/json"},
        "body": {"AttachmentItem": item},
    }]});
    let answer = world.post("/$batch", &batch, 200).await;
    let url = answer["responses"][0]["body"]["uploadUrl"].as_str();
    let (_, token) = url.unwrap().split_once("authtoken=").unwrap();
    let state = world.tenant.state();
    assert!(state.secrets().iter().any(|secret| secret == token));
    let kept = serde_json::to_string(&state.requests()).unwrap();
    assert!(kept.contains("$batch") && !kept.contains(token));
}
