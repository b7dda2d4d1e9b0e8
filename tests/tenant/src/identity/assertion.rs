//! Client assertions signed with a certificate (certificate-credentials.md).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::traits::PublicKeyParts;
use serde_json::Value;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::aadsts::{Aadsts, aadsts};
use crate::store::World;
use crate::wire::Call;

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Checks the assertion of `client_id`.
pub(crate) fn check(
    world: &mut World,
    call: &Call,
    tenant: &str,
    client_id: &str,
    kind: Option<&str>,
    jwt: &str,
) -> Result<(), Aadsts> {
    if kind != Some(TYPE) {
        return Err(aadsts(50012).about("The client_assertion_type is not supported."));
    }
    let header = jsonwebtoken::decode_header(jwt).map_err(|_| aadsts(50012))?;
    if !matches!(header.alg, Algorithm::PS256 | Algorithm::RS256) {
        return Err(aadsts(50012).about("The assertion must be signed with PS256 or RS256."));
    }
    let app = world
        .directory
        .app(client_id)
        .ok_or_else(|| aadsts(700_016))?;
    // MSAL for Python pads its thumbprints, which RFC 7515 does not; Entra takes either.
    let certificate = app.config.certificates.iter().find(|certificate| {
        let by_sha256 = header
            .x5t_s256
            .as_ref()
            .is_some_and(|print| print.trim_end_matches('=') == thumbprint(&certificate.der));
        let by_sha1 = header
            .x5t
            .as_ref()
            .is_some_and(|print| print.trim_end_matches('=') == thumbprint_sha1(&certificate.der));
        by_sha256 || by_sha1
    });
    let certificate = certificate.ok_or_else(|| aadsts(700_027))?;
    let (_, parsed) = X509Certificate::from_der(&certificate.der).map_err(|_| aadsts(700_027))?;
    if parsed.validity().not_after.timestamp() <= call.now.as_second() {
        return Err(aadsts(700_027).about(
            "The certificate used to sign the client assertion is expired on application.",
        ));
    }
    let key = rsa::RsaPublicKey::from_pkcs1_der(&parsed.public_key().subject_public_key.data)
        .map_err(|_| aadsts(50013))?;
    let encode = |number: &rsa::BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
    let key = DecodingKey::from_rsa_components(&encode(key.n()), &encode(key.e()))
        .map_err(|_| aadsts(50013))?;
    // Times are checked against the tenant's clock below.
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Value>(jwt, &key, &validation)
        .map_err(|_| aadsts(50013))?
        .claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or("");
    if !text("iss").eq_ignore_ascii_case(client_id) || !text("sub").eq_ignore_ascii_case(client_id)
    {
        return Err(aadsts(50048));
    }
    let endpoint = format!("{}/{tenant}/oauth2/v2.0/token", call.base);
    let issuer = format!("{}/{tenant}/v2.0", call.base);
    if !is_same(text("aud"), &endpoint) && !is_same(text("aud"), &issuer) {
        return Err(aadsts(700_023).about(&format!(
            "Client assertion audience claim does not match the endpoint '{endpoint}'."
        )));
    }
    let now = call.now.as_second();
    // A NumericDate may have a fraction (RFC 7519, 2), and MSAL for Python sends one.
    let number = |name: &str| claims.get(name)?.as_f64().map(|seconds| seconds as i64);
    let expires = number("exp").ok_or_else(|| aadsts(500_133))?;
    if expires <= now || number("nbf").is_some_and(|start| start > now + 300) {
        return Err(aadsts(700_024));
    }
    let id = text("jti").to_owned();
    let end = Timestamp::from_second(expires).unwrap_or(call.now);
    world.directory.assertions.retain(|_, end| *end > call.now);
    if !id.is_empty() {
        world.directory.assertions.insert(id, end);
    }
    let algorithm = if header.alg == Algorithm::PS256 {
        "PS256"
    } else {
        "RS256"
    };
    let mark = if header.x5t_s256.is_some() {
        "x5t#S256"
    } else {
        "x5t"
    };
    if let Some(app) = world.directory.app_mut(client_id) {
        app.last_assertion = Some((algorithm, mark));
    }
    Ok(())
}

fn is_same(left: &str, right: &str) -> bool {
    left.trim_end_matches('/').eq_ignore_ascii_case(right)
}

/// `x5t#S256`
fn thumbprint(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(der))
}

/// `x5t`, as older configurations send.
fn thumbprint_sha1(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(sha1::Sha1::digest(der))
}
