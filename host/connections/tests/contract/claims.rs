//! Claims challenges: a policy ends a token before its time, and the next sign-in is asked for with
//! what the policy wants, also days later and by another process.

use docket_connections::{AuthErrorClass, ConnectionError, GateError};

use crate::support::*;

const POLICY: &str = "docket-policy";
const READ: &str = "GET {graph}/v1.0/users/{mailbox}/messages";
const CREATE: &str = "POST {graph}/v1.0/users/{mailbox}/messages";

/// The `claims` that the next sign-in is asked for with.
fn asked_for(office: &Office) -> String {
    let begun = office
        .project
        .connections
        .begin_sign_in(NAME, None, Some(REDIRECT), &scopes())
        .unwrap();
    let mut pairs = begun.authorize_url.query_pairs();
    let (_, claims) = pairs.find(|(name, _)| name == "claims").unwrap();
    claims.into_owned()
}

/// A policy demands a stronger sign-in of the account from now on.
fn demand(office: &Office) {
    let state = office.tenant.state();
    state
        .set_user_state(ACCOUNT, |state| state.mfa_demanded = true)
        .unwrap();
}

async fn read(office: &Office) -> Result<u16, GateError> {
    let url = office.mailbox_url("messages?$top=1");
    let binding = office.project.binding(&[READ]);
    let answer = binding.send(signed(get(&url))).await?;
    Ok(answer.status)
}

#[tokio::test]
async fn a_challenge_is_passed_on_to_the_next_sign_in() {
    let office = Office::open().await;
    assert_eq!(read(&office).await.unwrap(), 200);
    let before = asked_for(&office);
    assert!(
        before.contains("cp1") && !before.contains(POLICY),
        "{before}"
    );

    demand(&office);
    let Err(GateError::SignInRequired(why)) = read(&office).await else {
        panic!("the token was refused, and a refresh gives no other");
    };
    assert!(why.contains("stronger sign-in"), "{why}");
    assert!(
        !why.contains(POLICY),
        "what the policy wants is nobody's to read"
    );
    assert!(asked_for(&office).contains(POLICY));

    // Whoever is asked may come later, when the host was started again.
    let office = office.reopened();
    let claims = asked_for(&office);
    assert!(
        claims.contains(POLICY) && claims.contains("cp1"),
        "{claims}"
    );
    office.sign_in().await;
    assert_eq!(read(&office).await.unwrap(), 200);
    assert!(!asked_for(&office).contains(POLICY), "it was answered");
}

#[tokio::test]
async fn a_request_that_changes_something_is_not_repeated_and_the_challenge_is_kept() {
    let office = Office::open().await;
    assert_eq!(read(&office).await.unwrap(), 200);
    demand(&office);
    let before = office.tenant.state().requests().len();
    let create = signed(request("POST", &office.mailbox_url("messages")));
    let binding = office.project.binding(&[CREATE]);
    let answer = binding.send(create).await.unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(header(&answer, "www-authenticate"), None);
    assert_eq!(office.tenant.state().requests().len(), before + 1);

    let state = office.project.connections.sign_in_state(NAME, None).await;
    let Err(ConnectionError::Auth(error)) = state else {
        panic!("{state:?}");
    };
    assert_eq!(error.class, AuthErrorClass::SignInRequired);
    let shown = format!("{error:?} {}", serde_json::to_string(&error).unwrap());
    assert!(!shown.contains(POLICY), "{shown}");
    assert!(asked_for(&office).contains(POLICY));
}
