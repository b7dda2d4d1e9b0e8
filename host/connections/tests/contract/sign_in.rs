//! Signing in: the right account by the right answer, and nobody by any other.

use docket_connections::{
    AuthErrorClass, Callback, ConnectionError, FinishError, LoopbackRedirect,
};
use docket_tenant::{Fault, FaultAction};
use jiff::SignedDuration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

#[tokio::test]
async fn the_whole_way_through_the_loopback_redirect() {
    let office = Office::closed(|_, _| {}).await;
    let connections = &office.project.connections;
    let before = connections.status().unwrap().remove(0);
    assert_eq!((before.credentials.len(), before.signed_in.len()), (1, 0));

    let redirect = LoopbackRedirect::bind().await.unwrap();
    let begun = connections
        .begin_sign_in(NAME, None, Some(&redirect.redirect_uri()), &scopes())
        .unwrap();
    let asked: Vec<(String, String)> = begun.authorize_url.query_pairs().into_owned().collect();
    let value = |name: &str| {
        let found: Vec<_> = asked
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, v)| v)
            .collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found[0].as_str()
    };
    assert_eq!(value("code_challenge_method"), "S256");
    assert_eq!(value("response_type"), "code");
    assert_eq!(value("login_hint"), ACCOUNT);
    assert_eq!(value("state"), begun.state);
    assert_eq!(
        value("scope"),
        "Mail.ReadWrite.Shared Mail.Send.Shared offline_access openid profile"
    );
    assert!(value("nonce").len() >= 20 && value("code_challenge").len() == 43);

    let query = choose(&office.tenant, &begun.authorize_url, ACCOUNT).await;
    let port = redirect
        .redirect_uri()
        .rsplit(':')
        .next()
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let browser = tokio::spawn(async move {
        let mut stream = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}"))
            .await
            .unwrap();
        let request = format!("GET /callback?{query} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        page
    });
    let callback = redirect.wait(&begun.state).await.unwrap();
    assert!(browser.await.unwrap().contains("Thank you"));
    let signed_in = connections.finish_sign_in(callback).await.unwrap();
    assert_eq!(signed_in.principal.account, ACCOUNT);
    assert_eq!(signed_in.principal.connection, NAME);
    assert_eq!(signed_in.missing, [""; 0]);

    let after = connections.status().unwrap().remove(0).signed_in.remove(0);
    assert_eq!(after.account, ACCOUNT);
    assert_eq!(after.tid, office.tenant.state().tenant_id());
    assert_eq!(after.since.to_string(), "2026-11-21T09:00:00Z");
    assert!(
        after
            .scopes
            .iter()
            .any(|scope| scope.ends_with("Mail.Send.Shared"))
    );

    // The code's own access token is used: no refresh for the first request.
    let asked = office.token_requests();
    let binding = office
        .project
        .binding(&["GET {graph}/v1.0/users/{mailbox}/messages"]);
    let response = binding
        .send(signed(get(&office.mailbox_url("messages"))))
        .await
        .unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(office.token_requests(), asked);
}

#[tokio::test]
async fn somebody_else_is_refused_and_told_so() {
    let office = Office::open().await;
    let error = office.sign_in_as("anna@contoso.example").await.unwrap_err();
    let text = error.to_string();
    for part in [
        "anna@contoso.example signed in",
        NAME,
        ACCOUNT,
        "docket connections authorize",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // The sign-in that was there stays.
    let status = office.project.connections.status().unwrap().remove(0);
    assert_eq!(status.signed_in[0].account, ACCOUNT);
}

#[tokio::test]
async fn an_answer_is_good_once_and_for_its_own_sign_in() {
    let office = Office::closed(|_, _| {}).await;
    let connections = &office.project.connections;
    let begun = connections
        .begin_sign_in(NAME, None, Some(REDIRECT), &scopes())
        .unwrap();
    let query = choose(&office.tenant, &begun.authorize_url, ACCOUNT).await;
    let callback = Callback::from_query(&query).unwrap();

    for forged in [
        "state=forged&code=c",
        "state=&code=c",
        "state=forged&error=access_denied",
    ] {
        let forged = Callback::from_query(forged).unwrap();
        assert_eq!(
            connections.finish_sign_in(forged).await,
            Err(FinishError::Unknown)
        );
    }
    // Another process, or another project, did not ask for it.
    let other = Office::closed(|_, _| {}).await;
    let foreign = other
        .project
        .connections
        .finish_sign_in(callback.clone())
        .await;
    assert_eq!(foreign, Err(FinishError::Unknown));

    connections.finish_sign_in(callback.clone()).await.unwrap();
    assert_eq!(
        connections.finish_sign_in(callback).await,
        Err(FinishError::Unknown)
    );

    // A code of one sign-in with the state of another: the verifier does not fit.
    let first = connections
        .begin_sign_in(NAME, None, Some(REDIRECT), &scopes())
        .unwrap();
    let second = connections
        .begin_sign_in(NAME, None, Some(REDIRECT), &scopes())
        .unwrap();
    let query = choose(&office.tenant, &first.authorize_url, ACCOUNT).await;
    let crossed = query.replace(&first.state, &second.state);
    assert_ne!(crossed, query);
    let error = connections
        .finish_sign_in(Callback::from_query(&crossed).unwrap())
        .await;
    assert!(matches!(error, Err(FinishError::Auth(_))), "{error:?}");
}

#[tokio::test]
async fn a_sign_in_ends_after_ten_minutes() {
    let office = Office::closed(|_, _| {}).await;
    let connections = &office.project.connections;
    let begun = connections
        .begin_sign_in(NAME, None, Some(REDIRECT), &scopes())
        .unwrap();
    office.project.clock.advance(SignedDuration::from_mins(10));
    let late = Callback::from_query(&format!("state={}&code=c", begun.state)).unwrap();
    assert_eq!(
        connections.finish_sign_in(late).await,
        Err(FinishError::Unknown)
    );
}

#[tokio::test]
async fn refusals_say_who_must_do_what() {
    let office = Office::closed(|_, _| {}).await;
    let check =
        async |user: &str, class: AuthErrorClass, part: &str| match office.sign_in_as(user).await {
            Err(FinishError::Auth(error)) => {
                assert_eq!(error.class, class, "{error}");
                assert!(error.to_string().contains(part), "{error}");
            }
            other => panic!("{other:?}"),
        };
    check("", AuthErrorClass::ConsentRequired, "AADSTS65004").await;
    let state = office.tenant.state();
    let fault = |code| Fault::next("POST", "*/token", FaultAction::Aadsts { code });
    for (code, class, part) in [
        (7_000_222, AuthErrorClass::Credential, "has expired"),
        (7_000_215, AuthErrorClass::Credential, "is wrong"),
        (65_001, AuthErrorClass::ConsentRequired, "adminconsent"),
        (53_003, AuthErrorClass::Blocked, "conditional access"),
        (
            700_016,
            AuthErrorClass::Configuration,
            "connections.contracts in docket.yaml",
        ),
        (90_033, AuthErrorClass::Transient, "not available"),
        (
            700_082,
            AuthErrorClass::SignInRequired,
            "docket connections authorize contracts",
        ),
    ] {
        state.add_fault(fault(code));
        check(ACCOUNT, class, part).await;
    }
    state.add_fault(Fault::next("POST", "*/token", FaultAction::ResetAfter));
    check(ACCOUNT, AuthErrorClass::Transient, "tried again").await;
    office.sign_in().await;
}

#[tokio::test]
async fn an_unknown_connection_is_named() {
    let office = Office::closed(|_, _| {}).await;
    let connections = &office.project.connections;
    let error = connections
        .begin_sign_in("contract", None, Some(REDIRECT), &[])
        .unwrap_err();
    assert!(matches!(error, ConnectionError::Unknown(_)), "{error}");
    assert!(
        error.to_string().contains("there are: contracts"),
        "{error}"
    );
    let error = connections
        .set_client_secret("x", &"canary".into(), None)
        .unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}
