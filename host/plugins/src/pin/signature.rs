//! Signatures of components in registries, as `cosign sign --key` makes them: ECDSA with P-256 and
//! SHA-256 over a payload that names the manifest's digest, kept beside the image under the tag
//! `sha256-….sig` (cosign's signature specification).
//!
//! Nothing but the key counts: no certificate, no transparency log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docket_model::Digest;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::Value;

use super::registry::{Registry, RegistryError};
use super::source::Reference;

/// The annotation that holds a signature, in base64.
const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The type that a payload says it is of.
const TYPE: &str = "cosign container image signature";
/// The most bytes of a payload.
const PAYLOAD_AT_MOST: u64 = 64 << 10;
/// What an uncompressed P-256 key follows in a SubjectPublicKeyInfo (RFC 5480).
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key that may sign components: `cosign.pub`.
#[derive(Debug, Clone)]
pub struct PublicKey(Vec<u8>);

/// A file holds no P-256 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it holds no ECDSA P-256 public key in PEM, as cosign writes to cosign.pub")]
pub struct InvalidKey;

impl PublicKey {
    /// Reads a PEM file's text.
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn read(pem: &str) -> Result<Self, InvalidKey> {
        let body = pem
            .split_once("-----BEGIN PUBLIC KEY-----")
            .and_then(|(_, rest)| rest.split_once("-----END PUBLIC KEY-----"))
            .ok_or(InvalidKey)?
            .0;
        let text: String = body.split_whitespace().collect();
        let der = STANDARD.decode(text).map_err(|_| InvalidKey)?;
        match der.strip_prefix(&P256_HEAD) {
            Some(point) if point.len() == 65 && point[0] == 4 => Ok(Self(point.to_vec())),
            _ => Err(InvalidKey),
        }
    }

    fn has_signed(&self, payload: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(payload, signature)
            .is_ok()
    }
}

/// Whether one of the keys signed the manifest.
///
/// # Errors
/// [`RegistryError`], where it cannot be found out.
pub async fn is_signed(
    registry: &Registry,
    reference: &Reference,
    manifest: Digest,
    keys: &[PublicKey],
) -> Result<bool, RegistryError> {
    let tag = format!("sha256-{}.sig", manifest.to_hex());
    let layers = registry.layers(reference, &tag, PAYLOAD_AT_MOST).await?;
    let layers = layers.unwrap_or_default();
    Ok(layers.iter().any(|(payload, annotations)| {
        let signature = annotations[ANNOTATION].as_str().unwrap_or_default();
        let signature = STANDARD.decode(signature).unwrap_or_default();
        // The payload says what was signed; only then does it matter who did.
        is_about(payload, manifest) && keys.iter().any(|key| key.has_signed(payload, &signature))
    }))
}

/// Whether a payload is a signature's, of this manifest.
fn is_about(payload: &[u8], manifest: Digest) -> bool {
    let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
    let critical = &payload["critical"];
    critical["type"] == TYPE
        && critical["image"]["docker-manifest-digest"] == manifest.to_string().as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_cosign_and_openssl_write() {
        // Made by `openssl ecparam -name prime256v1 -genkey | openssl ec -pubout`.
        let point = [[4_u8].as_slice(), &[7; 64]].concat();
        let pem = |head: &[u8], point: &[u8]| {
            let text = STANDARD.encode([head, point].concat());
            format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
        };
        assert!(PublicKey::read(&pem(&P256_HEAD, &point)).is_ok());
        assert!(PublicKey::read(&pem(&P256_HEAD, &point[1..])).is_err());
        assert!(PublicKey::read(&pem(&P256_HEAD[1..], &point)).is_err());
        assert!(PublicKey::read("cosign").is_err());
    }

    #[test]
    fn a_payload_is_about_one_manifest() {
        let digest = Digest::of(b"manifest");
        let payload = |kind: &str, digest: &str| {
            json!({"critical": {"type": kind, "image": {"docker-manifest-digest": digest}}})
                .to_string()
                .into_bytes()
        };
        assert!(is_about(&payload(TYPE, &digest.to_string()), digest));
        assert!(!is_about(&payload("another", &digest.to_string()), digest));
        assert!(!is_about(&payload(TYPE, "sha256:00"), digest));
        assert!(!is_about(b"", digest));
    }
}
