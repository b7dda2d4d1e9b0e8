//! Connections of the other kinds: users for themselves, and applications by secret or certificate.

use std::collections::BTreeMap;
use std::sync::Arc;

use docket_connections::{
    AuthErrorClass, Authorized, BindingError, Callback, ConnectionError, Connections, Credential,
    FinishError, GateError, SystemResolver,
};
use docket_model::{ConnectionKind, ConnectionSpec, ManualClock};
use docket_tenant::{
    AppConfig, CertificateConfig, DEMO_CLIENT_ID, Fault, FaultAction, RedirectKind, RedirectUri,
};
use futures_util::future::join_all;
use jiff::SignedDuration;
use rsa::pkcs8::EncodePrivateKey as _;

use crate::support::*;

pub(crate) const ANNA: &str = "anna@contoso.example";
pub(crate) const BEN: &str = "ben@contoso.example";
const GRANTS: &[&str] = &["GET {graph}/v1.0/**", "POST {graph}/v1.0/**"];
const ROBOT: &str = "11111111-2222-4333-8444-555555555555";

pub(crate) async fn people() -> Office {
    Office::closed(|spec, _| {
        spec.kind = ConnectionKind::PerUser;
        spec.account = None;
        spec.mailboxes = None;
    })
    .await
}

pub(crate) async fn robot() -> Office {
    let office = Office::closed(|spec, tenant| {
        let mut app = AppConfig::new(ROBOT, "robot");
        app.roles = ["Mail.ReadWrite", "Mail.Send"].map(str::to_owned).to_vec();
        tenant.state().add_app(app);
        spec.kind = ConnectionKind::AppOnly;
        spec.client_id = ROBOT.to_owned();
        spec.account = None;
        spec.mailboxes = Some(vec![MAILBOX.to_owned()]);
    })
    .await;
    give_secret(&office);
    office
}

fn give_secret(office: &Office) {
    let later = "2027-11-21T09:00:00Z".parse().unwrap();
    let secret = office.tenant.state().add_secret(ROBOT, later).unwrap();
    let connections = &office.project.connections;
    connections
        .set_client_secret(NAME, &secret.value.into(), Some(later))
        .unwrap();
}

pub(crate) async fn user_signs_in(
    office: &Office,
    user: &str,
    who: &str,
) -> Result<(), FinishError> {
    let connections = &office.project.connections;
    let begun = connections
        .begin_sign_in(NAME, Some(user), Some(REDIRECT), &["Mail.Read".to_owned()])
        .unwrap();
    let query = choose(&office.tenant, &begun.authorize_url, who).await;
    let callback = Callback::from_query(&query).unwrap();
    connections.finish_sign_in(callback).await.map(drop)
}

async fn read_as(office: &Office, user: Option<&str>, path: &str) -> Result<u16, GateError> {
    let binding = office
        .project
        .connections
        .binding(Some(NAME), user, "exchange", &rules(GRANTS))
        .unwrap();
    let url = format!("{}v1.0/{path}", office.tenant.graph());
    let response = binding.send(signed(get(&url))).await?;
    let status = response.status;
    text(response).await?;
    Ok(status)
}

#[tokio::test]
async fn each_user_acts_for_themselves_and_for_nobody_else() {
    let office = people().await;
    match read_as(&office, Some(ANNA), "me/messages")
        .await
        .unwrap_err()
    {
        GateError::SignInRequired(text) => assert!(text.contains(ANNA), "{text}"),
        other => panic!("{other:?}"),
    }
    let mut told = office.project.connections.authorized();
    user_signs_in(&office, ANNA, ANNA).await.unwrap();
    let expected = Authorized {
        connection: NAME.to_owned(),
        user: Some(ANNA.to_owned()),
    };
    assert_eq!(told.try_recv().unwrap(), expected);

    assert_eq!(
        read_as(&office, Some("Anna@Contoso.example"), "me/messages")
            .await
            .unwrap(),
        200
    );
    let own = format!("users/{ANNA}/messages");
    assert_eq!(read_as(&office, Some(ANNA), &own).await.unwrap(), 200);
    let other = read_as(&office, Some(ANNA), &format!("users/{BEN}/messages")).await;
    assert!(matches!(other, Err(GateError::Denied { .. })), "{other:?}");
    // Ben has not signed in, whatever Anna did.
    let ben = read_as(&office, Some(BEN), "me/messages").await;
    assert!(matches!(ben, Err(GateError::SignInRequired(_))), "{ben:?}");

    // By Ben's link Anna signs in.
    let error = user_signs_in(&office, BEN, ANNA)
        .await
        .unwrap_err()
        .to_string();
    for part in [ANNA, BEN, NAME] {
        assert!(error.contains(part), "{error}");
    }
    assert!(told.try_recv().is_err(), "nobody is told");
    let status = office.project.connections.status().unwrap().remove(0);
    let users: Vec<_> = status
        .signed_in
        .iter()
        .map(|one| one.account.as_str())
        .collect();
    assert_eq!(users, [ANNA]);

    // It outlives the process, and a token its time.
    let office = office.reopened();
    assert_eq!(
        read_as(&office, Some(ANNA), "me/messages").await.unwrap(),
        200
    );
}

#[tokio::test]
async fn a_step_names_its_user_and_a_user_is_one() {
    let office = people().await;
    let bind = |user| {
        let connections = &office.project.connections;
        connections
            .binding(Some(NAME), user, "exchange", &[])
            .map(drop)
    };
    assert_eq!(bind(None), Err(BindingError::UserNeeded(NAME.to_owned())));
    for user in [
        "",
        "anna",
        "@contoso.example",
        "a b@contoso.example",
        "a@b/../c",
    ] {
        assert_eq!(
            bind(Some(user)),
            Err(BindingError::NoUser(NAME.to_owned())),
            "{user}"
        );
    }
    assert_eq!(bind(Some(ANNA)), Ok(()));
}

#[tokio::test]
async fn one_refresh_for_each_user_however_many_wait() {
    let office = people().await;
    for user in [ANNA, BEN] {
        user_signs_in(&office, user, user).await.unwrap();
    }
    let office = office.reopened();
    office.tenant.state().clear_requests();
    let all = join_all((0..20).map(|at| {
        let user = if at % 2 == 0 { ANNA } else { BEN };
        read_as(&office, Some(user), "me/messages")
    }))
    .await;
    assert!(
        all.iter().all(|status| matches!(status, Ok(200))),
        "{all:?}"
    );
    assert_eq!(office.token_requests(), 2);
}

#[tokio::test]
async fn an_application_acts_by_itself_on_its_mailboxes_only() {
    let office = robot().await;
    let connections = &office.project.connections;
    let read = |path: String| {
        let office = &office;
        async move { read_as(office, None, &path).await }
    };
    assert_eq!(
        read(format!("users/{MAILBOX}/messages")).await.unwrap(),
        200
    );
    for (path, part) in [
        (format!("users/{ANNA}/messages"), "mailboxes"),
        ("me/messages".to_owned(), "no mailbox of its own"),
    ] {
        let error = read(path).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let binding = office.project.binding(GRANTS);
    assert_eq!(binding.principal().unwrap().account, ROBOT);
    let asked = office.token_requests();
    let all = join_all((0..20).map(|_| read(format!("users/{MAILBOX}/messages")))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(office.token_requests(), asked, "the token is kept");
    office.project.clock.advance(SignedDuration::from_hours(2));
    let all = join_all((0..20).map(|_| read(format!("users/{MAILBOX}/messages")))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(office.token_requests(), asked + 1, "one for all");

    let error = connections
        .begin_sign_in(NAME, None, Some(REDIRECT), &[])
        .unwrap_err();
    assert_eq!(error, ConnectionError::NobodySignsIn(NAME.to_owned()));
}

/// A certificate with its key as PEM, and as the tenant knows it.
fn certificate() -> (String, CertificateConfig) {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let key = key
        .to_pkcs8_pem(rsa::pkcs8::LineEnding::LF)
        .unwrap()
        .to_string();
    let pair = rcgen::KeyPair::from_pem(&key).unwrap();
    let made = rcgen::CertificateParams::new(vec![])
        .unwrap()
        .self_signed(&pair)
        .unwrap();
    let known = CertificateConfig {
        der: made.der().to_vec(),
    };
    (format!("{}{key}", made.pem()), known)
}

#[tokio::test]
async fn an_application_signs_with_its_certificate() {
    let office = robot().await;
    let (pem, known) = certificate();
    let connections = &office.project.connections;
    let credential = || Credential::certificate(&pem.clone().into()).unwrap();
    let path = format!("users/{MAILBOX}/messages");

    // The service does not know it: nothing changes.
    let error = connections
        .rotate_credential(NAME, credential())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("AADSTS700027"), "{error}");
    assert_eq!(connections.status().unwrap()[0].credentials.len(), 1);
    office
        .tenant
        .state()
        .set_app(ROBOT, |app| app.certificates.push(known))
        .unwrap();
    connections
        .rotate_credential(NAME, credential())
        .await
        .unwrap();
    let credentials = &connections.status().unwrap()[0].credentials;
    assert_eq!(credentials.len(), 2, "the secret stays behind it");
    assert!(credentials[0].thumbprint.is_some());
    assert_eq!(read_as(&office, None, &path).await.unwrap(), 200);

    // This machine's clock is an hour ahead of the service's.
    let office = office.reopened();
    let ahead = Arc::new(ManualClock::new("2026-11-21T10:00:00Z".parse().unwrap()));
    let specs = BTreeMap::from([(NAME.to_owned(), office.spec.clone())]);
    let connections =
        Connections::open(&specs, vault(office.project.folder.path()), ahead).unwrap();
    connections.set_credential(NAME, credential()).unwrap();
    let binding = connections
        .binding(Some(NAME), None, "exchange", &rules(GRANTS))
        .unwrap();
    let error = binding.sign_in_state().await.unwrap_err();
    assert_eq!(error.class, AuthErrorClass::Host);
    for part in ["AADSTS700024", "clock"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let sent = refused(
        binding
            .send(signed(get(&office.mailbox_url("messages"))))
            .await,
    );
    assert!(
        matches!(sent, GateError::Fault(_)),
        "the run stays resumable: {sent:?}"
    );
}

#[tokio::test]
async fn the_next_secret_steps_in_for_the_one_that_ended() {
    let office = robot().await;
    let state = office.tenant.state();
    let connections = &office.project.connections;
    let path = format!("users/{MAILBOX}/messages");
    assert_eq!(read_as(&office, None, &path).await.unwrap(), 200);
    state.expire_secret(ROBOT, None).unwrap();
    let later = "2028-11-21T09:00:00Z".parse().unwrap();
    let next = state.add_secret(ROBOT, later).unwrap().value;
    let next = Credential::secret(&next.into(), Some(later)).unwrap();
    connections.add_credential(NAME, next).unwrap();
    office.project.clock.advance(SignedDuration::from_hours(2));
    let asked = office.token_requests();
    assert_eq!(read_as(&office, None, &path).await.unwrap(), 200);
    assert_eq!(
        office.token_requests() - asked,
        2,
        "the old one, then the next one"
    );
    office.project.clock.advance(SignedDuration::from_hours(2));
    assert_eq!(read_as(&office, None, &path).await.unwrap(), 200);
    assert_eq!(office.token_requests() - asked, 3, "the next one at once");
}

#[tokio::test]
async fn a_secret_is_tried_before_it_is_used() {
    let office = Office::open().await;
    let connections = &office.project.connections;
    let mut told = connections.authorized();
    let before = connections.status().unwrap();
    let error = connections
        .rotate_secret(NAME, &"canary-wrong".into(), None)
        .await
        .unwrap_err();
    match &error {
        ConnectionError::Auth(error) => assert_eq!(error.class, AuthErrorClass::Credential),
        other => panic!("{other:?}"),
    }
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert_eq!(connections.status().unwrap(), before);
    assert!(told.try_recv().is_err());

    let later = "2027-05-01T00:00:00Z".parse().unwrap();
    let secret = office
        .tenant
        .state()
        .add_secret(DEMO_CLIENT_ID, later)
        .unwrap();
    let new = || secret.value.clone().into();
    let fault = Fault::next("POST", "*/token", FaultAction::Aadsts { code: 90_033 });
    office.tenant.state().add_fault(fault);
    assert!(
        connections
            .rotate_secret(NAME, &new(), Some(later))
            .await
            .is_err()
    );
    assert_eq!(connections.status().unwrap(), before, "not tried, not used");

    connections
        .rotate_secret(NAME, &new(), Some(later))
        .await
        .unwrap();
    let status = connections.status().unwrap().remove(0);
    assert_eq!(status.credentials[0].expires, Some(later));
    assert_eq!(status.signed_in.len(), 1);
    assert_eq!(told.try_recv().unwrap().user, None);
    // The sign-in is at fault: the secret is tried by itself.
    office.tenant.state().revoke_sign_ins(ACCOUNT).unwrap();
    connections
        .rotate_secret(NAME, &new(), Some(later))
        .await
        .unwrap();
    assert!(
        connections
            .rotate_secret(NAME, &"wrong".into(), None)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_application_without_a_secret_asks_nobody() {
    let office = robot().await;
    let mut spec = office.spec.clone();
    spec.client_id = "22222222-2222-4333-8444-555555555555".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let specs = BTreeMap::from([("bare".to_owned(), spec)]);
    let connections = Connections::open_with(
        &specs,
        vault(folder.path()),
        clock(),
        Arc::new(SystemResolver),
    )
    .unwrap();
    let asked = office.token_requests();
    let binding = connections
        .binding(Some("bare"), None, "exchange", &rules(GRANTS))
        .unwrap();
    let error = refused(
        binding
            .send(signed(get(&office.mailbox_url("messages"))))
            .await,
    );
    assert!(
        error
            .to_string()
            .contains("no client secret and no certificate"),
        "{error}"
    );
    assert_eq!(office.token_requests(), asked);
}

/// Two connections, one callback at a server.
#[tokio::test]
async fn a_callback_is_its_own_connections() {
    const SERVER: &str = "https://docket.contoso.example/oauth/callback";
    let office = Office::closed(|spec, tenant| {
        spec.redirect_uri = Some(SERVER.to_owned());
        let redirect = RedirectUri {
            uri: SERVER.to_owned(),
            kind: RedirectKind::Web,
        };
        tenant
            .state()
            .set_app(DEMO_CLIENT_ID, |app| app.redirects.push(redirect))
            .unwrap();
    })
    .await;
    let users = ConnectionSpec {
        kind: ConnectionKind::PerUser,
        account: None,
        mailboxes: None,
        fallback: Some(NAME.to_owned()),
        ..office.spec.clone()
    };
    let specs = BTreeMap::from([
        (NAME.to_owned(), office.spec.clone()),
        ("people".to_owned(), users),
    ]);
    let connections =
        Connections::open(&specs, vault(office.project.folder.path()), clock()).unwrap();
    let secret = office.tenant.state().client_secret(DEMO_CLIENT_ID).unwrap();
    connections
        .set_client_secret("people", &secret.into(), None)
        .unwrap();

    let service = connections
        .begin_sign_in(NAME, None, None, &scopes())
        .unwrap();
    let anna = connections
        .begin_sign_in("people", Some(ANNA), None, &scopes())
        .unwrap();
    assert!(
        service
            .authorize_url
            .as_str()
            .contains("docket.contoso.example")
    );
    let query = choose(&office.tenant, &service.authorize_url, ACCOUNT).await;
    // The service account's answer under the state of Anna's sign-in.
    let crossed = query.replace(&service.state, &anna.state);
    let crossed = Callback::from_query(&crossed).unwrap();
    assert!(connections.finish_sign_in(crossed.clone()).await.is_err());
    assert_eq!(
        connections.finish_sign_in(crossed).await,
        Err(FinishError::Unknown)
    );
    let status = connections.status().unwrap();
    assert!(
        status.iter().all(|one| one.signed_in.is_empty()),
        "{status:?}"
    );
    // Its own is still good.
    let fresh = connections
        .begin_sign_in(NAME, None, None, &scopes())
        .unwrap();
    let query = choose(&office.tenant, &fresh.authorize_url, ACCOUNT).await;
    let signed_in = connections
        .finish_sign_in(Callback::from_query(&query).unwrap())
        .await
        .unwrap();
    assert_eq!(signed_in.principal.connection, NAME);

    let bare = Office::closed(|_, _| {}).await;
    let error = bare
        .project
        .connections
        .begin_sign_in(NAME, None, None, &[])
        .unwrap_err();
    assert!(
        error.to_string().contains("redirect-uri: https://"),
        "{error}"
    );
}
