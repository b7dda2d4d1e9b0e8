//! What keeps connections going: keep-alive, forecast, registration, scopes, and the test of them.

use std::collections::BTreeMap;

use docket_connections::probe::{Check, ProbeOutcome, ProbeReport, ProbeRequest};
use docket_connections::{Connections, Credential, GateError, LapseKind, Severity};
use docket_model::{ConnectionKind, ConnectionSpec};
use docket_tenant::{AppConfig, Fault, FaultAction, RightKind};
use jiff::{SignedDuration, Timestamp};

use crate::support::*;
use crate::wire::{Server, answer};

fn now(office: &Office) -> Timestamp {
    docket_model::Clock::now(office.project.clock.as_ref())
}

#[tokio::test]
async fn idle_sign_ins_are_kept_alive() {
    let office = Office::open().await;
    let connections = &office.project.connections;
    let asked = office.token_requests();
    assert!(
        connections
            .keep_alive(now(&office))
            .await
            .unwrap()
            .is_empty(),
        "in use"
    );
    for _ in 0..8 {
        office
            .project
            .clock
            .advance(SignedDuration::from_hours(24 * 30));
        let kept = connections.keep_alive(now(&office)).await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].account.as_str(), &kept[0].error), (ACCOUNT, &None));
    }
    assert_eq!(office.token_requests() - asked, 8);
    let binding = office
        .project
        .binding(&["GET {graph}/v1.0/users/{mailbox}/messages"]);
    let response = binding
        .send(signed(get(&office.mailbox_url("messages"))))
        .await
        .unwrap();
    assert_eq!(response.status, 200, "after 240 days");

    office.tenant.state().revoke_sign_ins(ACCOUNT).unwrap();
    office.project.clock.advance(SignedDuration::from_hours(25));
    let kept = connections.keep_alive(now(&office)).await.unwrap();
    let error = kept[0].error.as_ref().unwrap();
    assert!(error.to_string().contains("AADSTS50173"), "{error}");
}

#[tokio::test]
async fn what_is_going_to_end_is_told_in_time() {
    let office = Office::open().await;
    let connections = &office.project.connections;
    assert_eq!(connections.forecast(now(&office)).unwrap(), []);
    let end: Timestamp = "2026-12-05T09:00:00Z".parse().unwrap();
    let secret = office
        .tenant
        .state()
        .client_secret(docket_tenant::DEMO_CLIENT_ID)
        .unwrap();
    let secret = || secret.clone().into();
    connections
        .set_client_secret(NAME, &secret(), Some(end))
        .unwrap();
    let lapse = connections.forecast(now(&office)).unwrap().remove(0);
    assert_eq!(
        (lapse.kind, lapse.severity, lapse.at),
        (LapseKind::ClientSecret, Severity::Warning, Some(end))
    );
    assert!(lapse.message.contains("in 14 days"), "{}", lapse.message);
    assert!(
        lapse.remedy.contains("Certificates & secrets"),
        "{}",
        lapse.remedy
    );
    // One whose end nobody knows may last longer, and nobody can rely on it.
    let unknown = Credential::secret(&"unknown".into(), None).unwrap();
    connections.add_credential(NAME, unknown).unwrap();
    let found = connections.forecast(now(&office)).unwrap();
    assert_eq!(found, [lapse]);
    // Another one that lasts longer takes its place by itself.
    let next = Credential::secret(
        &"next".into(),
        Some("2027-12-05T09:00:00Z".parse().unwrap()),
    );
    connections.add_credential(NAME, next.unwrap()).unwrap();
    assert_eq!(connections.forecast(now(&office)).unwrap(), []);

    connections
        .set_client_secret(NAME, &secret(), None)
        .unwrap();
    for (days, severity) in [
        (59, None),
        (2, Some(Severity::Notice)),
        (15, Some(Severity::Warning)),
        (7, Some(Severity::Urgent)),
        (6, Some(Severity::Critical)),
        (1, Some(Severity::Expired)),
    ] {
        office
            .project
            .clock
            .advance(SignedDuration::from_hours(24 * days));
        let found = connections.forecast(now(&office)).unwrap();
        assert_eq!(
            found.first().map(|lapse| lapse.severity),
            severity,
            "after {days} more days"
        );
        if let Some(lapse) = found.first() {
            assert_eq!(
                (lapse.kind, lapse.account.as_deref()),
                (LapseKind::SignIn, Some(ACCOUNT))
            );
        }
    }
    let json = serde_json::to_value(connections.forecast(now(&office)).unwrap()).unwrap();
    assert_eq!(json[0]["severity"], "expired");
}

#[tokio::test]
async fn a_vault_file_that_was_cut_short_is_its_own_connections_trouble() {
    let office = Office::open().await;
    let other = ConnectionSpec {
        account: Some("anna@contoso.example".to_owned()),
        ..office.spec.clone()
    };
    let specs = BTreeMap::from([
        (NAME.to_owned(), office.spec.clone()),
        ("other".to_owned(), other),
    ]);
    let folder = office.project.folder.path();
    let connections = Connections::open(&specs, vault(folder), clock()).unwrap();
    let files = || -> Vec<_> {
        let entries = std::fs::read_dir(folder.join("vault")).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.ends_with("vault.json"))
            .collect()
    };
    let before = files();
    connections
        .set_client_secret("other", &"other-secret".into(), None)
        .unwrap();
    let cut = files()
        .into_iter()
        .find(|path| !before.contains(path))
        .unwrap();
    let text = std::fs::read_to_string(&cut).unwrap();
    std::fs::write(&cut, &text[..text.len() / 2]).unwrap();

    let status = connections.status().unwrap();
    assert_eq!(
        (status[0].name.as_str(), status[0].problems.len()),
        (NAME, 0)
    );
    assert_eq!(
        (status[0].credentials.len(), status[0].signed_in.len()),
        (1, 1)
    );
    let problem = &status[1].problems[0];
    assert!(
        problem.contains("damaged") && problem.contains("enter the connection's client secret"),
        "{problem}"
    );
    let lapses = connections
        .forecast("2026-11-21T09:00:00Z".parse().unwrap())
        .unwrap();
    assert_eq!(lapses.len(), 1);
    assert_eq!(
        (lapses[0].connection.as_str(), lapses[0].kind),
        ("other", LapseKind::Damaged)
    );
    assert!(!format!("{status:?} {lapses:?}").contains("other-secret"));
    connections
        .set_client_secret("other", &"other-secret".into(), None)
        .unwrap();
    assert!(connections.status().unwrap()[1].problems.is_empty());
}

/// A next link of Graph names the mailbox by its id.
#[tokio::test]
async fn a_mailbox_is_known_by_the_id_that_graph_gives_it() {
    const ID: &str = "622eaaff-0683-4862-9de4-f2ec83c2bd98";
    const FOREIGN: &str = "722eaaff-0683-4862-9de4-f2ec83c2bd98";
    let office = Office::open().await;
    let graph = Server::start(move |seen| async move {
        let host = seen.header("host").unwrap().to_owned();
        let foreign = |path: &str| {
            format!(r#"{{"@odata.nextLink":"http://{host}/v1.0/users/{FOREIGN}/{path}"}}"#)
        };
        let target = seen.target().to_owned();
        let body = match target.contains(ID) {
            // An attachment, which is whatever somebody sent.
            _ if target.ends_with("/attachments/1/$value") => {
                foreign("messages/1/attachments/1/$value")
            }
            _ if target.ends_with("/messages/1") => foreign("messages"),
            true => r#"{"value":[]}"#.to_owned(),
            // The mail in it says something else, as anybody can write mail.
            false => format!(
                r#"{{"value":[{{"@odata.nextLink":"http://{host}/v1.0/users/{FOREIGN}/messages"}}],"@odata.nextLink":"http://{host}/v1.0/users/{ID}/messages?$skip=10"}}"#
            ),
        };
        answer(200, "Content-Type: application/json\r\n", &body)
    })
    .await;
    let mut office = office;
    office
        .spec
        .endpoints
        .insert("graph".to_owned(), graph.url());
    let office = office.reopened();
    let grants = &["GET {graph}/v1.0/users/{mailbox}/messages/**"];
    let url = |who: &str| format!("{}/v1.0/users/{who}/messages", graph.url());
    let send = async |office: &Office, who: &str| {
        let response = office
            .project
            .binding(grants)
            .send(signed(get(&url(who))))
            .await?;
        text(response).await
    };
    for path in ["1", "1/attachments/1/$value"] {
        let request = signed(get(&format!("{}/{path}", url(MAILBOX))));
        let response = office.project.binding(grants).send(request).await.unwrap();
        assert!(text(response).await.unwrap().contains(FOREIGN));
    }
    let unknown = send(&office, ID).await;
    assert!(
        matches!(unknown, Err(GateError::Denied { .. })),
        "nobody named it yet"
    );
    send(&office, MAILBOX).await.unwrap();
    assert!(send(&office, ID).await.is_ok());
    assert!(send(&office, &ID.to_uppercase()).await.is_ok());
    assert!(matches!(
        send(&office, FOREIGN).await,
        Err(GateError::Denied { .. })
    ));
    // Runs that follow the link after a restart.
    let office = office.reopened();
    // Two at once, and neither is too early for what the vault says.
    let (one, other) = tokio::join!(send(&office, ID), send(&office, ID));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert!(matches!(
        send(&office, FOREIGN).await,
        Err(GateError::Denied { .. })
    ));
}

fn line<'r>(
    report: &'r ProbeReport,
    check: Check,
    subject: &str,
) -> &'r docket_connections::probe::ProbeLine {
    let mut lines = report.lines.iter();
    lines
        .find(|line| line.check == check && line.subject == subject)
        .unwrap_or_else(|| panic!("no {check:?} {subject}: {report:#?}"))
}

#[tokio::test]
async fn a_connection_that_works_passes_its_test() {
    let office = Office::open().await;
    let connections = &office.project.connections;
    let mut request = ProbeRequest {
        scopes: scopes(),
        folders: vec![
            (MAILBOX.to_owned(), "Inbox".to_owned()),
            (MAILBOX.to_owned(), "Nowhere/At all".to_owned()),
        ],
        ..ProbeRequest::default()
    };
    let drafts = || {
        let requests = office.tenant.state().requests();
        let made = requests
            .iter()
            .filter(|one| one.method == "POST" && one.path.ends_with("/messages"));
        let gone = requests.iter().filter(|one| one.method == "DELETE");
        (made.count(), gone.count())
    };
    let report = connections.probe(NAME, &request).await.unwrap();
    assert_eq!(drafts(), (2, 2), "each draft is deleted again");
    for (check, subject, outcome) in [
        (Check::Token, "", ProbeOutcome::Pass),
        (Check::Scope, "Mail.Send.Shared", ProbeOutcome::Pass),
        (Check::Mailbox, MAILBOX, ProbeOutcome::Pass),
        (
            Check::Folder,
            &format!("{MAILBOX} Inbox"),
            ProbeOutcome::Pass,
        ),
        (
            Check::Folder,
            &format!("{MAILBOX} Nowhere/At all"),
            ProbeOutcome::Fail,
        ),
        (Check::FullAccess, MAILBOX, ProbeOutcome::Pass),
        (Check::SendAs, MAILBOX, ProbeOutcome::Skipped),
    ] {
        assert_eq!(
            line(&report, check, subject).outcome,
            outcome,
            "{check:?} {subject}: {report:#?}"
        );
    }
    assert!(!report.is_good());
    request.folders.clear();
    request.send = true;
    let report = connections.probe(NAME, &request).await.unwrap();
    assert!(report.is_good(), "{report:#?}");
    assert_eq!(
        line(&report, Check::SentItems, MAILBOX).outcome,
        ProbeOutcome::Pass
    );
}

#[tokio::test]
async fn what_is_missing_is_named_with_its_remedy() {
    let office = Office::closed(|_, _| {}).await;
    let connections = &office.project.connections;
    let mut request = ProbeRequest {
        scopes: vec!["Mail.Send.Shared".to_owned(), "Calendars.Read".to_owned()],
        send: true,
        ..ProbeRequest::default()
    };
    let report = connections.probe(NAME, &request).await.unwrap();
    assert_eq!(report.lines.len(), 1, "nothing works without a token");
    let remedy = report.lines[0].remedy.as_ref().unwrap();
    assert!(remedy.contains("docket connections authorize"), "{remedy}");

    office.sign_in().await;
    let state = office.tenant.state();
    let report = connections.probe(NAME, &request).await.unwrap();
    let remedy = line(&report, Check::Scope, "Calendars.Read")
        .remedy
        .as_ref()
        .unwrap();
    assert!(
        remedy.contains("API permissions") && remedy.contains("Calendars.Read"),
        "{remedy}"
    );

    request.scopes.clear();
    state
        .set_right(ACCOUNT, RightKind::SendAs, MAILBOX, false)
        .unwrap();
    let report = connections.probe(NAME, &request).await.unwrap();
    let found = line(&report, Check::SendAs, MAILBOX);
    assert!(found.detail.contains("ErrorSendAsDenied"), "{found:?}");
    let remedy = found.remedy.as_ref().unwrap();
    for part in [
        "Exchange admin center",
        "Send as",
        "Add-RecipientPermission -Identity 'contracts@contoso.example'",
    ] {
        assert!(remedy.contains(part), "{remedy}");
    }
    state
        .set_right(ACCOUNT, RightKind::FullAccess, MAILBOX, false)
        .unwrap();
    let report = connections.probe(NAME, &request).await.unwrap();
    let found = line(&report, Check::Mailbox, MAILBOX);
    assert!(found.detail.contains("403"), "{found:?}");
    assert!(
        found
            .remedy
            .as_ref()
            .unwrap()
            .contains("Add-MailboxPermission"),
        "{found:?}"
    );
    // The other mailbox, its own, is none the worse.
    assert_eq!(
        line(&report, Check::SentItems, ACCOUNT).outcome,
        ProbeOutcome::Pass
    );
    state.add_fault(Fault::next("GET", "*/mailFolders/inbox", FaultAction::ResetBefore).always());
    let report = connections.probe(NAME, &request).await.unwrap();
    assert_eq!(
        line(&report, Check::Mailbox, ACCOUNT).outcome,
        ProbeOutcome::Fail
    );
}

#[tokio::test]
async fn a_registration_says_what_to_enter_where() {
    let office =
        Office::closed(|spec, _| spec.redirect_uri = Some("https://docket.test/cb".to_owned()))
            .await;
    let app = office
        .project
        .connections
        .registration(NAME, &scopes())
        .unwrap();
    let json = serde_json::to_value(&app).unwrap();
    assert_eq!(
        json["redirect-uris"],
        serde_json::json!(["http://localhost/callback", "https://docket.test/cb"])
    );
    assert_eq!(
        json["permissions"][1],
        serde_json::json!({"name": "Mail.Send.Shared", "kind": "delegated"})
    );
    assert!(
        app.admin_consent
            .as_str()
            .contains("/contoso.example/adminconsent?client_id="),
        "{}",
        app.admin_consent
    );

    let robot = Office::closed(|spec, tenant| {
        tenant.state().add_app(AppConfig::new("r", "robot"));
        spec.kind = ConnectionKind::AppOnly;
        spec.account = None;
    })
    .await;
    let connections = &robot.project.connections;
    let scopes = ["Mail.Send".to_owned()];
    let app = connections.registration(NAME, &scopes).unwrap();
    assert!(app.platform.is_none() && app.redirect_uris.is_empty());
    assert_eq!(
        serde_json::to_value(&app.permissions).unwrap()[0]["kind"],
        "application"
    );
    let script = connections.rights_script(NAME, &scopes).unwrap();
    assert!(script.contains("New-ManagementRoleAssignment"), "{script}");
}
