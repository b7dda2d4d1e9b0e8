//! Exchange-like ids: long, mixed-case, base64url, parsed before anything is looked up.
//!
//! An id carries the mailbox, the item's key and (for default ids) a generation that a move bumps,
//! so that no table of ids is needed and a stale id is told apart from a malformed one.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

/// base64url with padding, as Exchange ids are written.
const ENGINE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, GeneralPurposeConfig::new());
/// An odd constant: multiplication by it is a bijection that spreads small keys over all bits.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
/// The inverse of [`SPREAD`] modulo 2^64.
const UNSPREAD: u64 = 0xF1DE_83E1_9937_733D;

const DEFAULT_ITEM: [u8; 3] = [0x00, 0x03, 0x24];
const IMMUTABLE_ITEM: [u8; 3] = [0x00, 0x09, 0x00];
const FOLDER: [u8; 3] = [0x01, 0x03, 0x24];

const HEAD: usize = 3 + 36 + 24;
const ITEM: usize = HEAD + 8 + 4 + 4;
const ATTACHMENT: usize = ITEM + 4 + 4 + 16;

/// Which spelling of ids a client asked for (`Prefer: IdType="ImmutableId"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IdForm {
    /// Changes when the item moves.
    #[default]
    Default,
    /// Survives moves inside the mailbox.
    Immutable,
}

/// What an id said, once parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ItemRef {
    pub(crate) form: IdForm,
    pub(crate) key: u64,
    pub(crate) generation: u32,
    /// The attachment's number, when this is an attachment's id.
    pub(crate) attachment: Option<u32>,
}

/// Writes and reads the ids of one mailbox.
#[derive(Debug, Clone)]
pub(crate) struct IdSpace {
    guid: [u8; 36],
    filler: [u8; 24],
}

impl IdSpace {
    pub(crate) fn new(mailbox_guid: &str) -> Self {
        let mut guid = [b'0'; 36];
        for (slot, byte) in guid.iter_mut().zip(mailbox_guid.bytes()) {
            *slot = byte;
        }
        let mut filler = [0_u8; 24];
        filler.copy_from_slice(&Sha256::digest(mailbox_guid.as_bytes())[..24]);
        filler[..4].copy_from_slice(&[0, 0x46, 0, 0]);
        Self { guid, filler }
    }

    fn head(&self, kind: [u8; 3]) -> Vec<u8> {
        let mut raw = Vec::with_capacity(ATTACHMENT);
        raw.extend_from_slice(&kind);
        raw.extend_from_slice(&self.guid);
        raw.extend_from_slice(&self.filler);
        raw
    }

    fn item_bytes(&self, form: IdForm, key: u64, generation: u32) -> Vec<u8> {
        let kind = match form {
            IdForm::Default => DEFAULT_ITEM,
            IdForm::Immutable => IMMUTABLE_ITEM,
        };
        let mut raw = self.head(kind);
        raw.extend_from_slice(&key.wrapping_mul(SPREAD).to_be_bytes());
        raw.extend_from_slice(&generation.to_be_bytes());
        let check = checksum(&raw);
        raw.extend_from_slice(&check);
        raw
    }

    /// A message's id.
    pub(crate) fn message(&self, form: IdForm, key: u64, generation: u32) -> String {
        ENGINE.encode(self.item_bytes(form, key, generation))
    }

    /// An attachment's id.
    pub(crate) fn attachment(
        &self,
        form: IdForm,
        key: u64,
        generation: u32,
        number: u32,
    ) -> String {
        let mut raw = self.item_bytes(form, key, generation);
        raw.extend_from_slice(&[0x12, 0x00, 0x10, 0x00]);
        raw.extend_from_slice(&number.to_be_bytes());
        let tail = Sha256::digest(&raw);
        raw.extend_from_slice(&tail[..16]);
        ENGINE.encode(raw)
    }

    /// A folder's id; it never changes.
    pub(crate) fn folder(&self, key: u32) -> String {
        let mut raw = self.head(FOLDER);
        raw.extend_from_slice(&key.to_be_bytes());
        let check = checksum(&raw);
        raw.extend_from_slice(&check);
        ENGINE.encode(raw)
    }

    /// Reads a message's or attachment's id; `None` when it is malformed or another mailbox's.
    pub(crate) fn parse_item(&self, id: &str) -> Option<ItemRef> {
        let raw = ENGINE.decode(id).ok()?;
        if raw.len() != ITEM && raw.len() != ATTACHMENT {
            return None;
        }
        let form = match [raw[0], raw[1], raw[2]] {
            DEFAULT_ITEM => IdForm::Default,
            IMMUTABLE_ITEM => IdForm::Immutable,
            _ => return None,
        };
        self.check_head(&raw)?;
        if checksum(&raw[..ITEM - 4]) != raw[ITEM - 4..ITEM] {
            return None;
        }
        let key = u64::from_be_bytes(raw[HEAD..HEAD + 8].try_into().ok()?).wrapping_mul(UNSPREAD);
        let generation = u32::from_be_bytes(raw[HEAD + 8..HEAD + 12].try_into().ok()?);
        let attachment = if raw.len() == ATTACHMENT {
            if Sha256::digest(&raw[..ATTACHMENT - 16])[..16] != raw[ATTACHMENT - 16..] {
                return None;
            }
            Some(u32::from_be_bytes(raw[ITEM + 4..ITEM + 8].try_into().ok()?))
        } else {
            None
        };
        Some(ItemRef {
            form,
            key,
            generation,
            attachment,
        })
    }

    /// Reads a folder's id.
    pub(crate) fn parse_folder(&self, id: &str) -> Option<u32> {
        let raw = ENGINE.decode(id).ok()?;
        if raw.len() != HEAD + 8 || raw[..3] != FOLDER {
            return None;
        }
        self.check_head(&raw)?;
        if checksum(&raw[..HEAD + 4]) != raw[HEAD + 4..] {
            return None;
        }
        Some(u32::from_be_bytes(raw[HEAD..HEAD + 4].try_into().ok()?))
    }

    fn check_head(&self, raw: &[u8]) -> Option<()> {
        (raw[3..39] == self.guid && raw[39..HEAD] == self.filler).then_some(())
    }
}

/// FNV-1a: enough to tell a damaged id.
fn checksum(raw: &[u8]) -> [u8; 4] {
    let mut hash = 0x811C_9DC5_u32;
    for byte in raw {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_reject_damage() {
        let ids = IdSpace::new("9f1c2d3e-0000-4000-8000-000000000001");
        let other = IdSpace::new("9f1c2d3e-0000-4000-8000-000000000002");
        for form in [IdForm::Default, IdForm::Immutable] {
            let id = ids.message(form, 42, 3);
            let expected = ItemRef {
                form,
                key: 42,
                generation: 3,
                attachment: None,
            };
            assert_eq!(ids.parse_item(&id), Some(expected));
            assert_eq!(other.parse_item(&id), None, "another mailbox's id");
            assert_eq!(ids.parse_item(&id[..id.len() - 4]), None, "truncated");
            assert_eq!(ids.parse_item(&id.to_lowercase()), None, "case matters");
            let attachment = ids.attachment(form, 42, 3, 7);
            assert_eq!(
                ids.parse_item(&attachment),
                Some(ItemRef {
                    attachment: Some(7),
                    ..expected
                })
            );
        }
        assert!(ids.message(IdForm::Default, 1, 0).starts_with("AAMk"));
        assert!(ids.message(IdForm::Immutable, 1, 0).starts_with("AAkA"));
        assert!(ids.folder(1).starts_with("AQMk"));
        assert_eq!(ids.parse_folder(&ids.folder(11)), Some(11));
        assert_eq!(ids.parse_folder(&ids.message(IdForm::Default, 1, 0)), None);
        assert_eq!(ids.parse_item("inbox"), None);
    }
}
