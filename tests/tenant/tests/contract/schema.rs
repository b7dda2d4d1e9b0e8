//! Answers of the tenant fit the OpenAPI description of Graph mail.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{ANNA, INVOICES, World, expect, mail};
use crate::description::Description;

#[tokio::test]
async fn answers_fit_the_description() {
    let Some(description) = Description::read() else {
        return;
    };
    let world = World::contoso().await;
    let check = |name: &str, value: &Value| {
        let problems = description.fits(&Description::named(name), value);
        assert!(problems.is_empty(), "{name}: {problems:#?}\n{value:#}");
    };
    let list = world
        .get(&format!("/users/{INVOICES}/messages?$expand=attachments"))
        .await;
    let messages = list["value"].as_array().unwrap();
    assert_eq!(messages.len(), 4);
    for message in messages {
        check("message", message);
        for attachment in message["attachments"].as_array().unwrap() {
            check("fileAttachment", attachment);
        }
    }
    let mut draft = mail("schema", ANNA);
    draft["flag"] = json!({"flagStatus": "flagged"});
    draft["replyTo"] = json!([{"emailAddress": {"address": ANNA, "name": "Anna"}}]);
    draft["internetMessageHeaders"] = json!([{"name": "x-a", "value": "b"}]);
    let draft = world.post("/me/messages", &draft, 201).await;
    check("message", &draft);
    for folder in world
        .get("/me/mailFolders?$top=50&includeHiddenFolders=true")
        .await["value"]
        .as_array()
        .unwrap()
    {
        check("mailFolder", folder);
    }
    check("user", &world.get("/me").await);
    let item =
        json!({"AttachmentItem": {"attachmentType": "file", "name": "a", "size": 3_000_000}});
    let path = format!(
        "/me/messages/{}/attachments/createUploadSession",
        draft["id"].as_str().unwrap().replace('=', "%3D")
    );
    check("uploadSession", &world.post(&path, &item, 201).await);

    let selected = format!(
        "/me/messages/{}?$select=internetMessageHeaders",
        draft["id"].as_str().unwrap().replace('=', "%3D")
    );
    check("message", &world.get(&selected).await);
    let refused = world
        .graph(Method::GET, "/me/messages/nonsense")
        .send()
        .await
        .unwrap();
    let body = expect(refused, StatusCode::BAD_REQUEST).await;
    assert!(body["error"]["innerError"]["request-id"].is_string());
}
