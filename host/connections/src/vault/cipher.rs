//! Encryption of everything that the vault keeps: XChaCha20-Poly1305, a random nonce for each text,
//! and associated data that say what the text is, so that none can stand in for another.
//!
//! What the vault holds is encrypted with keys of its own, the ring, and the ring with the key that
//! the operator keeps. So another key of the operator's costs one small file, and nothing is ever
//! readable by neither.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::key::{KEY, VaultKey};

/// A nonce of 24 bytes is long enough to be drawn at random for as many texts as there will ever be.
const NONCE: usize = 24;

/// What a text is; part of what is authenticated.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// The ring.
    Ring,
    /// Which record a file holds.
    Identity,
    /// A record.
    Record,
    /// A sealed URL.
    Url,
    /// A backup.
    Backup,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Ring => "docket vault 2 ring",
            Self::Identity => "docket vault 2 identity",
            Self::Record => "docket vault 2 record",
            Self::Url => "docket vault 2 url",
            Self::Backup => "docket vault 2 backup",
        }
    }
}

/// One key, ready for use.
pub(super) struct Cipher(XChaCha20Poly1305);

impl Cipher {
    pub(super) fn new(key: &VaultKey) -> Self {
        Self(XChaCha20Poly1305::new(key.bytes().into()))
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
            .0
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
        self.0
            .decrypt(XNonce::from_slice(nonce), payload)
            .ok()
            .map(Zeroizing::new)
    }
}

/// The keys that the vault's texts are encrypted with, the newest first, and the one that file names
/// are made with. Older ones stay, for sealed URLs in journals; nothing new is encrypted with them.
pub(super) struct Ring {
    names: VaultKey,
    keys: Vec<(VaultKey, Cipher)>,
}

impl Ring {
    /// A new ring with one key.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn generate() -> Result<Self, super::VaultError> {
        Ok(Self {
            names: VaultKey::generate()?,
            keys: vec![ready(VaultKey::generate()?)],
        })
    }

    /// The same with one more key, which is the newest.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn renewed(&self) -> Result<Self, super::VaultError> {
        let old = self.keys.iter().map(|(key, _)| key.copy());
        let all = std::iter::once(VaultKey::generate()?).chain(old);
        Ok(Self {
            names: self.names.copy(),
            keys: all.map(ready).collect(),
        })
    }

    /// Reads what [`Ring::to_bytes`] gave.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (parts, rest) = bytes.as_chunks::<KEY>();
        let (names, keys) = parts.split_first()?;
        (rest.is_empty() && !keys.is_empty()).then(|| Self {
            names: VaultKey::from_bytes(names),
            keys: keys.iter().map(VaultKey::from_bytes).map(ready).collect(),
        })
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let keys = self.keys.iter().map(|(key, _)| key);
        // Allocated once, so that no copy is left behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY * (1 + self.keys.len())));
        for key in std::iter::once(&self.names).chain(keys) {
            bytes.extend_from_slice(key.bytes());
        }
        bytes
    }

    /// Encrypts with the newest key; see [`Cipher::encrypt`].
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn encrypt(
        &self,
        purpose: Purpose,
        identity: &[&str],
        plain: &[u8],
    ) -> Result<String, String> {
        let (_, newest) = self.keys.first().ok_or("the vault has no key")?;
        newest.encrypt(purpose, identity, plain)
    }

    /// Decrypts with whichever key fits; see [`Cipher::decrypt`].
    pub(super) fn decrypt(
        &self,
        purpose: Purpose,
        identity: &[&str],
        text: &str,
    ) -> Option<Zeroizing<Vec<u8>>> {
        self.keys
            .iter()
            .find_map(|(_, cipher)| cipher.decrypt(purpose, identity, text))
    }

    /// A file name that tells nothing to who does not have the ring.
    pub(super) fn name(&self, identity: &[&str]) -> String {
        let mut hash = Sha256::new();
        hash.update(b"docket vault 2 names");
        hash.update(self.names.bytes());
        hash.update(associated(Purpose::Record, identity));
        hash.finalize()[..20]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

fn ready(key: VaultKey) -> (VaultKey, Cipher) {
    let cipher = Cipher::new(&key);
    (key, cipher)
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
    }
    #[test]
    fn a_renewed_ring_opens_what_the_one_before_wrote_and_not_the_other_way_round() {
        let ring = Ring::generate().unwrap();
        let old = ring.encrypt(Purpose::Record, &["a"], b"old").unwrap();
        let renewed = Ring::from_bytes(&ring.renewed().unwrap().to_bytes()).unwrap();
        let new = renewed.encrypt(Purpose::Record, &["a"], b"new").unwrap();
        let open = |ring: &Ring, text: &str| {
            ring.decrypt(Purpose::Record, &["a"], text)
                .map(|plain| plain.to_vec())
        };
        assert_eq!(open(&renewed, &old).as_deref(), Some(b"old".as_slice()));
        assert_eq!(open(&renewed, &new).as_deref(), Some(b"new".as_slice()));
        assert_eq!(open(&ring, &new), None);
        assert_eq!(renewed.name(&["a", "bc"]), ring.name(&["a", "bc"]));
        assert_ne!(ring.name(&["a", "bc"]), ring.name(&["ab", "c"]));
        assert_ne!(ring.name(&["a"]), Ring::generate().unwrap().name(&["a"]));
        let bytes = ring.to_bytes();
        for cut in [0, KEY, bytes.len() - 1] {
            assert!(Ring::from_bytes(&bytes[..cut]).is_none(), "{cut}");
        }
    }
}
