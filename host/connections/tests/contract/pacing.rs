//! Four at a time for each mailbox, and pauses that are kept.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use tokio::sync::{Semaphore, mpsc};

use crate::support::*;
use crate::wire::{Server, answer};

const GRANTS: &[&str] = &[
    "GET {graph}/v1.0/users/{mailbox}/messages",
    "GET {graph}/v1.0/me/messages",
];

#[tokio::test]
async fn four_at_a_time_and_no_more() {
    let gate = Arc::new(Semaphore::new(0));
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let under_way = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(Mutex::new(0));
    let (door, count, peak) = (Arc::clone(&gate), Arc::clone(&under_way), Arc::clone(&most));
    let server = Server::start(move |_| {
        let now = count.fetch_add(1, Ordering::SeqCst) + 1;
        {
            let mut peak = peak.lock().unwrap();
            *peak = now.max(*peak);
        }
        arrived.send(()).unwrap();
        let (door, count) = (Arc::clone(&door), Arc::clone(&count));
        async move {
            door.acquire().await.unwrap().forget();
            count.fetch_sub(1, Ordering::SeqCst);
            answer(200, "", "x")
        }
    })
    .await;
    let project = Project::new(spec(&[("graph", &server.url())]));
    let binding = project.binding(GRANTS);
    let url = format!("{}/v1.0/users/{MAILBOX}/messages", server.url());
    let sends = tokio::spawn(join_all((0..12).map(|_| {
        let (binding, url) = (binding.clone(), url.clone());
        async move { text(binding.send(get(&url)).await.unwrap()).await.unwrap() }
    })));
    for _ in 0..4 {
        arrivals.recv().await.unwrap();
    }
    // Another mailbox has its own turns.
    let other = format!("{}/v1.0/me/messages", server.url());
    let own = tokio::spawn({
        let binding = binding.clone();
        async move {
            binding
                .send(get(&other))
                .await
                .map(|response| response.status)
        }
    });
    arrivals.recv().await.unwrap();
    gate.add_permits(100);
    assert_eq!(sends.await.unwrap().len(), 12);
    assert_eq!(own.await.unwrap().unwrap(), 200);
    assert_eq!(
        *most.lock().unwrap(),
        5,
        "four of one mailbox, one of the other"
    );
}

/// An answer holds its turn until its body was read or dropped.
#[tokio::test]
async fn a_turn_ends_with_the_body() {
    let server = Server::always(answer(200, "", "x")).await;
    let project = Project::new(spec(&[("graph", &server.url())]));
    let binding = project.binding(GRANTS);
    let url = format!("{}/v1.0/users/{MAILBOX}/messages", server.url());
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(binding.send(get(&url)).await.unwrap());
    }
    let mut fifth = Box::pin(binding.send(get(&url)));
    assert!(futures_util::poll!(&mut fifth).is_pending());
    drop(held.pop());
    assert_eq!(fifth.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_long_pause_is_kept_without_asking_again() {
    let server = Server::always(answer(429, "Retry-After: 60\r\n", "{}")).await;
    let project = Project::new(spec(&[("graph", &server.url())]));
    let binding = project.binding(GRANTS);
    let url = format!("{}/v1.0/users/{MAILBOX}/messages", server.url());
    let first = binding.send(get(&url)).await.unwrap();
    assert_eq!(
        (first.status, header(&first, "retry-after")),
        (429, Some("60"))
    );
    drop(first);
    let second = binding.send(get(&url)).await.unwrap();
    assert_eq!(second.status, 429);
    let seconds: u64 = header(&second, "retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&seconds), "{seconds}");
    assert!(text(second).await.unwrap().contains("ApplicationThrottled"));
    assert_eq!(server.seen().len(), 1, "the second was not sent");
    // Other mailboxes go on.
    let other = binding
        .send(get(&format!("{}/v1.0/me/messages", server.url())))
        .await
        .unwrap();
    assert_eq!(other.status, 429);
    assert_eq!(server.seen().len(), 2);
}

/// An upload's URL names no mailbox: what is sent there counts for the one whose session it is.
#[tokio::test]
async fn an_upload_takes_the_turns_of_its_mailbox() {
    let server = Server::always(answer(429, "Retry-After: 60\r\n", "{}")).await;
    let url = server.url();
    let project = Project::new(spec(&[
        ("graph", &format!("{url}/graph")),
        ("outlook", &format!("{url}/outlook")),
    ]));
    let binding = project.binding(&[
        "GET {graph}/v1.0/users/{mailbox}/messages",
        "PUT {outlook}/**",
    ]);
    let of = |mailbox: &str| format!("{url}/graph/v1.0/users/{mailbox}/messages");
    let session = |name: &str| format!("{url}/outlook/{name}?authtoken=secret");
    binding.relate(&session("a"), &of(MAILBOX));
    binding.relate(&session("b"), &of(ACCOUNT));
    let put = async |name: &str| {
        let put = binding.send(request("PUT", &session(name))).await.unwrap();
        assert_eq!(put.status, 429);
        server.seen().len()
    };
    assert_eq!(put("a").await, 1);
    // A piece waits for as long as it takes: the session would be lost to a run that is parked.
    let waiting = tokio::spawn({
        let (binding, session) = (binding.clone(), session("a"));
        async move { binding.send(request("PUT", &session)).await.map(drop) }
    });
    assert_eq!(put("b").await, 2, "another mailbox has pauses of its own");
    let read = binding.send(get(&of(MAILBOX))).await.unwrap();
    assert_eq!((read.status, server.seen().len()), (429, 2));
    // Whoever asked for a mailbox that is none of the connection's relates nothing.
    binding.relate(&session("c"), &of("ben@contoso.example"));
    assert_eq!(put("c").await, 3);
    assert!(!waiting.is_finished(), "one that waits is not asked again");
    waiting.abort();
}
