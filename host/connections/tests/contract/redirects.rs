//! Redirects: followed for reads, judged again at each hop, and never with what is not theirs.

use docket_connections::{GateError, Request};

use crate::support::*;
use crate::wire::{Act, Server, answer};

fn to(status: u16, location: &str) -> Act {
    answer(status, &format!("Location: {location}\r\n"), "moved")
}

#[tokio::test]
async fn another_origin_gets_neither_token_nor_keys() {
    let files = Server::always(answer(200, "", "file")).await;
    let graph = Server::always(to(302, &format!("{}/f?secret=1", files.url()))).await;
    let (graph_url, files_url) = (graph.url(), files.url());
    let office = Office::closed(move |spec, _| {
        spec.endpoints = [("graph", graph_url), ("files", files_url)]
            .map(|(name, url)| (name.to_owned(), url))
            .into();
    })
    .await;
    office.sign_in().await;
    let request = || Request {
        headers: vec![
            ("X-Api-Key".to_owned(), "key".to_owned()),
            ("Accept".to_owned(), "text/plain".to_owned()),
        ],
        ..signed(get(&format!("{}/v1.0/organization", graph.url())))
    };
    let binding = office
        .project
        .binding(&["GET {graph}/v1.0/organization", "GET {files}/**"]);
    let response = binding.send(request()).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "file");
    assert!(
        graph
            .only()
            .header("authorization")
            .unwrap()
            .starts_with("Bearer ")
    );
    assert_eq!(graph.only().header("x-api-key"), Some("key"));
    let seen = files.only();
    assert_eq!(seen.target(), "GET /f?secret=1");
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(seen.header("x-api-key"), None);
    assert_eq!(seen.header("referer"), None);
    assert_eq!(seen.header("accept"), Some("text/plain"));

    let narrow = office.project.binding(&["GET {graph}/v1.0/organization"]);
    match refused(narrow.send(request()).await) {
        GateError::Denied { what, remedy } => {
            assert!(what.contains("redirect"), "{what}");
            assert!(
                remedy.contains("GET {files}/**") && !remedy.contains("secret"),
                "{remedy}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(files.seen().len(), 1);
}

#[tokio::test]
async fn the_same_origin_keeps_the_token_within_the_policy() {
    let server = Server::start(|seen| {
        std::future::ready(match seen.target() {
            "GET /v1.0/organization" => to(307, "../v1.0/domains?a=b"),
            "GET /v1.0/domains?a=b" => answer(200, "", "here"),
            "GET /v1.0/evil" => to(302, "/v1.0/users/anna@contoso.example/messages"),
            other => panic!("{other}"),
        })
    })
    .await;
    let url = server.url();
    let office = Office::closed(move |spec, _| {
        spec.endpoints = [("graph".to_owned(), url)].into();
    })
    .await;
    office.sign_in().await;
    let binding = office.project.binding(&["GET {graph}/**"]);
    let response = binding
        .send(signed(get(&format!("{}/v1.0/organization", server.url()))))
        .await
        .unwrap();
    assert_eq!(text(response).await.unwrap(), "here");
    let seen = server.seen();
    assert_eq!(
        seen[0].header("authorization"),
        seen[1].header("authorization")
    );
    assert!(seen[1].header("authorization").is_some());

    let error = refused(
        binding
            .send(signed(get(&format!("{}/v1.0/evil", server.url()))))
            .await,
    );
    assert!(
        matches!(&error, GateError::Denied { remedy, .. } if remedy.contains("anna@")),
        "{error:?}"
    );
    assert_eq!(server.seen().len(), 3);
}

/// One host may serve Graph and what takes no token.
#[tokio::test]
async fn a_place_that_takes_no_token_gets_none_on_the_same_origin() {
    let server = Server::start(|seen| {
        std::future::ready(match seen.target() {
            "GET /graph/v1.0/organization" => to(302, "/files/f"),
            "GET /files/f" => answer(200, "", "file"),
            other => panic!("{other}"),
        })
    })
    .await;
    let url = server.url();
    let office = Office::closed(move |spec, _| {
        spec.endpoints = ["graph", "files"]
            .map(|name| (name.to_owned(), format!("{url}/{name}")))
            .into();
    })
    .await;
    office.sign_in().await;
    let binding = office
        .project
        .binding(&["GET {graph}/**", "GET {files}/**"]);
    let url = format!("{}/graph/v1.0/organization", server.url());
    let response = binding.send(signed(get(&url))).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "file");
    let seen = server.seen();
    assert!(seen[0].header("authorization").is_some());
    assert_eq!(seen[1].header("authorization"), None);
}

#[tokio::test]
async fn only_reads_follow() {
    let server = Server::always(to(307, "/elsewhere")).await;
    let project = Project::new(spec(&[("graph", &server.url())]));
    let binding = project.binding(&["POST {graph}/**", "GET {graph}/**"]);
    let url = format!("{}/a", server.url());
    let response = binding.send(request("POST", &url)).await.unwrap();
    assert_eq!(
        (response.status, header(&response, "location")),
        (307, Some("/elsewhere"))
    );
    assert_eq!(server.seen().len(), 1);
    let error = refused(binding.send(get(&url)).await);
    assert!(
        matches!(&error, GateError::Interrupted(text) if text.contains("redirects")),
        "{error:?}"
    );
    assert_eq!(server.seen().len(), 1 + 1 + 5);
}

#[tokio::test]
async fn bad_targets_are_not_followed() {
    let target = Server::always(answer(200, "", "")).await;
    for location in [
        "https://user:pass@localhost/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "//evil.invalid/a".to_owned(),
        "/\\evil.invalid/a".to_owned(),
        "/a%2f..%2fb".to_owned(),
        "/#fragment".to_owned(),
        "http://evil.invalid/".to_owned(),
        format!("http://127.0.0.1:{}/", target.port()),
        format!("http://LOCALHOST.:{}/", target.port()),
        format!("http://2130706433:{}/", target.port()),
        "javascript:alert(1)".to_owned(),
    ] {
        let server = Server::always(to(302, &location)).await;
        let project = Project::new(spec(&[("graph", &server.url())]));
        let binding = project.binding(&["GET {graph}/**"]);
        let error = refused(binding.send(get(&format!("{}/a", server.url()))).await);
        assert!(
            !matches!(error, GateError::Unreachable(_) | GateError::Fault(_)),
            "{location}: {error:?}"
        );
        assert_eq!(server.seen().len(), 1, "{location}");
    }
    assert_eq!(target.seen().len(), 0);
    // A redirect that names no target is an answer like any other.
    let server = Server::always(answer(304, "", "")).await;
    let project = Project::new(spec(&[("graph", &server.url())]));
    let response = project
        .binding(&["GET {graph}/**"])
        .send(get(&format!("{}/a", server.url())))
        .await;
    assert_eq!(response.map(|response| response.status).unwrap(), 304);
}
