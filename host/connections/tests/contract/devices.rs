//! Device codes: a code on one machine, a browser on another, and the right person behind it.

use docket_connections::{AuthErrorClass, ConnectionError, SignedIn};
use docket_tenant::{DEMO_CLIENT_ID, TenantState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

/// Somebody enters the code on the tenant's page and picks an account; an empty one declines.
async fn enter(office: &Office, code: &str, user: &str) {
    let port = office.tenant.plain().port().unwrap();
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("code", code)
        .append_pair("choice", user)
        .finish();
    let request = format!(
        "POST /common/oauth2/deviceauth HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

async fn sign_in_as(
    office: &Office,
    user: &str,
) -> Result<SignedIn, docket_connections::AuthError> {
    let connections = &office.project.connections;
    let begun = connections
        .begin_device_sign_in(NAME, None, &scopes())
        .await
        .unwrap();
    enter(office, &begun.user_code, user).await;
    connections.finish_device_sign_in(begun).await
}

#[tokio::test]
async fn a_code_is_entered_elsewhere() {
    let office = Office::closed(|_, _| {}).await;
    let connections = &office.project.connections;
    let begun = connections
        .begin_device_sign_in(NAME, None, &scopes())
        .await
        .unwrap();
    assert!(
        begun.message.contains(&begun.user_code),
        "{}",
        begun.message
    );
    assert_eq!(begun.expires_at.to_string(), "2026-11-21T09:15:00Z");
    assert_eq!(begun.account(), ACCOUNT);
    let shown = serde_json::to_value(&begun).unwrap();
    assert_eq!(shown["user-code"], begun.user_code.as_str());
    assert_eq!(
        shown.as_object().unwrap().len(),
        4,
        "no device code in it: {shown}"
    );
    enter(&office, &begun.user_code.clone(), ACCOUNT).await;
    let signed_in = connections.finish_device_sign_in(begun).await.unwrap();
    assert_eq!(signed_in.principal.account, ACCOUNT);
    assert_eq!(signed_in.missing, [""; 0]);
    let binding = office
        .project
        .binding(&["GET {graph}/v1.0/users/{mailbox}/messages"]);
    let response = binding
        .send(signed(get(&office.mailbox_url("messages"))))
        .await
        .unwrap();
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn somebody_else_and_nobody_are_refused() {
    let office = Office::closed(|_, _| {}).await;
    let error = sign_in_as(&office, "anna@contoso.example")
        .await
        .unwrap_err();
    assert_eq!(error.class, AuthErrorClass::SignInRequired);
    assert_eq!((&*error.connection, &*error.account), (NAME, ACCOUNT));
    for part in ["anna@contoso.example signed in", ACCOUNT] {
        assert!(error.message.contains(part), "{error}");
    }
    let declined = sign_in_as(&office, "").await.unwrap_err();
    assert!(
        declined.message.contains("declined") || declined.message.contains("refused"),
        "{declined}"
    );
    let status = office.project.connections.status().unwrap().remove(0);
    assert!(status.signed_in.is_empty());
}

#[tokio::test]
async fn a_client_that_may_not() {
    let office = Office::closed(|_, _| {}).await;
    let state: &TenantState = office.tenant.state();
    let connections = &office.project.connections;
    // No secret, and public client flows are off.
    let vault = office.project.folder.path().join("vault");
    for entry in std::fs::read_dir(&vault).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("vault.json") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let error = sign_in_as(&office, ACCOUNT).await.unwrap_err();
    assert_eq!(error.class, AuthErrorClass::Credential);
    assert!(error.to_string().contains("public client flows"), "{error}");
    state
        .set_app(DEMO_CLIENT_ID, |app| app.client_id = "gone".to_owned())
        .unwrap();
    assert!(matches!(
        connections.begin_device_sign_in("x", None, &[]).await,
        Err(ConnectionError::Unknown(_))
    ));
}
