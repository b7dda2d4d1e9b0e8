//! App-only limits, scopes, and consent.

use docket_tenant::{AppConfig, DEMO_CLIENT_ID, RbacGrant, RedirectKind, RedirectUri};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use crate::client::{ANNA, BEN, CONTRACTS, INVOICES, SERVICE, World, expect, mail, refusal};

async fn read(world: &World, mailbox: &str, token: &str) -> Response {
    let url = format!("{}v1.0/users/{mailbox}/messages", world.tenant.graph());
    world.http.get(url).bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn app_only_is_limited_by_policy_and_widened_by_rbac() {
    let world = World::contoso().await;
    let state = world.tenant.state();
    let token = world.token_for(None, &["Mail.Read"]);
    assert_eq!(read(&world, ANNA, &token).await.status(), StatusCode::OK);
    state
        .set_app(DEMO_CLIENT_ID, |app| {
            app.access_policy = Some(vec![INVOICES.into()])
        })
        .unwrap();
    let body: serde_json::Value = read(&world, ANNA, &token).await.json().await.unwrap();
    assert_eq!(body["error"]["message"], "Access to OData is disabled.");
    assert_eq!(
        read(&world, INVOICES, &token).await.status(),
        StatusCode::OK
    );

    // RBAC needs no role in the token, and adds to what is there.
    let bare = world.token_for(None, &[]);
    assert_eq!(
        refusal(read(&world, BEN, &bare).await).await,
        (403, "ErrorAccessDenied".into())
    );
    let grant = RbacGrant {
        role: "Mail.Read".into(),
        mailboxes: vec![BEN.into()],
    };
    state
        .set_app(DEMO_CLIENT_ID, |app| app.rbac = vec![grant])
        .unwrap();
    assert_eq!(read(&world, BEN, &bare).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn scopes_open_one_door_each() {
    let world = World::contoso().await;
    // scopes, own inbox, own draft, shared inbox
    let table: [(&[&str], u16, u16, u16); 5] = [
        (&[], 403, 403, 403),
        (&["Mail.ReadBasic"], 200, 403, 403),
        (&["Mail.Read"], 200, 403, 403),
        (&["Mail.ReadWrite"], 200, 201, 403),
        (&["Mail.ReadWrite.Shared"], 200, 201, 200),
    ];
    for (scopes, own, draft, shared) in table {
        let token = world.token_for(Some(SERVICE), scopes);
        let url = format!("{}v1.0/me/messages", world.tenant.graph());
        let create = world
            .http
            .post(url)
            .bearer_auth(&token)
            .json(&mail("x", ANNA))
            .send()
            .await
            .unwrap();
        let got = (
            read(&world, SERVICE, &token).await.status().as_u16(),
            create.status().as_u16(),
            read(&world, CONTRACTS, &token).await.status().as_u16(),
        );
        assert_eq!(got, (own, draft, shared), "{scopes:?}");
    }
    let basic = world.token_for(Some(SERVICE), &["Mail.ReadBasic"]);
    let list: serde_json::Value = read(&world, SERVICE, &basic).await.json().await.unwrap();
    assert!(
        list["value"][0].get("body").is_none(),
        "ReadBasic shows no bodies"
    );
    let other = read(&world, ANNA, &world.token).await;
    assert_eq!(
        refusal(other).await,
        (403, "ErrorAccessDenied".into()),
        "no Full Access"
    );
    let me = world
        .http
        .get(format!("{}v1.0/me", world.tenant.graph()))
        .bearer_auth(&basic)
        .send()
        .await
        .unwrap();
    assert_eq!(
        refusal(me).await,
        (403, "Authorization_RequestDenied".into())
    );
    let nobody = world
        .graph(Method::GET, "/users/nobody@contoso.example")
        .send()
        .await
        .unwrap();
    assert_eq!(
        refusal(nobody).await,
        (404, "Request_ResourceNotFound".into())
    );
}

#[tokio::test]
async fn users_consent_unless_they_may_not() {
    let world = World::contoso().await;
    let client = "22222222-2222-4333-8444-555555555555";
    let mut app = AppConfig::new(client, "needy app");
    app.admin_consented = false;
    app.delegated = vec!["Mail.Send".into()];
    app.redirects = vec![RedirectUri {
        uri: "http://localhost/cb".into(),
        kind: RedirectKind::Public,
    }];
    world.tenant.state().add_app(app);
    let base = format!(
        "{}{}/",
        world.tenant.authority(),
        world.tenant.state().tenant_id()
    );
    let choose = async |who: &str, extra: &[(&str, &str)]| {
        let mut form = vec![
            ("client_id", client),
            ("response_type", "code"),
            ("redirect_uri", "http://localhost:9/cb"),
            ("scope", "Mail.Send"),
            ("choice", who),
        ];
        form.extend_from_slice(extra);
        world
            .http
            .post(format!("{base}oauth2/v2.0/authorize"))
            .form(&form)
            .send()
            .await
            .unwrap()
    };
    let location = |answer: &Response| answer.headers()["location"].to_str().unwrap().to_owned();
    let asked = choose(ANNA, &[]).await;
    assert_eq!(asked.status(), StatusCode::OK);
    assert!(
        asked
            .text()
            .await
            .unwrap()
            .contains("Permissions requested")
    );
    let declined = choose(ANNA, &[("consent", "decline")]).await;
    assert!(
        location(&declined).contains("error=access_denied")
            && location(&declined).contains("AADSTS65004")
    );
    let given = choose(ANNA, &[("consent", "accept")]).await;
    assert!(location(&given).contains("code="));
    assert!(
        location(&choose(ANNA, &[]).await).contains("code="),
        "asked once"
    );

    world
        .tenant
        .state()
        .set_policies(|policies| policies.user_consent = false);
    let blocked = choose(BEN, &[]).await;
    assert!(
        blocked.text().await.unwrap().contains("AADSTS90094"),
        "shown, not redirected"
    );
    let admin = [
        ("client_id", client),
        ("redirect_uri", "http://localhost:9/cb"),
        ("state", "7"),
    ];
    let page = world
        .http
        .get(format!("{base}adminconsent"))
        .query(&admin)
        .send()
        .await
        .unwrap();
    assert!(page.text().await.unwrap().contains("Pick an account"));
    let decide = async |who: &str, decision: &[(&str, &str)]| {
        let mut form = vec![("choice", who)];
        form.extend_from_slice(decision);
        let url = format!("{base}adminconsent");
        let request = world.http.post(url).query(&admin).form(&form);
        request.send().await.unwrap()
    };
    let refused = decide(ANNA, &[("decision", "accept")]).await;
    assert!(refused.text().await.unwrap().contains("AADSTS90094"));
    let page = decide("admin@contoso.example", &[]).await;
    assert!(page.text().await.unwrap().contains("Mail.Send"));
    let accepted = decide("admin@contoso.example", &[("decision", "accept")]).await;
    let accepted = location(&accepted);
    assert!(
        accepted.contains("admin_consent=True") && accepted.contains("state=7"),
        "{accepted}"
    );
}

#[tokio::test]
async fn policies_are_switched_by_control() {
    let world = World::contoso().await;
    let url = format!("{}_tenant/policies", world.tenant.plain());
    let put = world
        .http
        .put(&url)
        .json(&json!({"shared_upload_refused": true}))
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), StatusCode::NO_CONTENT);
    let draft = world
        .post(
            &format!("/users/{CONTRACTS}/messages"),
            &mail("x", ANNA),
            201,
        )
        .await;
    let path = format!(
        "/users/{CONTRACTS}/messages/{}/attachments/createUploadSession",
        draft["id"].as_str().unwrap().replace('=', "%3D")
    );
    let item =
        json!({"AttachmentItem": {"attachmentType": "file", "name": "a", "size": 3_000_000}});
    let refused = world
        .graph(Method::POST, &path)
        .json(&item)
        .send()
        .await
        .unwrap();
    assert_eq!(refusal(refused).await, (403, "ErrorAccessDenied".into()));
    let shown = world.http.get(&url).send().await.unwrap();
    assert_eq!(
        expect(shown, StatusCode::OK).await["folder_exists_status"],
        400
    );
}
