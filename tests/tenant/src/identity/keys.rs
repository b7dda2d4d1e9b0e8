//! The key that signs id tokens. RSA keys take a while to make, so a process makes one, when first needed.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::RsaPrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::sha2::{Digest, Sha256};
use rsa::signature::{SignatureEncoding, Signer};
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};

struct Key {
    id: String,
    private: RsaPrivateKey,
}

static KEY: OnceLock<Option<Key>> = OnceLock::new();

fn key() -> Option<&'static Key> {
    KEY.get_or_init(|| {
        let private = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).ok()?;
        let id = URL_SAFE_NO_PAD.encode(&Sha256::digest(private.n().to_bytes_be())[..20]);
        Some(Key { id, private })
    })
    .as_ref()
}

/// The public key, as the keys endpoint shows it.
pub(crate) fn jwks() -> Value {
    let Some(key) = key() else {
        return json!({"keys": []});
    };
    json!({"keys": [{
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": key.id,
        "x5t": key.id,
        "n": URL_SAFE_NO_PAD.encode(key.private.n().to_bytes_be()),
        "e": URL_SAFE_NO_PAD.encode(key.private.e().to_bytes_be()),
    }]})
}

/// A signed JWT (RS256).
pub(crate) fn sign(claims: &Value) -> Option<String> {
    let key = key()?;
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": key.id});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let signature = SigningKey::<Sha256>::new(key.private.clone()).sign(signed.as_bytes());
    Some(format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(signature.to_bytes())
    ))
}
