//! Checks answers against the OpenAPI description of Graph mail.
//!
//! The description is not part of the repository; without it there is nothing to check.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{ANNA, INVOICES, World, expect, mail, shared};

/// The description with OpenAPI's `nullable` in JSON Schema's words.
fn description() -> Option<Value> {
    let mut value: Value = serde_json::from_str(&shared("openapi-mail.json")?).ok()?;
    plain(&mut value);
    Some(value)
}

fn plain(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(plain);
            if map.remove("nullable") == Some(json!(true)) {
                let inner = Value::Object(std::mem::take(map));
                map.insert("anyOf".into(), json!([{"type": "null"}, inner]));
            }
            // A word of OpenAPI's that JSON Schema does not know.
            map.remove("discriminator");
        }
        Value::Array(list) => list.iter_mut().for_each(plain),
        _ => {}
    }
}

#[tokio::test]
async fn answers_fit_the_description() {
    let Some(description) = description() else {
        return;
    };
    let world = World::contoso().await;
    let check = |name: &str, value: &Value| {
        let mut schema = description.clone();
        schema["$ref"] = format!("#/components/schemas/microsoft.graph.{name}").into();
        let schema = jsonschema::options().build(&schema).unwrap();
        let problems: Vec<String> = schema
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(problems.is_empty(), "{name}: {problems:#?}\n{value:#}");
    };
    let mut strict = description.clone();
    strict["$ref"] = "#/components/schemas/microsoft.graph.message".into();
    let strict = jsonschema::options().build(&strict).unwrap();
    assert!(!strict.is_valid(&json!({"subject": 7})), "the check checks");
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
