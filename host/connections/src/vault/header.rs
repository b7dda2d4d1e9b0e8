//! The vault's header: its ring of keys, encrypted with the operator's key.

use std::path::Path;

use super::cipher::{Cipher, Purpose, Ring};
use super::key::{KeySource, VaultKey};
use super::{FORMAT, File, HEADER, RESTORE, VaultError, records_in, write};

/// Refuses a folder whose records have lost their header: with another ring nobody could ever read them.
pub(super) fn refuse_orphans(folder: &Path) -> Result<(), VaultError> {
    match records_in(folder)?.is_empty() {
        true => Ok(()),
        false => Err(VaultError::Damaged {
            path: folder.join(HEADER).display().to_string(),
            problem: "it is missing, and there are records that only it opens".to_owned(),
            remedy: RESTORE.to_owned(),
        }),
    }
}

/// A new vault's key and ring.
pub(super) fn make(folder: &Path, source: &KeySource) -> Result<(VaultKey, Ring), VaultError> {
    refuse_orphans(folder)?;
    let keys = VaultKey::load(source, true)?;
    let key = keys.into_iter().next();
    let key = key.ok_or_else(|| VaultError::BadKey("there is no key".to_owned()))?;
    let ring = Ring::generate()?;
    write_header(folder, &key, &ring, false)?;
    Ok((key, ring))
}

/// Opens the ring with the operator's key, or with the one that an interrupted rotation made, which then
/// takes the place of the other.
pub(super) fn unlock(
    folder: &Path,
    source: &KeySource,
    header: &File,
) -> Result<(VaultKey, Ring), VaultError> {
    let (key, ring, is_next) = find_key(folder, source, header)?;
    if is_next {
        key.promote_next(source)?;
    }
    Ok((key, ring))
}

/// The key that opens the ring, the ring, and whether the key is that of an interrupted rotation.
pub(super) fn find_key(
    folder: &Path,
    source: &KeySource,
    header: &File,
) -> Result<(VaultKey, Ring, bool), VaultError> {
    let open = |key: VaultKey| open_ring(&key, header).map(|ring| (key, ring));
    let problem = match VaultKey::load(source, false) {
        Ok(keys) => match keys.into_iter().find_map(open) {
            Some((key, ring)) => return Ok((key, ring, false)),
            None => VaultError::WrongKey(folder.display().to_string()),
        },
        Err(problem) => problem,
    };
    match VaultKey::load_next(source)?.into_iter().find_map(open) {
        Some((key, ring)) => Ok((key, ring, true)),
        None => Err(problem),
    }
}

/// The ring, where this is the key.
pub(super) fn open_ring(key: &VaultKey, header: &File) -> Option<Ring> {
    let plain = Cipher::new(key).decrypt(Purpose::Ring, &[], &header.text)?;
    Ring::from_bytes(&plain)
}

pub(super) fn write_header(
    folder: &Path,
    key: &VaultKey,
    ring: &Ring,
    renewing: bool,
) -> Result<(), VaultError> {
    let text = Cipher::new(key)
        .encrypt(Purpose::Ring, &[], &ring.to_bytes())
        .map_err(VaultError::Io)?;
    let file = File {
        format: FORMAT,
        id: None,
        renewing,
        text,
    };
    write(&folder.join(HEADER), &file)
}
