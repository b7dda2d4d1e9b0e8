//! Encryption of everything that the vault keeps: XChaCha20-Poly1305, a random nonce for each text,
//! and associated data that say what the text is, so that none can stand in for another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::VaultKey;

/// A nonce of 24 bytes is long enough to be drawn at random for as many texts as there will ever be.
const NONCE: usize = 24;

/// What a text is; part of what is authenticated.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// The text by which a key is recognised.
    Check,
    /// A record.
    Record,
    /// A sealed URL.
    Url,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Check => "docket vault 1 check",
            Self::Record => "docket vault 1 record",
            Self::Url => "docket vault 1 url",
        }
    }
}

/// The vault's key, ready for use.
pub(super) struct Cipher {
    aead: XChaCha20Poly1305,
    names: Zeroizing<[u8; 32]>,
}

impl Cipher {
    pub(super) fn new(key: &VaultKey) -> Self {
        let mut names = Sha256::new();
        names.update(b"docket vault 1 names");
        names.update(key.bytes());
        Self {
            aead: XChaCha20Poly1305::new(key.bytes().into()),
            names: Zeroizing::new(names.finalize().into()),
        }
    }

    /// Encrypts; the result is text that fits into JSON and URLs.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn encrypt(
        &self,
        purpose: Purpose,
        identity: &[&str],
        plain: &[u8],
    ) -> Result<String, String> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| format!("no random bytes: {error}"))?;
        let payload = Payload {
            msg: plain,
            aad: &associated(purpose, identity),
        };
        let text = self
            .aead
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| "the text is too long to be encrypted".to_owned())?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &text].concat()))
    }

    /// Decrypts; `None` for another key, another identity, or text that is not what was written.
    pub(super) fn decrypt(
        &self,
        purpose: Purpose,
        identity: &[&str],
        text: &str,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE)?;
        let payload = Payload {
            msg: text,
            aad: &associated(purpose, identity),
        };
        self.aead
            .decrypt(XNonce::from_slice(nonce), payload)
            .ok()
            .map(Zeroizing::new)
    }

    /// A file name that tells nothing to who does not have the key.
    pub(super) fn name(&self, identity: &[&str]) -> String {
        let mut hash = Sha256::new();
        hash.update(*self.names);
        hash.update(associated(Purpose::Record, identity));
        hash.finalize()[..20]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Purpose and identity, each with its length before it, so that no two lists read alike.
fn associated(purpose: Purpose, identity: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in std::iter::once(&purpose.name()).chain(identity) {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_good_for_one_key_purpose_and_identity() {
        let cipher = Cipher::new(&VaultKey::generate().unwrap());
        let other = Cipher::new(&VaultKey::generate().unwrap());
        let text = cipher
            .encrypt(Purpose::Record, &["a", "bc"], b"canary")
            .unwrap();
        assert!(!text.contains("canary"));
        let open = |purpose, identity: &[&str]| {
            cipher
                .decrypt(purpose, identity, &text)
                .map(|plain| plain.to_vec())
        };
        assert_eq!(
            open(Purpose::Record, &["a", "bc"]).as_deref(),
            Some(b"canary".as_slice())
        );
        assert_eq!(open(Purpose::Record, &["ab", "c"]), None);
        assert_eq!(open(Purpose::Record, &["a", "bc", ""]), None);
        assert_eq!(open(Purpose::Url, &["a", "bc"]), None);
        assert!(
            other
                .decrypt(Purpose::Record, &["a", "bc"], &text)
                .is_none()
        );
        for damaged in ["", "AAAA", "!", &text[1..], &text[..text.len() - 1]] {
            assert!(
                cipher
                    .decrypt(Purpose::Record, &["a", "bc"], damaged)
                    .is_none()
            );
        }
        let again = cipher
            .encrypt(Purpose::Record, &["a", "bc"], b"canary")
            .unwrap();
        assert_ne!(text, again, "a nonce is never used twice");
        assert_ne!(cipher.name(&["a", "bc"]), cipher.name(&["ab", "c"]));
        assert_ne!(cipher.name(&["a"]), other.name(&["a"]));
    }
}
