//! Another key for the vault, in steps of which each leaves the vault openable.
//!
//! The new key is made beside the old one; the header is replaced, as a whole, by one that the new key
//! opens; the new key takes the old one's place; the records are encrypted again, one by one. Until the
//! header is replaced the old key opens everything, and from then on the new one does. What was cut
//! off after that, [`Vault::open`](super::Vault::open) brings to its end.

use std::sync::{Arc, PoisonError, RwLockWriteGuard};

use super::cipher::{Purpose, Ring};
use super::header::{open_ring, write_header};
use super::key::VaultKey;
use super::{HEADER, KeySource, RESTORE, Vault, VaultError, read};

impl Vault {
    /// Encrypts the vault with another key.
    ///
    /// [`KeySource::Given`] is the new key itself; from then on the vault opens with that one.
    /// [`KeySource::File`] and [`KeySource::Keyring`] get a new key, and may also be another place than
    /// before. In a file the keys that were there stay behind the new one, for other vaults. Nobody
    /// else may have the vault open.
    ///
    /// # Errors
    /// [`VaultError`]. The vault can be opened all the same, with the old key or with the new one.
    pub fn rotate(&self, to: &KeySource) -> Result<(), VaultError> {
        let mut source = self.0.source.lock().unwrap_or_else(PoisonError::into_inner);
        self.end_rotation(to)?;
        let key = VaultKey::make_next(to)?;
        let ring = self.ring().renewed()?;
        self.adopt_ring(&key, ring)?;
        key.promote_next(to)?;
        *source = to.clone();
        self.renew_records(&key)
    }

    /// Sees that a new key destroys none that a rotation which was interrupted has made.
    fn end_rotation(&self, to: &KeySource) -> Result<(), VaultError> {
        let Some(header) = read(&self.0.folder.join(HEADER), RESTORE)? else {
            return Ok(());
        };
        let next = VaultKey::load_next(to)?;
        match next.iter().find(|key| open_ring(key, &header).is_some()) {
            Some(key) => key.promote_next(to),
            None => Ok(()),
        }
    }

    /// Puts a renewed ring into the header and into use.
    pub(super) fn adopt_ring(&self, key: &VaultKey, ring: Ring) -> Result<(), VaultError> {
        // Whoever writes a record meanwhile has either ring, and the header opens both.
        let mut current = self.0.ring.write().unwrap_or_else(PoisonError::into_inner);
        write_header(&self.0.folder, key, &ring, true)?;
        *current = Arc::new(ring);
        Ok(())
    }

    /// Encrypts every record with the ring's newest key, and notes that this is done. Damaged ones
    /// stay as they are.
    pub(super) fn renew_records(&self, key: &VaultKey) -> Result<(), VaultError> {
        let ring = self.ring();
        // Whoever began to write a record with the ring before has ended, and it is among the files.
        drop(self.writes_alone());
        for path in self.files()? {
            let _nobody_writes = self.writes_alone();
            let Ok(Some(file)) = read(&path, RESTORE) else {
                continue;
            };
            let Some(name) = self.name_in(&ring, &path, &file) else {
                continue;
            };
            let id = name.id();
            if let Some(plain) = ring.decrypt(Purpose::Record, &id.identity(), &file.text) {
                self.write_record(&ring, id, &plain)?;
            }
        }
        write_header(&self.0.folder, key, &ring, false)
    }

    fn writes_alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.0
            .writing
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::vault::{RecordId, RecordKind};

    fn id(account: &str) -> RecordId<'_> {
        RecordId {
            connection: "contracts",
            account,
            kind: RecordKind::SignIn,
        }
    }

    fn source(folder: &Path) -> KeySource {
        KeySource::File(folder.join("vault.key"))
    }

    fn filled(folder: &Path) -> Vault {
        let vault = Vault::open(&folder.join("vault"), &source(folder)).unwrap();
        for account in ["anna", "ben"] {
            vault.put(id(account), &account.into()).unwrap();
        }
        vault
    }

    #[track_caller]
    fn opens(folder: &Path, source: &KeySource) {
        let vault = Vault::open(&folder.join("vault"), source).unwrap();
        for account in ["anna", "ben"] {
            let text = vault.get(id(account)).unwrap().unwrap();
            assert_eq!(text.expose_secret(), account);
        }
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            match path.is_dir() {
                true => copy(&path, &target),
                false => drop(fs::copy(&path, &target).unwrap()),
            }
        }
    }

    /// The folder after each step, opened as a restarted process would.
    #[test]
    fn old_or_new_key_opens_everything_whenever_it_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let vault = filled(here);
        let mut taken = Vec::new();
        let mut snapshot = |what: &'static str| {
            let to = tempfile::tempdir().unwrap();
            copy(here, to.path());
            taken.push((what, to));
        };
        let to = source(here);
        let key = VaultKey::make_next(&to).unwrap();
        snapshot("the new key is made");
        vault
            .adopt_ring(&key, vault.ring().renewed().unwrap())
            .unwrap();
        snapshot("the header is replaced");
        key.promote_next(&to).unwrap();
        snapshot("the new key is in its place");
        // One record of two.
        let name = vault.list().unwrap().remove(0);
        let text = vault.get(name.id()).unwrap().unwrap();
        vault.put(name.id(), &text).unwrap();
        snapshot("one record is encrypted again");
        vault.renew_records(&key).unwrap();
        snapshot("all records are");
        for (what, at) in &taken {
            for _ in 0..2 {
                opens(at.path(), &source(at.path()));
            }
            let is_left = at.path().join("vault.key.next").exists();
            assert_eq!(is_left, *what == "the new key is made", "{what}");
            // It was brought to its end, and nothing is encrypted again by the next one who opens it.
            let header = fs::read_to_string(at.path().join("vault").join(HEADER)).unwrap();
            assert!(!header.contains("renewing"), "{what}");
            // And it can be rotated from there.
            let vault = Vault::open(&at.path().join("vault"), &source(at.path())).unwrap();
            vault.rotate(&source(at.path())).unwrap();
            opens(at.path(), &source(at.path()));
            assert!(!at.path().join("vault.key.next").exists(), "{what}");
        }
    }

    #[test]
    fn the_old_key_opens_nothing_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let vault = filled(folder.path());
        let sealed = vault.seal("run/1", "https://outlook.test/").unwrap();
        let old_key = fs::read_to_string(folder.path().join("vault.key")).unwrap();
        assert_eq!(old_key.lines().count(), 1);
        let header = folder.path().join("vault").join(HEADER);
        let old_header = fs::read(&header).unwrap();
        vault.rotate(&source(folder.path())).unwrap();
        opens(folder.path(), &source(folder.path()));
        let old = KeySource::Given(old_key.into());
        let error = Vault::open(&folder.path().join("vault"), &old).unwrap_err();
        assert!(matches!(error, VaultError::WrongKey(_)), "{error}");
        // Not even with a copy of the old header: the records have another key.
        let vault = Vault::open(&folder.path().join("vault"), &source(folder.path())).unwrap();
        assert!(
            vault.open_sealed("run/1", &sealed).is_ok(),
            "journals stay readable"
        );
        let new_header = fs::read(&header).unwrap();
        fs::write(&header, old_header).unwrap();
        let stale = Vault::open(&folder.path().join("vault"), &old).unwrap();
        assert!(stale.get(id("anna")).is_err());
        fs::write(&header, new_header).unwrap();
        opens(folder.path(), &source(folder.path()));
    }

    #[test]
    fn from_a_file_to_a_given_key_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let vault = filled(folder.path());
        let given = || KeySource::Given("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".into());
        vault.rotate(&given()).unwrap();
        opens(folder.path(), &given());
        assert!(Vault::open(&folder.path().join("vault"), &source(folder.path())).is_err());
        let elsewhere = KeySource::File(folder.path().join("other.key"));
        vault.rotate(&elsewhere).unwrap();
        opens(folder.path(), &elsewhere);
        // Another vault's key stays where it is.
        let other = KeySource::File(folder.path().join("theirs.key"));
        Vault::open(&folder.path().join("theirs"), &other).unwrap();
        vault.rotate(&other).unwrap();
        Vault::open(&folder.path().join("theirs"), &other).unwrap();
        opens(folder.path(), &other);
        vault.rotate(&elsewhere).unwrap();
        // And so does that of a rotation that could not end, whoever rotates next.
        let key = VaultKey::make_next(&elsewhere).unwrap();
        vault
            .adopt_ring(&key, vault.ring().renewed().unwrap())
            .unwrap();
        vault.rotate(&elsewhere).unwrap();
        opens(folder.path(), &elsewhere);
        let bad = KeySource::Given("canary".into());
        let error = vault.rotate(&bad).unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
        opens(folder.path(), &elsewhere);
    }

    #[test]
    fn vaults_that_share_a_key_file_are_rotated_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let (here, key) = (folder.path(), source(folder.path()));
        let vault = filled(here);
        let theirs = Vault::open(&here.join("theirs"), &key).unwrap();
        theirs.put(id("carla"), &"carla".into()).unwrap();
        let still_opens = || {
            opens(here, &key);
            let theirs = Vault::open(&here.join("theirs"), &key).unwrap();
            assert!(theirs.get(id("carla")).unwrap().is_some());
        };
        vault.rotate(&key).unwrap();
        still_opens();
        theirs.rotate(&key).unwrap();
        still_opens();
        // One breaks off where its key is nowhere else, and the other one goes on.
        let cut = VaultKey::make_next(&key).unwrap();
        vault
            .adopt_ring(&cut, vault.ring().renewed().unwrap())
            .unwrap();
        theirs.rotate(&key).unwrap();
        still_opens();
        theirs.rotate(&key).unwrap();
        still_opens();
    }

    #[test]
    fn a_damaged_record_does_not_stop_it() {
        let folder = tempfile::tempdir().unwrap();
        let vault = filled(folder.path());
        let path = vault.path(&vault.ring(), id("anna"));
        fs::write(&path, "{").unwrap();
        vault.rotate(&source(folder.path())).unwrap();
        let vault = Vault::open(&folder.path().join("vault"), &source(folder.path())).unwrap();
        assert!(vault.get(id("anna")).is_err());
        assert!(vault.get(id("ben")).unwrap().is_some());
        assert_eq!(vault.list().unwrap().len(), 1);
    }
}
