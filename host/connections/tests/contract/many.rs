//! Connections of many users: what ails one of them is not the others' trouble.

use docket_connections::{AuthErrorClass, Callback, ConnectionError, FinishError, SignIn};
use docket_tenant::{DEMO_CLIENT_ID, Fault, FaultAction, UserConfig, UserState};
use jiff::SignedDuration;

use crate::kinds::*;
use crate::support::*;

/// One of many users may have left, or be blocked: that says nothing of a credential.
#[tokio::test]
async fn a_secret_is_not_judged_by_an_account_that_is_blocked() {
    let office = people().await;
    for user in [ANNA, BEN] {
        user_signs_in(&office, user, user).await.unwrap();
    }
    let state = office.tenant.state();
    let later = "2027-05-01T00:00:00Z".parse().unwrap();
    let connections = &office.project.connections;
    for user in [ANNA, BEN] {
        let disable = |state: &mut UserState| state.disabled = true;
        state.set_user_state(user, disable).unwrap();
    }
    let secret = state.add_secret(DEMO_CLIENT_ID, later).unwrap().value;
    let rotate = async |secret: &str| {
        let secret = secret.into();
        let rotated = connections.rotate_secret(NAME, &secret, Some(later));
        rotated.await
    };
    assert_eq!(rotate(&secret).await, Ok(()));
    assert!(rotate("wrong").await.is_err());
}

#[tokio::test]
async fn a_user_is_told_the_command_of_their_own_sign_in() {
    let office = people().await;
    user_signs_in(&office, ANNA, ANNA).await.unwrap();
    let late = "2027-02-10T09:00:00Z".parse().unwrap();
    let lapse = office.project.connections.forecast(late).unwrap().remove(0);
    let command = format!("docket connections authorize {NAME} --user {ANNA}`");
    assert!(lapse.remedy.contains(&command), "{}", lapse.remedy);
}

/// Nobody mends a damaged secret by signing in.
#[tokio::test]
async fn a_damaged_secret_is_no_matter_of_a_sign_in() {
    let office = robot().await;
    let folder = office.project.folder.path().join("vault");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("vault.json") {
            std::fs::write(path, "cut").unwrap();
        }
    }
    let connections = &office.project.connections;
    match connections.sign_in_state(NAME, None).await {
        Err(ConnectionError::Auth(error)) => {
            assert_eq!(error.class, AuthErrorClass::Credential, "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// A sign-in service that is not there is asked a few times, not once for each user.
#[tokio::test]
async fn the_many_are_not_tried_at_a_service_that_is_not_there() {
    let office = people().await;
    let state = office.tenant.state();
    let users: Vec<String> = (0..6)
        .map(|n| format!("user-{n}@contoso.example"))
        .collect();
    for user in &users {
        state.add_user(UserConfig::person(user, user));
        user_signs_in(&office, user, user).await.unwrap();
    }
    office.project.clock.advance(SignedDuration::from_hours(25));
    let down = Fault::next("POST", "*/token", FaultAction::ResetBefore).always();
    state.add_fault(down);
    let kept = office
        .project
        .connections
        .keep_alive(docket_model::Clock::now(office.project.clock.as_ref()));
    assert_eq!(kept.await.unwrap().len(), 3);
}

/// A link for one person, clicked as often as anybody likes, keeps nobody else from theirs.
#[tokio::test]
async fn sign_ins_that_begin_end_the_oldest_of_the_same_account() {
    let office = people().await;
    let connections = &office.project.connections;
    let finish = async |begun: &SignIn| {
        let callback = Callback::from_query(&format!("state={}&code=x", begun.state)).unwrap();
        connections.finish_sign_in(callback).await
    };
    let begin = |user| {
        let begun = connections.begin_sign_in(NAME, Some(user), Some(REDIRECT), &[]);
        begun.unwrap()
    };
    let (others, first) = (begin(ANNA), begin(BEN));
    office.project.clock.advance(SignedDuration::from_secs(1));
    for _ in 0..100 {
        begin(BEN);
    }
    assert_eq!(finish(&first).await, Err(FinishError::Unknown));
    // The code is none, and the sign-in is the one that it was sent for.
    assert!(matches!(finish(&others).await, Err(FinishError::Auth(_))));
    user_signs_in(&office, ANNA, ANNA).await.unwrap();
}
