//! Who signed in: the id token, verified (OpenID Connect Core section 3.1.3.7).

use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

/// How far the clocks may be apart, in seconds.
const LEEWAY: i64 = 300;

/// What the token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    /// What the sign-in's link carried; device codes have none.
    pub(super) nonce: Option<&'a str>,
    /// Whether it comes from Entra ID, whose accounts have an object id and a directory.
    pub(super) is_entra: bool,
    /// The directory, where the connection has its id.
    pub(super) tenant_id: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// What the token says.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Claims {
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    nonce: Option<String>,
    /// The account's id at its issuer.
    sub: String,
    /// The directory's id.
    #[serde(default)]
    pub(super) tid: Option<String>,
    /// The account's id in it.
    #[serde(default)]
    oid: Option<String>,
    /// The user principal name.
    #[serde(default)]
    preferred_username: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
}

impl Claims {
    /// The account's name: the user principal name at Entra; elsewhere an address that the issuer
    /// vouches for, since there the preferred name may be anybody's choice
    /// (OpenID Connect Core section 5.7).
    pub(super) fn account(&self, is_entra: bool) -> Option<&str> {
        match is_entra {
            true => self.preferred_username.as_deref(),
            false => self.email.as_deref().filter(|_| self.email_verified),
        }
    }

    /// The account's id.
    pub(super) fn id(&self) -> &str {
        self.oid.as_deref().unwrap_or(&self.sub)
    }
}

/// Verifies an id token and reads it.
///
/// # Errors
/// What is wrong with it, without any part of it.
pub(super) fn verify(
    token: &str,
    keys: &JwkSet,
    expected: &Expected<'_>,
) -> Result<Claims, &'static str> {
    let header = decode_header(token).map_err(|_| "it is no JWT")?;
    // The algorithm is ours to choose, never the token's.
    if header.alg != Algorithm::RS256 {
        return Err("it is not signed with RS256");
    }
    let id = header.kid.ok_or("it does not say which key signed it")?;
    let key = keys
        .find(&id)
        .ok_or("it is signed with a key that the service does not have")?;
    let key = DecodingKey::from_jwk(key).map_err(|_| "the service's key cannot be used")?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[expected.client_id]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_required_spec_claims(&["aud", "exp", "iss"]);
    // By the clock that was passed in, below.
    validation.validate_exp = false;
    let claims = decode::<Claims>(token, &key, &validation)
        .map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            match error.kind() {
                ErrorKind::InvalidSignature => "its signature is not the service's",
                ErrorKind::InvalidAudience => "it is for another application",
                ErrorKind::InvalidIssuer => "it is from another issuer",
                _ => "it lacks a claim that every id token has",
            }
        })?
        .claims;
    let now = expected.now.as_second();
    if claims.exp.saturating_add(LEEWAY) <= now {
        return Err("it has expired; is this machine's clock right?");
    }
    if claims
        .nbf
        .is_some_and(|nbf| nbf.saturating_sub(LEEWAY) > now)
    {
        return Err("it is not valid yet; is this machine's clock right?");
    }
    if expected
        .nonce
        .is_some_and(|nonce| claims.nonce.as_deref() != Some(nonce))
    {
        return Err("it belongs to another sign-in");
    }
    if expected.is_entra && (claims.tid.is_none() || claims.oid.is_none()) {
        return Err("it lacks a claim (tid, oid and preferred_username are needed)");
    }
    if claims.account(expected.is_entra).is_none() {
        return Err(match expected.is_entra {
            true => "it lacks a claim (tid, oid and preferred_username are needed)",
            false => "it lacks a claim (email and email_verified are needed)",
        });
    }
    if let Some(tenant) = expected.tenant_id
        && !claims
            .tid
            .as_deref()
            .is_some_and(|tid| tid.eq_ignore_ascii_case(tenant))
    {
        return Err("it is from another directory");
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use rsa::pkcs1v15::SigningKey;
    use rsa::sha2::Sha256;
    use rsa::signature::{SignatureEncoding as _, Signer as _};
    use rsa::traits::PublicKeyParts as _;
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    struct Key(rsa::RsaPrivateKey);

    impl Key {
        fn new() -> Self {
            Self(rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap())
        }

        fn jwks(&self, id: &str) -> JwkSet {
            let part = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
            serde_json::from_value(json!({"keys": [{
                "kty": "RSA", "use": "sig", "kid": id,
                "n": part(self.0.n().to_bytes_be()), "e": part(self.0.e().to_bytes_be()),
            }]}))
            .unwrap()
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let text = format!("{}.{}", part(header), part(claims));
            let signature = SigningKey::<Sha256>::new(self.0.clone()).sign(text.as_bytes());
            format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
        }
    }

    fn claims(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Value {
        let mut claims = json!({
            "iss": "https://login.test/tid/v2.0", "aud": "app", "exp": NOW + 3600, "nbf": NOW,
            "nonce": "nonce", "tid": "tid", "oid": "oid", "sub": "sub",
            "preferred_username": "svc@contoso.example",
        });
        change(claims.as_object_mut().unwrap());
        claims
    }

    #[test]
    fn only_the_right_token_passes() {
        let (key, foreign) = (Key::new(), Key::new());
        let keys = key.jwks("k");
        let header = json!({"alg": "RS256", "kid": "k"});
        let expected = Expected {
            issuer: "https://login.test/tid/v2.0",
            client_id: "app",
            nonce: Some("nonce"),
            is_entra: true,
            tenant_id: Some("TID"),
            now: Timestamp::from_second(NOW).unwrap(),
        };
        let check = |token: &str, part: &str| match verify(token, &keys, &expected) {
            Ok(found) => assert!(part.is_empty(), "passed, expected {part}: {}", found.id()),
            Err(problem) => assert!(
                !part.is_empty() && problem.contains(part),
                "{problem}, expected {part}"
            ),
        };
        let good = key.sign(&header, &claims(|_| {}));
        check(&good, "");
        check(&foreign.sign(&header, &claims(|_| {})), "signature");
        check(
            &key.sign(&json!({"alg": "RS256", "kid": "other"}), &claims(|_| {})),
            "does not have",
        );
        check(
            &key.sign(&json!({"alg": "RS256"}), &claims(|_| {})),
            "which key",
        );
        check(
            &key.sign(&json!({"alg": "HS256", "kid": "k"}), &claims(|_| {})),
            "RS256",
        );
        check(
            &key.sign(&json!({"alg": "none", "kid": "k"}), &claims(|_| {})),
            "JWT",
        );
        check("", "JWT");
        check("a.b.c", "JWT");
        let (text, _) = good.rsplit_once('.').unwrap();
        check(&format!("{text}."), "signature");
        let mut parts: Vec<_> = good.split('.').collect();
        let other = URL_SAFE_NO_PAD
            .encode(claims(|c| drop(c.insert("oid".into(), "x".into()))).to_string());
        parts[1] = &other;
        check(&parts.join("."), "signature");
        for (name, value, part) in [
            ("iss", json!("https://evil.test"), "issuer"),
            ("aud", json!("other"), "application"),
            ("exp", json!(NOW - LEEWAY), "expired"),
            ("exp", json!(NOW - LEEWAY + 1), ""),
            ("nbf", json!(NOW + LEEWAY + 1), "not valid yet"),
            ("nbf", json!(NOW + LEEWAY), ""),
            ("nonce", json!("other"), "another sign-in"),
            ("nonce", Value::Null, "another sign-in"),
            ("tid", json!("other"), "directory"),
            ("oid", Value::Null, "lacks"),
            ("preferred_username", Value::Null, "lacks"),
            ("exp", Value::Null, "lacks"),
            ("aud", Value::Null, "application"),
        ] {
            let token = key.sign(
                &header,
                &claims(|c| drop(c.insert(name.into(), value.clone()))),
            );
            match verify(&token, &keys, &expected) {
                Ok(_) => assert!(part.is_empty(), "{name} {value} passed"),
                Err(problem) => assert!(
                    !part.is_empty() && (problem.contains(part) || problem.contains("lacks")),
                    "{name} {value}: {problem}"
                ),
            }
            let without = key.sign(&header, &claims(|c| drop(c.remove(name))));
            if name != "nbf" {
                assert!(
                    verify(&without, &keys, &expected).is_err(),
                    "without {name}"
                );
            }
        }
    }
}
