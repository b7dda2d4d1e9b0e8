//! Credentials are shown to the registry that they are for, and to no other.
//!
//! The registry is a few lines on this machine that ask for a password; the real one is in
//! `tests/e2e/tests/registry.rs`.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::sync::{Arc, Mutex};

use docket_connections::Fetcher;
use docket_plugins::pin::{Credentials, Registry, RegistryError, Source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that answers everything with 401, and remembers the heads of its requests.
async fn asks() -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0; 4096];
            let read = stream.read(&mut buffer).await.unwrap_or_default();
            let head = String::from_utf8_lossy(&buffer[..read]).to_lowercase();
            heard.lock().unwrap().push_str(&head);
            let answer = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"x\"\r\n\
                          content-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, heads)
}

#[tokio::test]
async fn another_registry_does_not_see_them() {
    let (address, heads) = asks().await;
    let Source::Oci(reference) = format!("oci://{address}/team/mail:1").parse().unwrap() else {
        panic!("a reference")
    };
    let credentials = |registry: &str| Credentials {
        registry: registry.to_owned(),
        user: "anna".to_owned(),
        password: "secret".to_owned(),
    };
    for (registry, is_shown) in [("registry.example", false), (address.as_str(), true)] {
        let registry = Registry::new(Fetcher::new(), Some(credentials(registry)));
        let pulled = registry.pull(&reference).await;
        let error = pulled.unwrap_err();
        assert!(matches!(error, RegistryError::Unauthorized(_)), "{error}");
        assert!(!format!("{error} {}", error.help()).contains("secret"));
        // `anna:secret` in base64, in lower case as the heads are.
        let seen = heads.lock().unwrap().contains("basic yw5uytpzzwnyzxq=");
        assert_eq!(seen, is_shown);
    }
}
