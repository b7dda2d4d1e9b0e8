//! How fast the tenant answers; run by name, as numbers depend on the machine.

use std::time::Instant;

use reqwest::Method;
use serde_json::Value;

use crate::client::{ANNA, World, mail};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn throughput_of_draft_and_send() {
    const MAILS: usize = 2000;
    for (name, is_tls) in [("plain", false), ("TLS", true)] {
        let world = World::contoso().await;
        let base = if is_tls {
            world.tenant.graph()
        } else {
            world.tenant.plain()
        };
        let started = Instant::now();
        let lanes = (0..8).map(|lane| {
            let (world, base) = (&world, base);
            async move {
                for number in 0..MAILS / 8 {
                    let draft = world
                        .http
                        .request(Method::POST, format!("{base}v1.0/me/messages"));
                    let draft = draft
                        .bearer_auth(&world.token)
                        .json(&mail(&format!("{lane}-{number}"), ANNA));
                    let draft: Value = draft.send().await.unwrap().json().await.unwrap();
                    let id = draft["id"].as_str().unwrap().replace('=', "%3D");
                    let sent = world
                        .http
                        .request(Method::POST, format!("{base}v1.0/me/messages/{id}/send"));
                    let sent = sent.bearer_auth(&world.token).send().await.unwrap();
                    assert_eq!(sent.status().as_u16(), 202);
                }
            }
        });
        futures_util::future::join_all(lanes).await;
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{name}: {:.0} mails/s, {:.0} requests/s",
            MAILS as f64 / seconds,
            2.0 * MAILS as f64 / seconds
        );
        assert_eq!(world.subjects(ANNA, "inbox").len(), MAILS);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn throughput_of_send_mail() {
    const MAILS: usize = 4000;
    let world = World::contoso().await;
    let base = world.tenant.plain();
    let body = serde_json::json!({"message": mail("fast", "x@fabrikam.example")});
    let started = Instant::now();
    let lanes = (0..8).map(|_| async {
        for _ in 0..MAILS / 8 {
            let sent = world
                .http
                .request(Method::POST, format!("{base}v1.0/me/sendMail"));
            assert_eq!(
                sent.bearer_auth(&world.token)
                    .json(&body)
                    .send()
                    .await
                    .unwrap()
                    .status()
                    .as_u16(),
                202
            );
        }
    });
    futures_util::future::join_all(lanes).await;
    println!(
        "sendMail, plain: {:.0} mails/s",
        MAILS as f64 / started.elapsed().as_secs_f64()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn throughput_of_a_large_upload() {
    const SIZE: usize = 150_000_000;
    const PIECE: usize = 4 * 1024 * 1024;
    let world = World::contoso().await;
    let draft = world.post("/me/messages", &mail("large", ANNA), 201).await;
    let path = format!(
        "/me/messages/{}",
        draft["id"].as_str().unwrap().replace('=', "%3D")
    );
    let item = serde_json::json!({"AttachmentItem": {"attachmentType": "file", "name": "a.bin", "size": SIZE}});
    let made = world
        .post(
            &format!("{path}/attachments/createUploadSession"),
            &item,
            201,
        )
        .await;
    let url = made["uploadUrl"].as_str().unwrap();
    let content = bytes::Bytes::from(vec![7_u8; SIZE]);
    let started = Instant::now();
    for first in (0..SIZE).step_by(PIECE) {
        let piece = content.slice(first..(first + PIECE).min(SIZE));
        let range = format!("bytes {first}-{}/{SIZE}", first + piece.len() - 1);
        let answer = world
            .http
            .put(url)
            .header("content-range", range)
            .body(piece)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success());
    }
    let seconds = started.elapsed().as_secs_f64();
    world.post(&format!("{path}/send"), &Value::Null, 202).await;
    println!("upload over TLS: {:.0} MB/s", SIZE as f64 / 1e6 / seconds);
    let arrived = world
        .tenant
        .state()
        .messages(ANNA, Some("inbox"))
        .unwrap()
        .remove(0)
        .message;
    assert_eq!(arrived.attachments[0].len(), SIZE);
}
