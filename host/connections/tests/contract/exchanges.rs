//! What goes over the wire, and what each way to fail means.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use docket_connections::{Body, GateError, Request};
use futures_util::{StreamExt, stream};

use crate::support::*;
use crate::wire::{Act, Server, answer};

const ALL: &[&str] = &[
    "GET {graph}/**",
    "POST {graph}/**",
    "PUT {graph}/**",
    "PATCH {graph}/**",
];

fn project(server: &Server) -> Project {
    Project::new(spec(&[("graph", &server.url())]))
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made() {
    let server = Server::always(answer(
        200,
        "Set-Cookie: a=b\r\nWWW-Authenticate: Bearer\r\nX-Thing: One\r\nx-thing: two\r\n",
        "hello",
    ))
    .await;
    let project = project(&server);
    let url = format!(
        "{}/v1.0/organization/./x/../y?$filter=a%20eq%20'b'&c",
        server.url()
    );
    let response = project
        .binding(ALL)
        .send(Request {
            headers: vec![("Prefer".to_owned(), "IdType=\"ImmutableId\"".to_owned())],
            body: Some(body(&["ab", "", "cde"])),
            ..request("POST", &url)
        })
        .await
        .unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(header(&response, "set-cookie"), None);
    assert_eq!(header(&response, "www-authenticate"), None);
    let things: Vec<_> = response
        .headers
        .iter()
        .filter(|(name, _)| name == "x-thing")
        .map(|(_, v)| v)
        .collect();
    assert_eq!(things, ["One", "two"]);
    assert_eq!(text(response).await.unwrap(), "hello");
    let seen = server.only();
    assert_eq!(
        seen.target(),
        "POST /v1.0/organization/y?$filter=a%20eq%20%27b%27&c"
    );
    assert_eq!(seen.body, b"abcde");
    assert_eq!(seen.header("content-length"), Some("5"));
    assert_eq!(seen.header("transfer-encoding"), None);
    assert_eq!(seen.header("prefer"), Some("IdType=\"ImmutableId\""));
    assert_eq!(
        seen.header("host"),
        Some(format!("localhost:{}", server.port()).as_str())
    );
    for name in ["authorization", "cookie", "referer", "accept-encoding"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn an_empty_post_says_that_it_is_empty() {
    let server = Server::always(answer(202, "", "")).await;
    let project = project(&server);
    let url = format!("{}/v1.0/users/{MAILBOX}/messages/1/send", server.url());
    project
        .binding(ALL)
        .send(request("POST", &url))
        .await
        .unwrap();
    assert_eq!(server.only().header("content-length"), Some("0"));
}

#[tokio::test]
async fn what_is_refused_is_not_sent() {
    let server = Server::always(answer(200, "", "")).await;
    let project = project(&server);
    let at = |path: &str| format!("{}{path}", server.url());
    let with_header = |name: &str, value: &str| Request {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..get(&at("/a"))
    };
    let denied: [Request; 7] = [
        get(&at("/v1.0/users/anna@contoso.example/messages")),
        request("DELETE", &at("/a")),
        get(&at("/v1.0/$batch")),
        get("https://graph.microsoft.com/v1.0/organization"),
        with_header("Authorization", "Bearer x"),
        with_header("transfer-encoding", "chunked"),
        with_header("X-HTTP-Method-Override", "DELETE"),
    ];
    for (at, request) in denied.into_iter().enumerate() {
        let error = refused(project.binding(ALL).send(request).await);
        assert!(matches!(error, GateError::Denied { .. }), "{at}: {error}");
    }
    let invalid: [Request; 7] = [
        get(&at("/a%2fb")),
        get(&at("/a#b")),
        get(&at("/a").replace("://", "://user@")),
        with_header("x", "a\r\nHost: evil.test"),
        Request {
            body: Some(body(&["x"])),
            ..get(&at("/a"))
        },
        Request {
            body: Some(Body {
                size: u64::MAX,
                ..body(&[])
            }),
            ..request("POST", &at("/a"))
        },
        request("get", &at("/a")),
    ];
    for (at, request) in invalid.into_iter().enumerate() {
        let error = refused(project.binding(ALL).send(request).await);
        assert!(matches!(error, GateError::Invalid(_)), "{at}: {error}");
    }
    for method in ["CONNECT", "TRACE"] {
        let grants = [format!("{method} {{graph}}/**")];
        let binding = project.binding(&grants.each_ref().map(String::as_str));
        let error = refused(binding.send(request(method, &at("/a"))).await);
        assert!(matches!(error, GateError::Invalid(_)), "{method}: {error}");
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_token_needs_a_connection_and_its_own_host() {
    let server = Server::always(answer(200, "", "")).await;
    let project = Project::new(spec(&[
        ("graph", "https://graph.invalid"),
        ("outlook", &server.url()),
    ]));
    let upload = signed(request(
        "PUT",
        &format!("{}/upload?authtoken=canary", server.url()),
    ));
    let error = refused(project.binding(&["PUT {outlook}/**"]).send(upload).await);
    match &error {
        GateError::Denied { remedy, .. } => {
            assert!(remedy.contains("https://graph.invalid only"), "{remedy}")
        }
        other => panic!("{other}"),
    }
    assert!(!error.to_string().contains("canary"), "{error}");
    let alone = project
        .connections
        .binding(None, None, "fetch", &rules(&["GET https://api.invalid/**"]))
        .unwrap();
    assert!(alone.account().is_none() && alone.principal().is_none());
    let error = refused(alone.send(signed(get("https://api.invalid/a"))).await);
    assert!(matches!(error, GateError::Invalid(_)), "{error}");
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn what_did_not_connect_was_not_sent() {
    let closed = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let closed_port = closed.local_addr().unwrap().port();
    drop(closed);
    // Accepts, and speaks no TLS.
    let mute = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let mute_port = mute.local_addr().unwrap().port();
    tokio::spawn(async move { while mute.accept().await.is_ok() {} });
    for base in [
        format!("http://localhost:{closed_port}"),
        format!("https://localhost:{closed_port}"),
        format!("https://localhost:{mute_port}"),
        "https://no-such-name.test".to_owned(),
    ] {
        let names = Arc::new(Names(&[("localhost", &["127.0.0.1"])]));
        let project = Project::with(spec(&[("graph", &base)]), names);
        let sent = project
            .binding(ALL)
            .send(request("POST", &format!("{base}/a")))
            .await;
        let error = refused(sent);
        assert!(
            matches!(error, GateError::Unreachable(_)),
            "{base}: {error:?}"
        );
    }
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_interrupted() {
    let acts = [
        Act::SayAndClose(String::new()),
        Act::SayAndClose("HTTP/1.1 20".to_owned()),
        Act::SayAndClose("nonsense\r\n\r\n".to_owned()),
        Act::Silence,
    ];
    for act in acts {
        let server = Server::always(act.clone()).await;
        let project = project(&server);
        let url = format!("{}/canary?canary", server.url());
        let request = Request {
            timeout: Duration::from_millis(300),
            ..request("POST", &url)
        };
        let error = refused(project.binding(ALL).send(request).await);
        assert!(
            matches!(error, GateError::Interrupted(_)),
            "{act:?}: {error:?}"
        );
        assert_eq!(server.seen().len(), 1, "{act:?}: sent once, and once only");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_interrupted() {
    let cut = Act::SayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned());
    let hang = Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned());
    for act in [cut, hang] {
        let server = Server::always(act.clone()).await;
        let project = project(&server);
        let request = Request {
            timeout: Duration::from_millis(500),
            ..get(&format!("{}/a", server.url()))
        };
        let mut response = project.binding(ALL).send(request).await.unwrap();
        let mut received = Vec::new();
        let error = loop {
            match response.body.next().await {
                Some(Ok(chunk)) => received.extend_from_slice(&chunk),
                Some(Err(error)) => break error,
                None => panic!("{act:?}: ended without an error"),
            }
        };
        assert_eq!(received, b"half", "{act:?}");
        assert!(
            matches!(error, GateError::Interrupted(_)),
            "{act:?}: {error:?}"
        );
        assert!(
            response.body.next().await.is_none(),
            "an error ends the body"
        );
    }
}

/// A server closes a connection that the client still holds for the next request. A request that is
/// not repeatable reaches it once at most, and whoever cannot know says so.
#[tokio::test]
async fn a_stale_connection_never_sends_twice() {
    for _ in 0..20 {
        let posts = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&posts);
        let server = Server::start(move |seen| {
            if seen.target().starts_with("POST") {
                count.fetch_add(1, Ordering::SeqCst);
            }
            // The answer promises to keep the connection, and then it is closed.
            std::future::ready(Act::SayAndClose(
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            ))
        })
        .await;
        let project = project(&server);
        let binding = project.binding(ALL);
        let url = format!("{}/a", server.url());
        text(binding.send(get(&url)).await.unwrap()).await.unwrap();
        match binding
            .send(Request {
                body: Some(body(&["x"])),
                ..request("POST", &url)
            })
            .await
        {
            Ok(response) => assert_eq!((response.status, posts.load(Ordering::SeqCst)), (200, 1)),
            Err(GateError::Interrupted(_)) => assert!(posts.load(Ordering::SeqCst) <= 1),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_body_must_be_what_it_was_declared_to_be() {
    let server = Server::always(answer(200, "", "")).await;
    let project = project(&server);
    let chunks = |list: Vec<io::Result<Bytes>>| stream::iter(list).boxed();
    let x = || Ok(Bytes::from_static(b"x"));
    for (bad, part) in [
        (
            Body {
                size: 2,
                chunks: chunks(vec![x()]),
            },
            "shorter",
        ),
        (
            Body {
                size: 1,
                chunks: chunks(vec![x(), x()]),
            },
            "longer",
        ),
        (
            Body {
                size: 0,
                chunks: chunks(vec![x()]),
            },
            "longer",
        ),
        (
            Body {
                size: 2,
                chunks: chunks(vec![x(), Err(io::Error::other("disk on fire"))]),
            },
            "disk on fire",
        ),
    ] {
        let url = format!("{}/a", server.url());
        let request = Request {
            body: Some(bad),
            ..request("POST", &url)
        };
        let error = refused(project.binding(ALL).send(request).await);
        assert!(
            matches!(&error, GateError::Fault(text) if text.contains(part)),
            "{part}: {error:?}"
        );
    }
    assert!(server.seen().iter().all(|seen| seen.body.len() < 2));
}

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    const SIZE: usize = 20 * 1024 * 1024;
    let server = Server::start(|seen| {
        let text = format!("{}", seen.body.len());
        std::future::ready(answer(200, "", &text.repeat(100_000)))
    })
    .await;
    let project = project(&server);
    let chunk = Bytes::from(vec![7; 64 * 1024]);
    let chunks = stream::repeat(chunk)
        .take(SIZE / (64 * 1024))
        .map(Ok)
        .boxed();
    let request = Request {
        body: Some(Body {
            size: SIZE as u64,
            chunks,
        }),
        ..request("PUT", &format!("{}/a", server.url()))
    };
    let response = project.binding(ALL).send(request).await.unwrap();
    assert_eq!(
        text(response).await.unwrap(),
        SIZE.to_string().repeat(100_000)
    );
}
