//! Tokens over time: renewed once, stored first, refused with a remedy.

use std::time::Duration;

use docket_connections::{BindingError, Connections, GateError, Request};
use docket_tenant::{DEMO_CLIENT_ID, Fault, FaultAction};
use futures_util::future::join_all;
use jiff::SignedDuration;

use crate::support::*;
use crate::wire::{Act, Server, answer};

const GRANTS: &[&str] = &[
    "GET {graph}/v1.0/users/{mailbox}/messages",
    "POST {graph}/v1.0/users/{mailbox}/messages",
];

fn read(office: &Office) -> Request {
    signed(get(&office.mailbox_url("messages")))
}

async fn status(office: &Office) -> u16 {
    office
        .project
        .binding(GRANTS)
        .send(read(office))
        .await
        .unwrap()
        .status
}

#[tokio::test]
async fn an_account_that_never_signed_in() {
    let office = Office::closed(|_, _| {}).await;
    let binding = office.project.binding(GRANTS);
    let account = binding.account().unwrap();
    assert_eq!(
        (account.connection.as_str(), account.name.as_str()),
        (NAME, ACCOUNT)
    );
    let graph = office
        .tenant
        .graph()
        .as_str()
        .trim_end_matches('/')
        .to_owned();
    assert!(account.endpoints.contains(&("graph".to_owned(), graph)));
    match refused(binding.send(read(&office)).await) {
        GateError::SignInRequired(text) => {
            assert!(
                text.contains("docket connections authorize contracts"),
                "{text}"
            );
            assert!(text.contains(ACCOUNT), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_sign_in_outlives_the_process_and_its_token() {
    let office = Office::open().await;
    assert_eq!(status(&office).await, 200);
    let office = office.reopened();
    assert_eq!(status(&office).await, 200);
    let mut asked = office.token_requests();
    // 75 minutes of life, less the margin of 5.
    for (minutes, refreshes) in [(69, 0), (2, 1), (69, 0), (24 * 60, 1), (89 * 24 * 60, 1)] {
        office
            .project
            .clock
            .advance(SignedDuration::from_mins(minutes));
        assert_eq!(status(&office).await, 200, "after {minutes} more minutes");
        assert_eq!(
            office.token_requests() - asked,
            refreshes,
            "after {minutes} more minutes"
        );
        asked = office.token_requests();
    }
    let now = docket_model::Clock::now(office.project.clock.as_ref());
    let signed_in = office
        .project
        .connections
        .status()
        .unwrap()
        .remove(0)
        .signed_in
        .remove(0);
    assert_eq!(signed_in.refreshed_at, now);
    assert_eq!(signed_in.since.to_string(), "2026-11-21T09:00:00Z");
    // The refresh token that came last is the one that counts: the first one is long dead.
    let office = office.reopened();
    office
        .project
        .clock
        .advance(SignedDuration::from_hours(24 * 30));
    assert_eq!(status(&office).await, 200);
}

#[tokio::test]
async fn one_refresh_for_all_who_wait() {
    let office = Office::open().await.reopened();
    office.tenant.state().clear_requests();
    let binding = office.project.binding(GRANTS);
    let all = join_all((0..40).map(|_| async {
        let response = binding.send(read(&office)).await.unwrap();
        let status = response.status;
        text(response).await.unwrap();
        status
    }))
    .await;
    assert!(all.iter().all(|&status| status == 200), "{all:?}");
    assert_eq!(office.token_requests(), 1);
}

/// A refresh whose asker has gone away still ends with the new token stored and in use.
#[tokio::test]
async fn a_refresh_survives_those_who_asked_for_it() {
    let office = Office::open().await.reopened();
    let state = office.tenant.state();
    state.clear_requests();
    state.add_fault(Fault::next(
        "POST",
        "*/token",
        FaultAction::Latency { millis: 400 },
    ));
    let binding = office.project.binding(GRANTS);
    let hasty = Request {
        timeout: Duration::from_millis(50),
        ..read(&office)
    };
    let error = refused(binding.send(hasty).await);
    assert!(
        matches!(error, GateError::Unreachable(_)),
        "nothing was sent: {error:?}"
    );
    assert_eq!(status(&office).await, 200);
    assert_eq!(
        office.token_requests(),
        1,
        "the patient one joined the refresh of the hasty one"
    );
}

#[tokio::test]
async fn a_lapsed_sign_in_asks_for_a_new_one_and_is_not_hammered() {
    let office = Office::open().await;
    office.tenant.state().revoke_sign_ins(ACCOUNT).unwrap();
    office.project.clock.advance(SignedDuration::from_hours(2));
    let asked = office.token_requests();
    let binding = office.project.binding(GRANTS);
    for _ in 0..3 {
        match refused(binding.send(read(&office)).await) {
            GateError::SignInRequired(text) => {
                assert!(
                    text.contains("docket connections authorize contracts"),
                    "{text}"
                );
                assert!(text.contains("AADSTS"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(office.token_requests() - asked, 1);
    // Somebody else may have signed in meanwhile.
    office.project.clock.advance(SignedDuration::from_secs(31));
    refused(binding.send(read(&office)).await);
    assert_eq!(office.token_requests() - asked, 2);
    office.sign_in().await;
    assert_eq!(status(&office).await, 200);
}

#[tokio::test]
async fn an_expired_secret_waits_for_a_new_one() {
    let office = Office::open().await.reopened();
    let state = office.tenant.state();
    state.expire_secret(DEMO_CLIENT_ID, None).unwrap();
    let binding = office.project.binding(GRANTS);
    match refused(binding.send(read(&office)).await) {
        GateError::SignInRequired(text) => {
            assert!(
                text.contains("client secret of contracts has expired"),
                "{text}"
            );
            for part in [
                "Certificates & secrets",
                "AADSTS7000222: The provided client secret keys for app",
                "https://aka.ms/NewClientSecret",
            ] {
                assert!(text.contains(part), "{text}");
            }
        }
        other => panic!("{other:?}"),
    }
    let later = "2028-01-01T00:00:00Z".parse().unwrap();
    state.add_secret(DEMO_CLIENT_ID, later).unwrap();
    let secret = state.client_secret(DEMO_CLIENT_ID).unwrap();
    office
        .project
        .connections
        .set_client_secret(NAME, &secret.into(), None)
        .unwrap();
    assert_eq!(status(&office).await, 200, "at once, by the same sign-in");
}

#[tokio::test]
async fn a_service_that_is_down_is_not_a_lapsed_sign_in() {
    let pages = [
        answer(500, "Content-Type: text/html\r\n", "<html>canary</html>"),
        answer(200, "", "<html>canary</html>"),
        answer(200, "", r#"{"access_token": "canary"}"#),
        answer(400, "", "canary"),
        answer(503, "", r#"{"error": "temporarily_unavailable"}"#),
        answer(302, "Location: http://evil.invalid/\r\n", ""),
        answer(200, "", &"x".repeat(1024 * 1024 + 1)),
        Act::SayAndClose(String::new()),
    ];
    for (at, page) in pages.into_iter().enumerate() {
        let login = Server::always(page).await;
        let office = Office::open().await;
        let (tenant, mut spec) = (office.tenant, office.spec);
        spec.authority = login.url();
        let office = Office {
            tenant,
            project: office.project,
            spec,
        }
        .reopened();
        let error = refused(office.project.binding(GRANTS).send(read(&office)).await);
        assert!(
            matches!(error, GateError::Unreachable(_)),
            "{at}: {error:?}"
        );
        assert!(
            !format!("{error} {error:?}").contains("canary"),
            "{at}: {error:?}"
        );
        assert_eq!(login.seen().len(), 1, "{at}");
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let office = Office::open().await;
    let state = office.tenant.state();
    let asked = office.token_requests();
    let expired = |method: &str| Fault::next(method, "*/messages", FaultAction::AccessTokenExpired);
    state.add_fault(expired("GET"));
    assert_eq!(status(&office).await, 200, "asked again with a new token");
    assert_eq!(office.token_requests() - asked, 1);

    state.add_fault(expired("GET").always());
    assert_eq!(status(&office).await, 401, "and only once");
    assert_eq!(office.token_requests() - asked, 2);
    state.clear_faults();

    // What changes something is not sent twice; the next request has a new token.
    state.add_fault(expired("POST"));
    let binding = office.project.binding(GRANTS);
    let post = || Request {
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: Some(body(&[r#"{"subject":"x"}"#])),
        ..signed(request("POST", &office.mailbox_url("messages")))
    };
    state.clear_requests();
    assert_eq!(binding.send(post()).await.unwrap().status, 401);
    let posts = |requests: Vec<docket_tenant::Recorded>| {
        let is_post = |request: &&docket_tenant::Recorded| request.path.ends_with("/messages");
        requests.iter().filter(is_post).count()
    };
    assert_eq!(posts(state.requests()), 1);
    assert_eq!(binding.send(post()).await.unwrap().status, 201);
}

/// The new refresh token is on the disk before the access token is used, or neither is.
#[tokio::test]
async fn what_cannot_be_stored_is_not_used() {
    let office = Office::open().await;
    office.project.clock.advance(SignedDuration::from_hours(2));
    let vault = office.project.folder.path().join("vault");
    let away = office.project.folder.path().join("away");
    let state = office.tenant.state();
    state.add_fault(Fault::next(
        "POST",
        "*/token",
        FaultAction::Latency { millis: 300 },
    ));
    state.clear_requests();
    let binding = office.project.binding(GRANTS);
    let sending = binding.send(read(&office));
    let breaking = async {
        refresh_under_way(&office).await;
        std::fs::rename(&vault, &away).unwrap();
    };
    let (sent, ()) = tokio::join!(sending, breaking);
    let error = refused(sent);
    assert!(
        matches!(&error, GateError::Fault(text) if text.contains("vault")),
        "{error:?}"
    );
    let graph = state
        .requests()
        .iter()
        .filter(|request| request.path.ends_with("/messages"))
        .count();
    assert_eq!(graph, 0, "nothing was sent with a token that came with it");
}

/// A sign-in that ends while a refresh of the one before is under way is not overwritten by it.
#[tokio::test]
async fn a_new_sign_in_outranks_a_refresh() {
    let office = Office::open().await;
    office.project.clock.advance(SignedDuration::from_hours(2));
    let state = office.tenant.state();
    state.clear_requests();
    state.add_fault(Fault::next(
        "POST",
        "*/token",
        FaultAction::Latency { millis: 400 },
    ));
    let signing_in = async {
        refresh_under_way(&office).await;
        office.sign_in().await;
        assert_eq!(office.token_requests(), 1, "the refresh is still under way");
    };
    let (status, ()) = tokio::join!(status(&office), signing_in);
    assert_eq!(status, 200);
    assert_eq!(office.token_requests(), 2, "one refresh, one sign-in");
    let mut all = office.project.connections.status().unwrap();
    let since = all.remove(0).signed_in[0].since;
    assert_eq!(since.to_string(), "2026-11-21T11:00:00Z");
}

/// Waits until the service works on a request for a token that a fault delays.
async fn refresh_under_way(office: &Office) {
    let is_hit = |fault: &Fault| fault.hits > 0;
    while !office.tenant.state().faults().iter().any(is_hit) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bindings_that_cannot_be() {
    let office = Office::closed(|_, _| {}).await;
    let connections: &Connections = &office.project.connections;
    let bind = |connection, user, grants: &[&str]| {
        connections
            .binding(connection, user, "exchange", &rules(grants))
            .map(drop)
    };
    assert!(matches!(
        bind(Some("x"), None, &[]),
        Err(BindingError::UnknownConnection(_))
    ));
    assert!(matches!(
        bind(None, Some(ACCOUNT), &[]),
        Err(BindingError::NoConnection(_))
    ));
    let error = bind(Some(NAME), Some("anna@contoso.example"), &[]).unwrap_err();
    assert!(error.to_string().contains("leave `as` out"), "{error}");
    assert_eq!(
        bind(Some(NAME), Some("SVC-docket@Contoso.example"), &[]),
        Ok(())
    );
    let error = bind(Some(NAME), None, &["GET nonsense"]).unwrap_err();
    assert!(
        error.to_string().contains("plugins.exchange.grants"),
        "{error}"
    );
}
