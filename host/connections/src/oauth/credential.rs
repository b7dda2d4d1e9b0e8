//! How an application proves to be itself: client secrets and certificates, with their ends.
//!
//! A connection holds a current credential and the one before or after it: Entra accepts several at a
//! time (Entra: certificate-credentials.md), and takes a while to know a new one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroize;

use crate::vault::VaultError;

/// How long an assertion is good for (Entra: certificate-credentials.md asks for 5 to 10 minutes).
const ASSERTION: SignedDuration = SignedDuration::from_mins(8);
/// The most credentials that a connection holds.
pub(super) const MOST: usize = 2;

/// A client secret or a certificate of an application.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Credential {
    #[serde(flatten)]
    proof: Proof,
    /// When it ends, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Proof {
    Secret(String),
    /// `x5t#S256`, and the private key as PEM.
    Certificate {
        thumbprint: String,
        key: String,
    },
}

impl Drop for Proof {
    fn drop(&mut self) {
        match self {
            Self::Secret(secret) => secret.zeroize(),
            Self::Certificate { key, .. } => key.zeroize(),
        }
    }
}

/// What a credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// A client secret.
    Secret,
    /// A certificate.
    Certificate,
}

/// A credential as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CredentialStatus {
    /// What it is.
    pub kind: CredentialKind,
    /// When it ends, where that is known.
    pub expires: Option<Timestamp>,
    /// A certificate's SHA-256 thumbprint in base64url, as the assertion names it.
    pub thumbprint: Option<String>,
}

/// Why something is no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no credential: {problem}; {remedy}")]
pub struct InvalidCredential {
    /// What is wrong with it; no part of it.
    pub problem: &'static str,
    /// What to give.
    pub remedy: &'static str,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credential").field(&self.status()).finish()
    }
}

impl Credential {
    /// Reads a connection's record of the vault.
    ///
    /// # Errors
    /// [`VaultError::Damaged`].
    pub(crate) fn read_all(text: &SecretString, connection: &str) -> Result<Vec<Self>, VaultError> {
        serde_json::from_str(text.expose_secret()).map_err(|_| VaultError::Damaged {
            path: format!("connections.{connection}"),
            problem: "its client secret cannot be read".to_owned(),
            remedy: "enter the connection's client secret or certificate again".to_owned(),
        })
    }

    /// A client secret: its *value*, not its id. Entra shows its end beside it.
    ///
    /// # Errors
    /// When it is empty or holds line breaks.
    pub fn secret(
        secret: &SecretString,
        expires: Option<Timestamp>,
    ) -> Result<Self, InvalidCredential> {
        let text = secret.expose_secret().trim();
        if text.is_empty() || text.contains(char::is_control) {
            return Err(InvalidCredential {
                problem: "a client secret is one line of text",
                remedy: "copy the secret's value from Certificates & secrets",
            });
        }
        Ok(Self {
            proof: Proof::Secret(text.to_owned()),
            expires,
        })
    }

    /// A certificate with its private key, both as PEM in one text, in any order: what
    /// `openssl req -x509 -newkey rsa:3072 -nodes` makes. Its end is read from it.
    ///
    /// # Errors
    /// When one of the two is missing, is not RSA, or does not belong to the other.
    pub fn certificate(pem: &SecretString) -> Result<Self, InvalidCredential> {
        const REMEDY: &str =
            "give a PEM file with the certificate and its unencrypted RSA private key";
        let wrong = |problem| InvalidCredential {
            problem,
            remedy: REMEDY,
        };
        let text = pem.expose_secret();
        let der = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|_| wrong("there is no certificate in it"))?;
        let key = private_key(text).ok_or_else(|| wrong("there is no private key in it"))?;
        let (_, parsed) =
            X509Certificate::from_der(&der).map_err(|_| wrong("the certificate cannot be read"))?;
        let expires = Timestamp::from_second(parsed.validity().not_after.timestamp())
            .map_err(|_| wrong("the certificate has no end"))?;
        let signer = EncodingKey::from_rsa_pem(key.as_bytes())
            .map_err(|_| wrong("the private key is not RSA, or is encrypted"))?;
        // The key must be the certificate's: what one signs, the other verifies.
        let public = DecodingKey::from_rsa_der(&parsed.public_key().subject_public_key.data);
        let probe = jsonwebtoken::encode(&Header::new(Algorithm::PS256), &json!({}), &signer)
            .map_err(|_| wrong("the private key cannot sign"))?;
        let mut validation = Validation::new(Algorithm::PS256);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        jsonwebtoken::decode::<serde_json::Value>(&probe, &public, &validation)
            .map_err(|_| wrong("the private key is not the certificate's"))?;
        Ok(Self {
            proof: Proof::Certificate {
                thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(&der)),
                key: key.to_owned(),
            },
            expires: Some(expires),
        })
    }

    /// What may be shown of it.
    #[must_use]
    pub fn status(&self) -> CredentialStatus {
        let (kind, thumbprint) = match &self.proof {
            Proof::Secret(_) => (CredentialKind::Secret, None),
            Proof::Certificate { thumbprint, .. } => {
                (CredentialKind::Certificate, Some(thumbprint.clone()))
            }
        };
        CredentialStatus {
            kind,
            expires: self.expires,
            thumbprint,
        }
    }

    /// When it ends, where that is known.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Whether it proves with the same secret or key.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.proof, &other.proof) {
            (Proof::Secret(one), Proof::Secret(other)) => one == other,
            (
                Proof::Certificate { thumbprint, .. },
                Proof::Certificate {
                    thumbprint: other, ..
                },
            ) => thumbprint == other,
            _ => false,
        }
    }

    /// The client secret, where it is one.
    pub(super) fn as_secret(&self) -> Option<&str> {
        match &self.proof {
            Proof::Secret(secret) => Some(secret),
            Proof::Certificate { .. } => None,
        }
    }

    /// An assertion that is signed with the certificate, where it is one
    /// (Entra: certificate-credentials.md, RFC 7523 section 3).
    ///
    /// # Errors
    /// What keeps it from being made; no part of the key.
    pub(super) fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<Option<SecretString>, String> {
        let Proof::Certificate { thumbprint, key } = &self.proof else {
            return Ok(None);
        };
        let signer = EncodingKey::from_rsa_pem(key.as_bytes())
            .map_err(|_| "the stored private key cannot be read".to_owned())?;
        let mut header = Header::new(Algorithm::PS256);
        header.x5t_s256 = Some(thumbprint.clone());
        let start = now.as_second();
        let claims = json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": oauth2::CsrfToken::new_random().into_secret(),
            "nbf": start,
            "iat": start,
            "exp": start + ASSERTION.as_secs(),
        });
        jsonwebtoken::encode(&header, &claims, &signer)
            .map(|text| Some(SecretString::from(text)))
            .map_err(|_| "the assertion cannot be signed".to_owned())
    }
}

/// The PEM block of a private key.
fn private_key(text: &str) -> Option<&str> {
    ["PRIVATE KEY", "RSA PRIVATE KEY"].iter().find_map(|kind| {
        let (start, end) = (
            format!("-----BEGIN {kind}-----"),
            format!("-----END {kind}-----"),
        );
        let from = text.find(&start)?;
        let to = text[from..].find(&end)? + from + end.len();
        text.get(from..to)
    })
}

#[cfg(test)]
mod tests {
    use rsa::pkcs8::EncodePrivateKey as _;

    use super::*;

    /// A key, and a certificate for it, as PEM.
    fn pair() -> (String, String) {
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        let pem = key
            .to_pkcs8_pem(rsa::pkcs8::LineEnding::LF)
            .unwrap()
            .to_string();
        let pair = rcgen::KeyPair::from_pem(&pem).unwrap();
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.not_after = rcgen::date_time_ymd(2027, 5, 1);
        (pem, params.self_signed(&pair).unwrap().pem())
    }

    #[test]
    fn certificates_with_their_keys() {
        let ((key, certificate), (other, _)) = (pair(), pair());
        let read = |text: String| Credential::certificate(&text.into());
        let credential = read(format!("{certificate}{key}")).unwrap();
        assert!(read(format!("{key}{certificate}")).is_ok());
        assert_eq!(
            credential.expires().unwrap().to_string(),
            "2027-05-01T00:00:00Z"
        );
        for (text, part) in [
            (certificate.clone(), "no private key"),
            (key.clone(), "no certificate"),
            (format!("{certificate}{other}"), "not the certificate's"),
            (String::new(), "no certificate"),
            (
                format!("{certificate}{}", key.replace("MII", "AAA")),
                "not RSA",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}, expected {part}");
        }
        let shown = format!("{credential:?}");
        assert!(
            shown.contains("Certificate") && !shown.contains("PRIVATE"),
            "{shown}"
        );

        let now: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        let assertion = || {
            credential
                .assertion("app", "https://login.test/token", now)
                .unwrap()
        };
        let (one, two) = (assertion().unwrap(), assertion().unwrap());
        let header = jsonwebtoken::decode_header(one.expose_secret()).unwrap();
        assert_eq!(header.alg, Algorithm::PS256);
        assert_eq!(header.x5t_s256, credential.status().thumbprint);
        let claims = |text: &SecretString| -> serde_json::Value {
            let part = text.expose_secret().split('.').nth(1).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (one, two) = (claims(&one), claims(&two));
        assert_ne!(one["jti"], two["jti"], "fresh each time");
        assert_eq!(
            one["exp"].as_i64().unwrap() - one["iat"].as_i64().unwrap(),
            480
        );
        assert_eq!(one["sub"], "app");
    }

    #[test]
    fn secrets_are_one_line_and_never_shown() {
        let secret = |text: &str| Credential::secret(&text.into(), None);
        assert_eq!(secret(" canary\n").unwrap().as_secret(), Some("canary"));
        for text in ["", " ", "a\nb"] {
            assert!(secret(text).is_err(), "{text:?}");
        }
        let shown = format!("{:?}", secret("canary").unwrap());
        assert!(!shown.contains("canary"), "{shown}");
        let stored = serde_json::to_string(&[secret("canary").unwrap()]).unwrap();
        assert_eq!(stored, r#"[{"secret":"canary"}]"#);
        let read: Vec<Credential> = serde_json::from_str(&stored).unwrap();
        assert_eq!(read[0].as_secret(), Some("canary"));
    }
}
