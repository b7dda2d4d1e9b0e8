//! The secrets by which webhooks are signed, those that others call and the one that is called from
//! here, as the Standard Webhooks specification has it (standard-webhooks 1.0.0).
//!
//! A secret is written `whsec_` and the base64 of 24 to 64 bytes. A signature is `v1,` and the base64
//! of the HMAC-SHA256 of `id.timestamp.body`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::vault::VaultError;

const PREFIX: &str = "whsec_";
/// How many bytes one has that is made here.
const MADE: usize = 32;

/// A webhook's secret. Its text shows in no `Debug`.
#[derive(Clone)]
pub struct HookSecret {
    text: SecretString,
    key: hmac::Key,
}

impl HookSecret {
    /// A new one, of 32 bytes by chance.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn generate() -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new([0_u8; MADE]);
        getrandom::fill(bytes.as_mut_slice())
            .map_err(|error| VaultError::Io(format!("no random bytes: {error}")))?;
        let text = format!("{PREFIX}{}", STANDARD.encode(bytes.as_slice()));
        Ok(Self {
            text: SecretString::from(text),
            key: hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice()),
        })
    }

    /// One that the other side gave; white space around it counts for nothing.
    ///
    /// # Errors
    /// [`InvalidSecret`], which does not repeat it.
    pub fn parse(text: &SecretString) -> Result<Self, InvalidSecret> {
        let text = text.expose_secret().trim();
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        let bytes = Zeroizing::new(bytes);
        if !(24..=64).contains(&bytes.len()) {
            return Err(InvalidSecret);
        }
        Ok(Self {
            text: SecretString::from(text),
            key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
        })
    }

    /// Its text, for whoever must hand it to the other side.
    #[must_use]
    pub const fn text(&self) -> &SecretString {
        &self.text
    }

    /// The signature of what [`signed`] gives, as `webhook-signature` has it.
    pub(crate) fn sign(&self, signed: &[u8]) -> String {
        let tag = hmac::sign(&self.key, signed);
        format!("v1,{}", STANDARD.encode(tag.as_ref()))
    }

    /// Whether a signature's bytes are those of what [`signed`] gives. It takes the same time for all.
    pub(crate) fn fits(&self, signed: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.key, signed, tag).is_ok()
    }
}

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookSecret(…)")
    }
}

/// The text is no secret of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no webhook secret: it is `whsec_` and the base64 of 24 to 64 bytes")]
pub struct InvalidSecret;

/// What is signed of a request.
pub(crate) fn signed(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{id}.{timestamp}.");
    [head.as_bytes(), body].concat()
}

/// The bytes of a header's signatures that are of the kind that is known here.
pub(crate) fn signatures(header: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    let all = header.split(' ').filter_map(|one| one.strip_prefix("v1,"));
    all.filter_map(|encoded| STANDARD.decode(encoded).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_specification_has_it() {
        // The example of the specification's reference libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secret = HookSecret::parse(&SecretString::from(secret)).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = secret.sign(&signed("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body));
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        let bare = of(32).replace(PREFIX, "");
        for text in ["", "whsec_", "whsec_!", "secret", &bare, &of(23), &of(65)] {
            let refused = HookSecret::parse(&SecretString::from(text));
            assert_eq!(refused.unwrap_err(), InvalidSecret, "{text}");
        }
        for good in [format!(" {}\n", of(24)), of(64)] {
            assert!(HookSecret::parse(&SecretString::from(good)).is_ok());
        }
    }
}
