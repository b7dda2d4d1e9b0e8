//! Documents: given, read, made, and never from elsewhere.

use docket_model::{Digest, FailureClass};
use docket_sandbox::Limits;
use serde_json::json;

use crate::outside::Outside;

#[tokio::test]
async fn a_guest_reads_what_it_was_given_and_makes_what_it_returns() {
    let outside = Outside::new().await;
    let text = "Größe ".repeat(30_000);
    let document = outside.documents.put("a.txt", text.as_bytes());
    let read = outside.output("read", json!({"document": document})).await;
    assert_eq!(read, json!({"text": text}));

    let made = outside
        .output("write", json!({"name": "b.txt", "text": "hello"}))
        .await;
    assert_eq!(
        made,
        json!({"document": {
            "$document": Digest::of(b"hello").to_string(),
            "name": "b.txt", "mediaType": "text/plain", "size": 5,
        }})
    );
    let stored = outside.documents.stored.lock().expect("lock");
    assert_eq!(stored[&Digest::of(b"hello")].as_slice(), b"hello");
}

#[tokio::test]
async fn a_document_may_only_be_passed_through_unchanged() {
    let outside = Outside::new().await;
    let mut document = outside.documents.put("a.txt", b"hello");
    let given = json!({"document": document});
    assert_eq!(outside.output("echo", given.clone()).await, given);

    document.size = 6;
    let failure = outside.failure("echo", json!({"document": document})).await;
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::NotFound, "document-missing")
    );
    document.digest = Digest::of(b"never stored");
    let failure = outside.failure("echo", json!({"document": document})).await;
    assert!(failure.message.contains("`a.txt`"), "{}", failure.message);
    // No document reference, and so nothing that was given.
    let failure = outside
        .failure("echo", json!({"document": {"$document": "sha256:0"}}))
        .await;
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::Crashed, "nonsense")
    );
}

#[tokio::test]
async fn names_and_sizes_have_limits() {
    let limits = Limits {
        document_bytes: 10,
        ..Limits::default()
    };
    let outside = Outside::with_limits(limits).await;
    for name in ["", "..", "../up", "a\\b", "a\nb"] {
        let failure = outside
            .failure("write", json!({"name": name, "text": "x"}))
            .await;
        assert!(failure.message.contains("name"), "{name:?}: {failure:?}");
    }
    outside
        .output("write", json!({"name": "ten", "text": "0123456789"}))
        .await;
    let failure = outside
        .failure("write", json!({"name": "eleven", "text": "01234567890"}))
        .await;
    assert!(failure.message.contains("10"), "{failure:?}");
    assert_eq!(
        outside.documents.stored.lock().expect("lock").len(),
        1,
        "nothing is left behind"
    );
}
