//! Providers other than Entra ID, by their endpoints; and services that do not do what they should.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use docket_connections::{AuthErrorClass, Callback, FinishError, GateError, Request};
use docket_model::{ConnectionKind, ConnectionSpec, ProviderSpec};
use rsa::pkcs1v15::SigningKey;
use rsa::sha2::Sha256;
use rsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};

use crate::support::*;
use crate::wire::{Act, Server, answer};

const USER: &str = "anna@contoso.example";

/// An OpenID Connect provider that gives whatever id token it is told to.
struct Oidc {
    server: Server,
    key: rsa::RsaPrivateKey,
    /// What the token endpoint answers.
    answer: Arc<Mutex<Act>>,
}

fn key() -> rsa::RsaPrivateKey {
    rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap()
}

impl Oidc {
    async fn start() -> Self {
        let key = key();
        let part = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
        let jwks = json!({"keys": [{
            "kty": "RSA", "use": "sig", "kid": "k",
            "n": part(key.n().to_bytes_be()), "e": part(key.e().to_bytes_be()),
        }]});
        let told = Arc::new(Mutex::new(Act::Silence));
        let act = Arc::clone(&told);
        let server = Server::start(move |seen| {
            let host = seen.header("host").unwrap().to_owned();
            let reply = match seen.target() {
                "GET /.well-known/openid-configuration" => {
                    let issuer = format!("http://{host}");
                    let found = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
                    answer(200, "", &found.to_string())
                }
                "GET /keys" => answer(200, "", &jwks.to_string()),
                "POST /token" => act.lock().unwrap().clone(),
                _ => answer(200, "", "{}"),
            };
            std::future::ready(reply)
        })
        .await;
        Self {
            server,
            key,
            answer: told,
        }
    }

    fn spec(&self) -> ConnectionSpec {
        let base = self.server.url();
        let mut spec =
            ConnectionSpec::new(ConnectionKind::PerUser, String::new(), "app".to_owned());
        spec.endpoints = [
            ("api", format!("{base}/api")),
            ("other", format!("{base}/other")),
        ]
        .map(|(name, url)| (name.to_owned(), url))
        .into();
        spec.allow_addresses = vec!["127.0.0.0/8".to_owned()];
        spec.provider = Some(ProviderSpec {
            authorize_url: Some(format!("{base}/authorize")),
            token_url: format!("{base}/token"),
            device_url: None,
            issuer: Some(base),
            jwks_url: None,
            token_for: vec!["api".to_owned()],
            scopes: Vec::new(),
        });
        spec
    }

    fn id_token(&self, key: &rsa::RsaPrivateKey, claims: Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut all = json!({
            "iss": self.server.url(), "aud": "app", "sub": "1",
            "exp": 1_800_000_000_i64, "email": USER, "email_verified": true,
        });
        all.as_object_mut()
            .unwrap()
            .extend(claims.as_object().unwrap().clone());
        let text = format!(
            "{}.{}",
            part(&json!({"alg": "RS256", "kid": "k"})),
            part(&all)
        );
        let signature = SigningKey::<Sha256>::new(key.clone()).sign(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn gives(&self, id_token: &str) {
        let body = json!({
            "access_token": "access", "token_type": "bearer", "expires_in": 3600,
            "refresh_token": "refresh", "id_token": id_token,
        });
        *self.answer.lock().unwrap() = answer(200, "", &body.to_string());
    }

    /// Signs in; `make` gets the nonce and makes the id token.
    async fn sign_in(
        &self,
        project: &Project,
        extra: &str,
        make: impl FnOnce(&str) -> String,
    ) -> Result<(), FinishError> {
        let begun = project
            .connections
            .begin_sign_in(NAME, Some(USER), Some(REDIRECT), &["sign".to_owned()])
            .unwrap();
        let asked = begun.authorize_url.query_pairs();
        let nonce = asked
            .into_owned()
            .find(|(name, _)| name == "nonce")
            .unwrap()
            .1;
        self.gives(&make(&nonce));
        let query = format!("code=c&state={}{extra}", begun.state);
        let callback = Callback::from_query(&query).unwrap();
        project.connections.finish_sign_in(callback).await.map(drop)
    }
}

#[tokio::test]
async fn a_provider_by_its_endpoints() {
    let oidc = Oidc::start().await;
    let project = Project::new(oidc.spec());
    let mixed = oidc
        .sign_in(&project, "&iss=https%3A%2F%2Fother.example", |_| {
            String::new()
        })
        .await;
    assert_eq!(
        mixed,
        Err(FinishError::Unknown),
        "another provider's answer"
    );
    oidc.sign_in(&project, "", |nonce| {
        oidc.id_token(&oidc.key, json!({"nonce": nonce}))
    })
    .await
    .unwrap();
    let grants = rules(&["GET {api}/**", "GET {other}/**"]);
    let binding = project
        .connections
        .binding(Some(NAME), Some(USER), "sign", &grants)
        .unwrap();
    let url = |path: &str| format!("{}/{path}", oidc.server.url());
    let response = binding
        .send(signed(get(&url("api/users/1"))))
        .await
        .unwrap();
    assert_eq!(response.status, 200, "`users` in its path is no mailbox");
    let sent = oidc.server.seen().pop().unwrap();
    assert_eq!(sent.header("authorization"), Some("Bearer access"));
    let error = refused(binding.send(signed(get(&url("other/x")))).await);
    match error {
        GateError::Denied { what, .. } => assert!(what.contains("sending the token"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn id_tokens_that_prove_nothing() {
    let oidc = Oidc::start().await;
    let project = Project::new(oidc.spec());
    let foreign = key();
    type Make<'m> = Box<dyn Fn(&str) -> String + 'm>;
    let cases: Vec<(&str, Make<'_>)> = vec![
        (
            "signature",
            Box::new(|nonce| oidc.id_token(&foreign, json!({"nonce": nonce}))),
        ),
        (
            "another sign-in",
            Box::new(|_| oidc.id_token(&oidc.key, json!({"nonce": "x"}))),
        ),
        (
            "another application",
            Box::new(|nonce| oidc.id_token(&oidc.key, json!({"nonce": nonce, "aud": "x"}))),
        ),
        (
            "another issuer",
            Box::new(|nonce| {
                oidc.id_token(
                    &oidc.key,
                    json!({"nonce": nonce, "iss": "https://x.example"}),
                )
            }),
        ),
        (
            "expired",
            Box::new(|nonce| oidc.id_token(&oidc.key, json!({"nonce": nonce, "exp": 1}))),
        ),
        (
            "email_verified",
            Box::new(|nonce| {
                oidc.id_token(&oidc.key, json!({"nonce": nonce, "email_verified": false}))
            }),
        ),
        (
            "ben@contoso.example signed in",
            Box::new(|nonce| {
                oidc.id_token(
                    &oidc.key,
                    json!({"nonce": nonce, "email": "ben@contoso.example"}),
                )
            }),
        ),
        ("no JWT", Box::new(|_| String::new())),
    ];
    for (part, make) in cases {
        let error = oidc.sign_in(&project, "", make).await.unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
        let status = project.connections.status().unwrap().remove(0);
        assert!(status.signed_in.is_empty(), "{part}");
    }
}

/// HTML, 500, cut off, slow, never: none of them is a lapsed sign-in, and none of it is shown.
#[tokio::test]
async fn token_endpoints_that_misbehave() {
    let oidc = Oidc::start().await;
    for (act, part) in [
        (
            answer(200, "Content-Type: text/html\r\n", "<html>canary"),
            "not one that OAuth knows",
        ),
        (
            answer(500, "Content-Type: text/html\r\n", "<html>canary"),
            "500",
        ),
        (
            answer(503, "", r#"{"error":"temporarily_unavailable"}"#),
            "not available",
        ),
        (
            Act::SayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"canary".to_owned()),
            "no answer",
        ),
        (Act::SayAndClose(String::new()), "no answer"),
    ] {
        let project = Project::new(oidc.spec());
        let begun = project
            .connections
            .begin_sign_in(NAME, Some(USER), Some(REDIRECT), &[])
            .unwrap();
        *oidc.answer.lock().unwrap() = act;
        let callback = Callback::from_query(&format!("code=c&state={}", begun.state)).unwrap();
        match project
            .connections
            .finish_sign_in(callback)
            .await
            .unwrap_err()
        {
            FinishError::Auth(error) => {
                assert_eq!(error.class, AuthErrorClass::Transient, "{error}");
                assert!(error.to_string().contains(part), "{part}: {error}");
                assert!(!format!("{error:?}").contains("canary"), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    // One that never answers costs a request its own time and no more.
    let mut spec = oidc.spec();
    spec.kind = ConnectionKind::AppOnly;
    let project = Project::new(spec);
    project
        .connections
        .set_client_secret(NAME, &"secret".into(), None)
        .unwrap();
    *oidc.answer.lock().unwrap() = Act::Silence;
    let binding = project.binding(&["GET {api}/**"]);
    let hasty = Request {
        timeout: Duration::from_millis(50),
        ..signed(get(&format!("{}/api/x", oidc.server.url())))
    };
    let error = refused(binding.send(hasty).await);
    assert!(
        matches!(&error, GateError::Unreachable(text) if text.contains("gave no token")),
        "{error:?}"
    );
}

#[tokio::test]
async fn wrong_directory_application_and_secret() {
    for (change, class, part) in [
        (
            "tenant",
            AuthErrorClass::Configuration,
            "does not know the directory fabrikam.example (AADSTS90002)",
        ),
        (
            "client",
            AuthErrorClass::Configuration,
            "does not know the application wrong",
        ),
        (
            "secret",
            AuthErrorClass::Credential,
            "the secret's id and not its value",
        ),
    ] {
        let office = Office::closed(|spec, _| {
            spec.kind = ConnectionKind::AppOnly;
            spec.account = None;
            match change {
                "tenant" => spec.tenant = "fabrikam.example".to_owned(),
                "client" => spec.client_id = "wrong".to_owned(),
                _ => {}
            }
        })
        .await;
        let connections = &office.project.connections;
        if change == "secret" {
            connections
                .set_client_secret(NAME, &"canary".into(), None)
                .unwrap();
        }
        let binding = office
            .project
            .binding(&["GET {graph}/v1.0/users/{mailbox}/messages"]);
        let error = refused(
            binding
                .send(signed(get(&office.mailbox_url("messages"))))
                .await,
        );
        let is_parked = matches!(error, GateError::SignInRequired(_));
        assert_eq!(
            is_parked,
            class == AuthErrorClass::Credential,
            "{change}: {error:?}"
        );
        let text = error.to_string();
        assert!(text.contains(part), "{change}: {text}");
        assert!(!text.contains("canary"));
    }
}
