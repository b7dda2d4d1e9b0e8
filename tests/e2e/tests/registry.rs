//! Plugins from a real registry. Where `docker-registry` is not installed (`cargo xtask test` does that),
//! the tests say so and pass.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docket_connections::{Fetch, Fetched, Fetcher};
use docket_e2e::{Project, Registry, components};
use docket_model::Digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use url::Url;

async fn send(registry: &Registry, method: &str, path: &str, fetch: Fetch) -> Fetched {
    let url = Url::parse(&format!("http://{}/v2/{path}", registry.address)).unwrap();
    let fetch = Fetch {
        limit: 64 << 20,
        ..fetch
    };
    Fetcher::new().send(method, &url, fetch).await.unwrap()
}

async fn manifest(registry: &Registry, path: &str) -> (Value, Digest) {
    let accept = "application/vnd.oci.image.manifest.v1+json";
    let fetch = Fetch {
        headers: vec![("accept".to_owned(), accept.to_owned())],
        ..Fetch::default()
    };
    let answer = send(registry, "GET", path, fetch).await;
    assert_eq!(answer.status, 200, "{path}");
    let digest = Digest::of(&answer.body);
    (serde_json::from_slice(&answer.body).unwrap(), digest)
}

async fn put_blob(registry: &Registry, repository: &str, bytes: &[u8]) -> Value {
    let path = format!("{repository}/blobs/uploads/");
    let begun = send(registry, "POST", &path, Fetch::default()).await;
    let mut url = begun.url.join(begun.header("location").unwrap()).unwrap();
    let digest = Digest::of(bytes);
    url.query_pairs_mut()
        .append_pair("digest", &digest.to_string());
    let fetch = Fetch {
        body: bytes.to_vec().into(),
        limit: 1 << 20,
        ..Fetch::default()
    };
    let answer = Fetcher::new().send("PUT", &url, fetch).await.unwrap();
    assert_eq!(answer.status, 201);
    json!({"mediaType": "application/octet-stream", "digest": digest, "size": bytes.len()})
}

/// Signs a manifest as `cosign sign --key` does, for what the payload says is its digest.
async fn sign(
    registry: &Registry,
    repository: &str,
    manifest: Digest,
    payload_says: Digest,
    key: &EcdsaKeyPair,
) {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": repository},
            "image": {"docker-manifest-digest": payload_says},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string();
    let signature = key.sign(&SystemRandom::new(), payload.as_bytes()).unwrap();
    let config = put_blob(registry, repository, b"{}").await;
    let mut layer = put_blob(registry, repository, payload.as_bytes()).await;
    layer["mediaType"] = "application/vnd.dev.cosign.simplesigning.v1+json".into();
    layer["annotations"] =
        json!({"dev.cosignproject.cosign/signature": STANDARD.encode(signature.as_ref())});
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let text = json!({
        "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer],
    });
    let fetch = Fetch {
        headers: vec![("content-type".to_owned(), media_type.to_owned())],
        body: text.to_string().into_bytes().into(),
        ..Fetch::default()
    };
    let path = format!("{repository}/manifests/sha256-{}.sig", manifest.to_hex());
    assert_eq!(send(registry, "PUT", &path, fetch).await.status, 201);
}

fn component(name: &str) -> String {
    let path = components().join(name).with_extension("wasm");
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_published_and_added_and_pinned() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let project = Project::new("connections: {}\n");
    let reference = registry.reference("team/mail:1.0.0");
    let push = |name: &str| {
        let arguments = ["plugins", "push", &component(name), &reference, "--json"];
        let (out, _) = project.ends(&arguments, 0);
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let pushed = push("graph-import");

    // The layout that `wkg` writes.
    let (manifest, digest) = manifest(&registry, "team/mail/manifests/1.0.0").await;
    assert_eq!(pushed["manifest"], digest.to_string());
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.wasm.config.v0+json"
    );
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(manifest["layers"][0]["digest"], pushed["component"]);
    let config = format!(
        "team/mail/blobs/{}",
        manifest["config"]["digest"].as_str().unwrap()
    );
    let config = send(&registry, "GET", &config, Fetch::default()).await;
    let config: Value = serde_json::from_slice(&config.body).unwrap();
    assert_eq!(config["architecture"], "wasm");
    assert_eq!(config["os"], "wasip2");
    assert_eq!(config["layerDigests"], json!([pushed["component"]]));
    assert_eq!(
        config["component"]["exports"],
        json!(["docket:processor/actions@0.1.0"])
    );

    // Added, it runs without the registry; a machine that does not have it fetches it.
    project.ends(&["plugins", "add", &reference, "--yes"], 0);
    let yaml = fs::read_to_string(project.path("docket.yaml")).unwrap();
    assert!(yaml.contains(&format!("source: {reference}\n")), "{yaml}");
    project.ends(&["validate"], 0);
    let elsewhere = || fs::remove_dir_all(project.path("data")).unwrap();
    elsewhere();
    let (_, err) = project.ends(&["validate"], 3);
    assert!(err.contains("docket plugins fetch"), "{err}");
    project.ends(&["plugins", "fetch"], 0);
    project.ends(&["validate"], 0);

    // Another component under the same tag is not what was approved.
    push("exchange");
    elsewhere();
    let (_, err) = project.ends(&["plugins", "fetch"], 3);
    assert!(err.contains("and not sha256:"), "{err}");
    let (_, err) = project.ends(&["plugins", "add", &reference, "--as", "graph-import"], 3);
    assert!(err.contains("+ scope Mail.Send"), "{err}");

    for (source, expected) in [
        (registry.reference("team/mail:2.0.0"), "is not there"),
        ("oci://127.0.0.1:1/team/mail:1".to_owned(), "127.0.0.1"),
        (
            "https://127.0.0.1:1/mail.wasm".to_owned(),
            "needs its digest",
        ),
    ] {
        let output = project.run(&["plugins", "add", &source, "--yes"]);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{source}");
        assert!(err.contains(expected), "{source}: {err}");
    }
}

/// A key, and its public part as cosign writes it.
fn key() -> (EcdsaKeyPair, String) {
    let chance = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &chance).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &chance).unwrap();
    // SubjectPublicKeyInfo of a P-256 key (RFC 5480).
    let mut der = STANDARD
        .decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE")
        .unwrap();
    der.pop();
    der.extend_from_slice(pair.public_key().as_ref());
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(der)
    );
    (pair, pem)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_right_key_signed_is_added() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let (ours, pem) = key();
    let (theirs, _) = key();
    let project =
        Project::new("connections: {}\nsignatures:\n  policy: require\n  keys: [acme.pub]\n");
    let reference = registry.reference("acme/mail:1.0.0");
    let file = component("graph-import");
    let (out, _) = project.ends(&["plugins", "push", &file, &reference, "--json"], 0);
    let pushed: Value = serde_json::from_str(&out).unwrap();
    let manifest: Digest = pushed["manifest"].as_str().unwrap().parse().unwrap();
    let add = ["plugins", "add", &reference, "--yes"];

    let (_, err) = project.ends(&add, 3);
    assert!(err.contains("acme.pub"), "the key is missing: {err}");
    fs::write(project.path("acme.pub"), pem).unwrap();
    let refused = || {
        let (_, err) = project.ends(&add, 3);
        assert!(err.contains("has no signature by a key"), "{err}");
        assert!(err.contains("cosign sign --key"), "{err}");
        assert!(!project.path("docket.lock").exists());
    };
    refused();
    // A file carries no signature at all.
    let (_, err) = project.ends(&["plugins", "add", &file, "--yes"], 3);
    assert!(err.contains("has no signature by a key"), "{err}");

    sign(&registry, "acme/mail", manifest, manifest, &theirs).await;
    refused();
    // A good signature of something else, put where this one's belongs.
    sign(
        &registry,
        "acme/mail",
        manifest,
        Digest::of(b"another"),
        &ours,
    )
    .await;
    refused();
    sign(&registry, "acme/mail", manifest, manifest, &ours).await;
    project.ends(&add, 0);
    assert!(project.path("docket.lock").exists());

    let yaml = fs::read_to_string(project.path("docket.yaml")).unwrap();
    fs::write(project.path("docket.yaml"), yaml.replace("require", "warn")).unwrap();
    let (_, err) = project.ends(&["plugins", "add", &file, "--as", "other", "--yes"], 0);
    assert!(err.contains("warning"), "{err}");
}
