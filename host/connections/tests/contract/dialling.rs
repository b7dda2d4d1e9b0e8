//! Which addresses are dialled, whatever names lead to them.

use std::sync::Arc;

use docket_connections::GateError;
use docket_model::ConnectionSpec;

use crate::support::*;
use crate::wire::{Server, answer};

fn closed(endpoint: &str, allowed: &[&str]) -> ConnectionSpec {
    ConnectionSpec {
        allow_addresses: allowed.iter().map(|&range| range.to_owned()).collect(),
        ..spec(&[("graph", endpoint)])
    }
}

#[tokio::test]
async fn names_that_lead_inside_are_not_dialled() {
    static NAMES: Names = Names(&[
        ("loopback.test", &["127.0.0.1"]),
        ("six.test", &["::1"]),
        ("mapped.test", &["::ffff:127.0.0.1"]),
        ("metadata.test", &["169.254.169.254"]),
        ("private.test", &["10.0.0.1", "192.168.0.1"]),
        ("nat64.test", &["64:ff9b::7f00:1"]),
        ("nothing.test", &[]),
    ]);
    for (name, address) in [
        ("loopback.test", "127.0.0.1"),
        ("six.test", "::1"),
        ("mapped.test", "::ffff:127.0.0.1"),
        ("metadata.test", "169.254.169.254"),
        ("private.test", "10.0.0.1"),
        ("nat64.test", "64:ff9b::7f00:1"),
    ] {
        let base = format!("https://{name}");
        let project = Project::with(closed(&base, &[]), Arc::new(Names(NAMES.0)));
        let error = refused(
            project
                .binding(&["GET {graph}/**"])
                .send(get(&format!("{base}/a")))
                .await,
        );
        match error {
            GateError::Denied { what, remedy } => {
                assert!(what.contains(name) && what.contains(address), "{what}");
                assert!(
                    remedy.contains(&format!(
                        "add `{address}` to allow-addresses under connections.contracts"
                    )),
                    "{remedy}"
                );
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    for name in ["nothing.test", "unknown.test"] {
        let base = format!("https://{name}");
        let project = Project::with(closed(&base, &[]), Arc::new(Names(NAMES.0)));
        let error = refused(
            project
                .binding(&["GET {graph}/**"])
                .send(get(&format!("{base}/a")))
                .await,
        );
        assert!(
            matches!(error, GateError::Unreachable(_)),
            "{name}: {error:?}"
        );
    }
}

#[tokio::test]
async fn addresses_as_hosts_are_checked_too() {
    for host in [
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "[::ffff:7f00:1]",
        "10.1.2.3",
    ] {
        let base = format!("https://{host}");
        let project = Project::new(closed(&base, &[]));
        let error = refused(
            project
                .binding(&["GET {graph}/**"])
                .send(get(&format!("{base}/a")))
                .await,
        );
        assert!(
            matches!(error, GateError::Denied { .. }),
            "{host}: {error:?}"
        );
    }
}

/// What a name leads to is dialled as it was checked: of two addresses, the one that is allowed.
#[tokio::test]
async fn of_several_addresses_the_allowed_ones_are_dialled() {
    let server = Server::always(answer(200, "", "")).await;
    let names = Names(&[("localhost", &["10.255.255.1", "127.0.0.1"])]);
    let project = Project::with(closed(&server.url(), &["127.0.0.1"]), Arc::new(names));
    let binding = project.binding(&["GET {graph}/**"]);
    let response = binding
        .send(get(&format!("{}/a", server.url())))
        .await
        .unwrap();
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn a_connections_addresses_are_not_another_steps() {
    let server = Server::always(answer(200, "", "")).await;
    let project = Project::new(spec(&[("graph", &server.url())]));
    let alone = project
        .connections
        .binding(None, None, "fetch", &rules(&["GET https://127.0.0.1/**"]))
        .unwrap();
    let error = refused(alone.send(get("https://127.0.0.1/a")).await);
    assert!(matches!(error, GateError::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn tls_trusts_the_connections_own_authority_and_no_strangers() {
    let office = Office::closed(|spec, _| spec.ca_file = None).await;
    let binding = office.project.binding(&["GET {graph}/**"]);
    let url = office.mailbox_url("messages");
    match refused(binding.send(get(&url)).await) {
        GateError::Unreachable(text) => {
            assert!(
                text.contains("ca-file under connections.contracts"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    let office = Office::closed(|_, _| {}).await;
    let binding = office.project.binding(&["GET {graph}/**"]);
    let url = office.mailbox_url("messages");
    // Trusted, and refused for want of a token.
    let response = binding.send(get(&url)).await.unwrap();
    assert_eq!(response.status, 401);
    assert_eq!(header(&response, "www-authenticate"), None);
}
