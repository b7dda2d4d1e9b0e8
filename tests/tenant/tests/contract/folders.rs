//! Folders and delta queries.

use docket_tenant::{Recipient, SeedMail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{INVOICES, SERVICE, World, expect, refusal};

#[tokio::test]
async fn folders_are_made_once() {
    let world = World::contoso().await;
    let inbox = world.get("/me/mailFolders/inbox").await;
    assert_eq!(inbox["displayName"], "Inbox");
    let made = world
        .post(
            "/me/mailFolders/inbox/childFolders",
            &json!({"displayName": "2026"}),
            201,
        )
        .await;
    assert_eq!(made["parentFolderId"], inbox["id"]);
    let twice = world
        .graph(Method::POST, "/me/mailFolders/inbox/childFolders")
        .json(&json!({"displayName": "2026"}));
    assert_eq!(
        refusal(twice.send().await.unwrap()).await,
        (400, "ErrorFolderExists".into())
    );
    world
        .tenant
        .state()
        .set_policies(|policies| policies.folder_exists_status = 409);
    let twice = world
        .graph(Method::POST, "/me/mailFolders/inbox/childFolders")
        .json(&json!({"displayName": "2026"}));
    assert_eq!(
        refusal(twice.send().await.unwrap()).await,
        (409, "ErrorFolderExists".into())
    );

    let hidden = world
        .post(
            "/me/mailFolders",
            &json!({"displayName": "Shadow", "isHidden": true}),
            201,
        )
        .await;
    let names = async |query: &str| -> Vec<String> {
        let list = world.get(&format!("/me/mailFolders?$top=100{query}")).await;
        list["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["displayName"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(!names("").await.contains(&"Shadow".to_owned()));
    assert!(
        names("&includeHiddenFolders=true")
            .await
            .contains(&"Shadow".to_owned())
    );
    assert_eq!(hidden["isHidden"], true);
    let protected = world
        .graph(Method::DELETE, "/me/mailFolders/inbox")
        .send()
        .await
        .unwrap();
    assert_eq!(protected.status(), StatusCode::FORBIDDEN);
    let counts = world
        .get(&format!(
            "/users/{INVOICES}/mailFolders?$filter=displayName eq 'Invoices'"
        ))
        .await;
    assert_eq!(
        (
            &counts["value"][0]["totalItemCount"],
            &counts["value"][0]["unreadItemCount"]
        ),
        (&json!(4), &json!(4))
    );
}

async fn round(world: &World, link: &str) -> (Vec<Value>, String) {
    let mut rows = Vec::new();
    let mut link = link.to_owned();
    loop {
        let answer = world
            .http
            .get(&link)
            .bearer_auth(&world.token)
            .header("prefer", "odata.maxpagesize=2")
            .send()
            .await
            .unwrap();
        let page = expect(answer, StatusCode::OK).await;
        rows.extend(page["value"].as_array().unwrap().iter().cloned());
        match page["@odata.nextLink"].as_str() {
            Some(next) => next.clone_into(&mut link),
            None => return (rows, page["@odata.deltaLink"].as_str().unwrap().to_owned()),
        }
    }
}

#[tokio::test]
async fn delta_follows_a_folder() {
    let world = World::contoso().await;
    let add = |subject: &str| {
        world
            .tenant
            .state()
            .add_message(&SeedMail::text(
                SERVICE,
                Recipient::of("a@fabrikam.example"),
                subject,
                "t",
            ))
            .unwrap()
    };
    let ids: Vec<String> = (0..5).map(|number| add(&format!("m{number}"))).collect();
    let start = format!(
        "{}v1.0/me/mailFolders/inbox/messages/delta?$select=subject,isRead",
        world.tenant.graph()
    );
    let (first, link) = round(&world, &start).await;
    assert_eq!(first.len(), 5);
    assert!(first[0].get("body").is_none(), "options ride in the token");
    let (nothing, link) = round(&world, &link).await;
    assert!(nothing.is_empty());

    add("new");
    let patch = world
        .graph(
            Method::PATCH,
            &format!("/me/messages/{}", ids[1].replace('=', "%3D")),
        )
        .json(&json!({"isRead": true}));
    expect(patch.send().await.unwrap(), StatusCode::OK).await;
    world
        .post(
            &format!("/me/messages/{}/move", ids[0].replace('=', "%3D")),
            &json!({"destinationId": "archive"}),
            201,
        )
        .await;
    let (changes, link) = round(&world, &link).await;
    assert_eq!(changes.len(), 3, "{changes:#?}");
    let removed: Vec<&Value> = changes
        .iter()
        .filter(|one| one.get("@removed").is_some())
        .collect();
    assert_eq!(removed.len(), 1);
    assert_eq!(
        removed[0]["id"],
        ids[0].as_str(),
        "under the id it had here"
    );
    let archive = format!(
        "{}v1.0/me/mailFolders/archive/messages/delta",
        world.tenant.graph()
    );
    assert_eq!(
        round(&world, &archive).await.0.len(),
        1,
        "a move is a creation elsewhere"
    );

    world.tenant.state().lose_delta(SERVICE).unwrap();
    let lost = world
        .http
        .get(&link)
        .bearer_auth(&world.token)
        .send()
        .await
        .unwrap();
    assert_eq!(refusal(lost).await, (410, "SyncStateNotFound".into()));
    let bad = world
        .graph(Method::GET, "/me/mailFolders/inbox/messages/delta")
        .query(&[("$search", "x")])
        .send()
        .await
        .unwrap();
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
}
