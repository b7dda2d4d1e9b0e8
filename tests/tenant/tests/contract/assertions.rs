//! Client assertions signed with a certificate.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use docket_tenant::{AppConfig, CertificateConfig};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rsa::pkcs8::EncodePrivateKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::World;

const CLIENT: &str = "33333333-2222-4333-8444-555555555555";

/// A key as PKCS#8 and a certificate for it; made once, as RSA keys take a while.
fn credential() -> &'static (Vec<u8>, Vec<u8>) {
    static MADE: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        let pkcs8 = key.to_pkcs8_der().unwrap().as_bytes().to_vec();
        let pair = rcgen::KeyPair::try_from(pkcs8.as_slice()).unwrap();
        let certificate = rcgen::CertificateParams::new(vec![])
            .unwrap()
            .self_signed(&pair)
            .unwrap();
        (pkcs8, certificate.der().to_vec())
    })
}

#[tokio::test]
async fn a_padded_thumbprint_and_a_fractional_time_are_read() {
    // Both are what MSAL for Python sends.
    let world = World::contoso().await;
    let mut app = AppConfig::new(CLIENT, "padded");
    app.certificates = vec![CertificateConfig {
        der: credential().1.clone(),
    }];
    world.tenant.state().add_app(app);
    let mut header = Header::new(Algorithm::PS256);
    let print = URL_SAFE_NO_PAD.encode(Sha256::digest(&credential().1));
    header.x5t_s256 = Some(format!("{print}="));
    let now = world.tenant.state().now().as_second();
    let tenant = world.tenant.state().tenant_id();
    let audience = format!("{}{tenant}/oauth2/v2.0/token", world.tenant.authority());
    let claims = json!({"aud": audience, "iss": CLIENT, "sub": CLIENT, "jti": "1", "exp": now as f64 + 300.5});
    let answer = ask(&world, &header, &claims).await;
    assert!(answer["access_token"].is_string(), "{answer}");
}

async fn ask(world: &World, header: &Header, claims: &Value) -> Value {
    // jsonwebtoken wants PKCS#1 in DER; PEM tells it which it is.
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(&credential().0)
    );
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let assertion = jsonwebtoken::encode(header, claims, &key).unwrap();
    let tenant = world.tenant.state().tenant_id();
    let form = [
        ("client_id", CLIENT.to_owned()),
        ("grant_type", "client_credentials".to_owned()),
        ("scope", "https://graph.microsoft.com/.default".to_owned()),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
        ),
        ("client_assertion", assertion),
    ];
    let url = format!("{}{tenant}/oauth2/v2.0/token", world.tenant.authority());
    world
        .http
        .post(url)
        .form(&form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

#[tokio::test]
async fn assertions_are_checked() {
    let world = World::contoso().await;
    let der = credential().1.clone();
    let mut app = AppConfig::new(CLIENT, "certified");
    app.certificates = vec![CertificateConfig { der: der.clone() }];
    world.tenant.state().add_app(app);
    let now = world.tenant.state().now().as_second();
    let tenant = world.tenant.state().tenant_id();
    let audience = format!("{}{tenant}/oauth2/v2.0/token", world.tenant.authority());
    let claims = |changes: Value| {
        let mut claims = json!({"aud": audience, "iss": CLIENT, "sub": CLIENT, "jti": "1", "nbf": now, "iat": now, "exp": now + 300});
        claims
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        claims
    };
    let header = |algorithm, print: Option<String>| {
        let mut header = Header::new(algorithm);
        header.x5t_s256 = print;
        header
    };
    let print = || Some(URL_SAFE_NO_PAD.encode(Sha256::digest(&der)));
    let sha1 = {
        let mut header = Header::new(Algorithm::RS256);
        header.x5t = Some(URL_SAFE_NO_PAD.encode(sha1::Sha1::digest(&der)));
        header
    };
    let good = header(Algorithm::PS256, print());
    let table = [
        ("PS256", good.clone(), claims(json!({})), None),
        ("RS256 with x5t", sha1, claims(json!({})), None),
        (
            "unregistered",
            header(Algorithm::PS256, Some("x".into())),
            claims(json!({})),
            Some(700_027),
        ),
        (
            "no thumbprint",
            header(Algorithm::PS256, None),
            claims(json!({})),
            Some(700_027),
        ),
        (
            "wrong hash",
            header(Algorithm::PS512, print()),
            claims(json!({})),
            Some(50012),
        ),
        (
            "other audience",
            good.clone(),
            claims(json!({"aud": "https://x.example"})),
            Some(700_023),
        ),
        (
            "expired",
            good.clone(),
            claims(json!({"exp": now - 1})),
            Some(700_024),
        ),
        (
            "other subject",
            good.clone(),
            claims(json!({"sub": "x"})),
            Some(50048),
        ),
    ];
    for (name, header, claims, expected) in table {
        let body = ask(&world, &header, &claims).await;
        assert_eq!(body["error_codes"][0].as_u64(), expected, "{name}: {body}");
        assert_eq!(
            body["access_token"].is_string(),
            expected.is_none(),
            "{name}"
        );
    }
}
