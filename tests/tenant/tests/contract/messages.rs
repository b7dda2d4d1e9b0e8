//! Reading, finding, moving and following messages.

use docket_tenant::{Recipient, SeedMail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{ANNA, INVOICES, SERVICE, World, expect, mail, refusal};

const PROPERTY: &str = "String {00020329-0000-0000-C000-000000000046} Name Docket";
const IMMUTABLE: (&str, &str) = ("prefer", "IdType=\"ImmutableId\"");

fn escaped(id: &Value) -> String {
    id.as_str().unwrap().replace('=', "%3D")
}

#[tokio::test]
async fn moving_changes_ids_and_keeps_immutable_ones() {
    let world = World::contoso().await;
    let inbox = format!(
        "/users/{INVOICES}/mailFolders/{}/messages",
        folder_id(&world, "Invoices").await
    );
    let list = world.get(&format!("{inbox}?$top=1")).await;
    let id = escaped(&list["value"][0]["id"]);
    let answer = world
        .graph(Method::GET, &format!("/users/{INVOICES}/messages/{id}"))
        .header(IMMUTABLE.0, IMMUTABLE.1);
    let answer = answer.send().await.unwrap();
    assert_eq!(
        answer.headers()["preference-applied"],
        "IdType=\"ImmutableId\""
    );
    let immutable = escaped(&expect(answer, StatusCode::OK).await["id"]);
    assert_ne!(immutable, id);

    let target = folder_id(&world, "Processed").await;
    let moved = world
        .post(
            &format!("/users/{INVOICES}/messages/{id}/move"),
            &json!({"destinationId": target}),
            201,
        )
        .await;
    assert_ne!(escaped(&moved["id"]), id);
    assert_eq!(moved["parentFolderId"], target.as_str());
    let old = world
        .graph(Method::GET, &format!("/users/{INVOICES}/messages/{id}"))
        .send()
        .await
        .unwrap();
    assert_eq!(refusal(old).await, (404, "ErrorItemNotFound".into()));
    let cut = world
        .graph(
            Method::GET,
            &format!("/users/{INVOICES}/messages/{}", &id[..40]),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(refusal(cut).await, (400, "ErrorInvalidIdMalformed".into()));
    let foreign = world
        .graph(
            Method::GET,
            &format!("/me/messages/{}", escaped(&moved["id"])),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(
        refusal(foreign).await,
        (400, "ErrorInvalidIdMalformed".into())
    );
    let same = world
        .get(&format!("/users/{INVOICES}/messages/{immutable}"))
        .await;
    assert_eq!(same["subject"], moved["subject"]);
    let ids = json!({"inputIds": [moved["id"]], "sourceIdType": "restId", "targetIdType": "restImmutableEntryId"});
    let translated = world
        .post(
            &format!("/users/{INVOICES}/translateExchangeIds"),
            &ids,
            200,
        )
        .await;
    assert_eq!(escaped(&translated["value"][0]["targetId"]), immutable);

    let by_name = world.graph(
        Method::POST,
        &format!("/users/{INVOICES}/messages/{immutable}/move"),
    );
    let by_name = by_name
        .json(&json!({"destinationId": "Processed"}))
        .send()
        .await
        .unwrap();
    assert_eq!(
        refusal(by_name).await,
        (400, "ErrorInvalidIdMalformed".into()),
        "a display name is no id"
    );
}

async fn folder_id(world: &World, name: &str) -> String {
    let path = format!("/users/{INVOICES}/mailFolders?$filter=displayName%20eq%20'{name}'");
    world.get(&path).await["value"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_stamp_is_found_again() {
    let world = World::contoso().await;
    let mut draft = mail("stamped", "x@fabrikam.example");
    draft["singleValueExtendedProperties"] = json!([{"id": PROPERTY, "value": "Key-1"}]);
    let created = world.post("/me/messages", &draft, 201).await;
    assert!(
        created.get("singleValueExtendedProperties").is_none(),
        "only on $expand"
    );
    world
        .post("/me/messages", &mail("other", "x@fabrikam.example"), 201)
        .await;
    let find = async |value: &str| {
        let filter = format!(
            "singleValueExtendedProperties/Any(ep: ep/id eq '{PROPERTY}' and ep/value eq '{value}')"
        );
        let expand = format!("singleValueExtendedProperties($filter=id eq '{PROPERTY}')");
        let answer = world
            .graph(Method::GET, "/me/messages")
            .query(&[("$filter", filter), ("$expand", expand)]);
        expect(answer.send().await.unwrap(), StatusCode::OK).await["value"]
            .as_array()
            .unwrap()
            .clone()
    };
    let found = find("key-1").await;
    assert_eq!(found.len(), 1, "values ignore case");
    assert_eq!(found[0]["subject"], "stamped");
    assert_eq!(
        found[0]["singleValueExtendedProperties"][0]["value"],
        "Key-1"
    );
    assert!(find("key-2").await.is_empty());

    let filter = format!(
        "internetMessageId eq '{}'",
        created["internetMessageId"].as_str().unwrap()
    );
    let answer = world
        .graph(Method::GET, "/me/messages")
        .query(&[("$filter", filter), ("$select", "subject".into())]);
    let by_id = expect(answer.send().await.unwrap(), StatusCode::OK).await;
    assert_eq!(by_id["value"][0]["subject"], "stamped");
    assert!(by_id["value"][0].get("body").is_none() && by_id["value"][0].get("id").is_some());
}

#[tokio::test]
async fn lists_come_in_pages_on_the_same_origin() {
    let world = World::contoso().await;
    for number in 0..25 {
        let from = Recipient::of(if number % 2 == 0 {
            "even@fabrikam.example"
        } else {
            "odd@fabrikam.example"
        });
        let mut seed = SeedMail::text(SERVICE, from, &format!("m{number:02}"), "text");
        seed.age = jiff::SignedDuration::from_mins(number);
        world.tenant.state().add_message(&seed).unwrap();
    }
    let mut seen = Vec::new();
    let mut next = Some(format!(
        "{}v1.0/me/mailFolders('Inbox')/messages?$select=subject&$count=true",
        world.tenant.graph()
    ));
    while let Some(link) = next {
        assert!(link.starts_with(world.tenant.graph().as_str()), "{link}");
        let answer = world
            .http
            .get(link)
            .bearer_auth(&world.token)
            .send()
            .await
            .unwrap();
        let page = expect(answer, StatusCode::OK).await;
        assert_eq!(page["@odata.count"], 25);
        seen.extend(
            page["value"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["subject"].as_str().unwrap().to_owned()),
        );
        next = page["@odata.nextLink"].as_str().map(str::to_owned);
    }
    let expected: Vec<String> = (0..25).map(|number| format!("m{number:02}")).collect();
    assert_eq!(seen, expected);

    let query = async |pairs: &[(&str, &str)]| {
        world
            .graph(Method::GET, "/me/messages")
            .query(pairs)
            .send()
            .await
            .unwrap()
    };
    let odd = query(&[
        (
            "$filter",
            "from/emailAddress/address eq 'ODD@fabrikam.example'",
        ),
        ("$top", "1000"),
    ])
    .await;
    assert_eq!(
        expect(odd, StatusCode::OK).await["value"]
            .as_array()
            .unwrap()
            .len(),
        12
    );
    let order = [
        (
            "$filter",
            "from/emailAddress/address eq 'odd@fabrikam.example'",
        ),
        ("$orderby", "receivedDateTime desc"),
    ];
    assert_eq!(
        refusal(query(&order).await).await,
        (400, "InefficientFilter".into())
    );
    let idiom = [
        (
            "$filter",
            "receivedDateTime ge 1900-01-01T00:00:00Z and from/emailAddress/address eq 'odd@fabrikam.example'",
        ),
        ("$orderby", "receivedDateTime desc"),
    ];
    assert_eq!(query(&idiom).await.status(), StatusCode::OK);
    let oldest = expect(
        query(&[("$orderby", "receivedDateTime"), ("$top", "1")]).await,
        StatusCode::OK,
    )
    .await;
    assert_eq!(oldest["value"][0]["subject"], "m24");
    let found = expect(
        query(&[("$search", "\"subject:m07\"")]).await,
        StatusCode::OK,
    )
    .await;
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
    assert_eq!(
        query(&[("$top", "1001")]).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        query(&[("$filter", "nosuch eq 1")]).await.status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn attachments_of_every_kind() {
    let world = World::contoso().await;
    let list = world
        .get(&format!(
            "/users/{INVOICES}/messages?$select=subject,hasAttachments"
        ))
        .await;
    let flags: Vec<bool> = list["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["hasAttachments"].as_bool().unwrap())
        .collect();
    assert_eq!(flags, [false, true, true, true]);
    let draft = world.post("/me/messages", &mail("files", ANNA), 201).await;
    let path = format!("/me/messages/{}/attachments", escaped(&draft["id"]));
    let inline = json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": "logo.png", "contentBytes": "AAEC", "isInline": true, "contentId": "logo"});
    world.post(&path, &inline, 201).await;
    let shown = world
        .get(&format!("/me/messages/{}", escaped(&draft["id"])))
        .await;
    assert_eq!(shown["hasAttachments"], false, "inline ones do not count");
    let event = json!({"@odata.type": "#microsoft.graph.itemAttachment", "name": "Event", "item": {"@odata.type": "microsoft.graph.event", "subject": "Party"}});
    let event = world.post(&path, &event, 201).await;
    assert!(event.get("contentBytes").is_none());
    let expanded = world
        .get(&format!(
            "{path}/{}?$expand=microsoft.graph.itemattachment/item",
            escaped(&event["id"])
        ))
        .await;
    assert_eq!(expanded["item"]["subject"], "Party");
    let raw = world
        .graph(
            Method::GET,
            &format!("{path}/{}/$value", escaped(&event["id"])),
        )
        .send()
        .await
        .unwrap();
    assert!(raw.text().await.unwrap().contains("SUMMARY:Party"));
    let file = json!({"name": "a.pdf", "contentBytes": "JVBERi0xLjQ="});
    let file = world.post(&path, &file, 201).await;
    assert_eq!(file["contentType"], "application/pdf");
    let raw = world
        .graph(
            Method::GET,
            &format!("{path}/{}/$value", escaped(&file["id"])),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(raw.bytes().await.unwrap(), "%PDF-1.4");
    let slim = world.get(&format!("{path}?$select=id,name,size")).await;
    assert_eq!(slim["value"].as_array().unwrap().len(), 3);
    assert!(slim["value"][0].get("contentBytes").is_none());
    let expanded = world
        .get(&format!(
            "/me/messages/{}?$expand=attachments",
            escaped(&draft["id"])
        ))
        .await;
    assert_eq!(expanded["attachments"].as_array().unwrap().len(), 3);
    let gone = world
        .graph(Method::DELETE, &format!("{path}/{}", escaped(&file["id"])))
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    let mime = world
        .graph(
            Method::GET,
            &format!("/me/messages/{}/$value", escaped(&draft["id"])),
        )
        .send()
        .await
        .unwrap();
    assert!(mime.text().await.unwrap().contains("Subject: files"));
}

#[tokio::test]
async fn drafts_change_and_sent_mail_does_not() {
    let world = World::contoso().await;
    let draft = world.post("/me/messages", &mail("before", ANNA), 201).await;
    assert_eq!(draft["isDraft"], true);
    let path = format!("/me/messages/{}", escaped(&draft["id"]));
    let patch = async |body: Value| {
        world
            .graph(Method::PATCH, &path)
            .json(&body)
            .send()
            .await
            .unwrap()
    };
    let changed = expect(
        patch(json!({"subject": "after", "isRead": "true"})).await,
        StatusCode::OK,
    )
    .await;
    assert_eq!(changed["subject"], "after");
    assert_ne!(changed["changeKey"], draft["changeKey"]);
    assert_eq!(
        refusal(patch(json!({"nonsense": 1})).await).await,
        (400, "RequestBodyRead".into())
    );
    let stale = world
        .graph(Method::PATCH, &path)
        .header("if-match", draft["@odata.etag"].as_str().unwrap());
    let stale = stale.json(&json!({"subject": "x"})).send().await.unwrap();
    assert_eq!(
        refusal(stale).await,
        (412, "ErrorIrresolvableConflict".into())
    );
    let seed = SeedMail::text(
        SERVICE,
        Recipient::of("a@fabrikam.example"),
        "fixed",
        "text",
    );
    let id = world
        .tenant
        .state()
        .add_message(&seed)
        .unwrap()
        .replace('=', "%3D");
    let received = world
        .graph(Method::PATCH, &format!("/me/messages/{id}"))
        .json(&json!({"subject": "x"}))
        .send()
        .await
        .unwrap();
    assert_eq!(received.status(), StatusCode::BAD_REQUEST);
    let flagged = world
        .graph(Method::PATCH, &format!("/me/messages/{id}"))
        .json(&json!({"categories": ["Red"], "isRead": true}))
        .send()
        .await
        .unwrap();
    assert_eq!(
        expect(flagged, StatusCode::OK).await["categories"],
        json!(["Red"])
    );
    let text = world
        .graph(Method::GET, &path)
        .header("prefer", "outlook.body-content-type=\"text\"")
        .send()
        .await
        .unwrap();
    assert_eq!(
        expect(text, StatusCode::OK).await["body"],
        json!({"contentType": "text", "content": "Hello"})
    );
    let deleted = world.graph(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(world.subjects(SERVICE, "deleteditems"), ["after"]);
}
