//! Tries the vault: what survives, what is told from what, and what nobody can read.

use super::*;

const ID: RecordId<'static> = RecordId {
    connection: "contracts",
    account: "svc@contoso.example",
    kind: RecordKind::SignIn,
};

fn key(folder: &Path) -> KeySource {
    KeySource::File(folder.join("vault.key"))
}

fn open(folder: &Path) -> Result<Vault, VaultError> {
    Vault::open(&folder.join("vault"), &key(folder))
}

fn record(folder: &Path) -> PathBuf {
    fs::read_dir(folder.join("vault"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| !path.ends_with(HEADER))
        .unwrap()
}

#[test]
fn records_survive_and_show_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path()).unwrap();
    assert!(vault.get(ID).unwrap().is_none());
    for text in ["first", "canary-secret"] {
        vault.put(ID, &text.into()).unwrap();
    }
    drop(vault);
    let vault = open(folder.path()).unwrap();
    assert_eq!(
        vault.get(ID).unwrap().unwrap().expose_secret(),
        "canary-secret"
    );
    let other = RecordId {
        kind: RecordKind::Credentials,
        ..ID
    };
    assert!(vault.get(other).unwrap().is_none());
    assert!(!format!("{vault:?}").contains("canary"));
    let files: Vec<_> = fs::read_dir(folder.path().join("vault")).unwrap().collect();
    assert_eq!(files.len(), 2, "one header and one record, no leftovers");
    for file in files {
        let path = file.unwrap().path();
        let text = format!("{} {}", path.display(), fs::read_to_string(&path).unwrap());
        for secret in ["canary", "contracts", "svc@contoso"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn another_key_is_told_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().put(ID, &"x".into()).unwrap();
    fs::remove_file(folder.path().join("vault.key")).unwrap();
    let missing = open(folder.path()).unwrap_err();
    assert!(matches!(missing, VaultError::BadKey(_)), "{missing}");
    assert!(
        !folder.path().join("vault.key").exists(),
        "no new key for an old vault"
    );
    let other = KeySource::Given("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".into());
    let wrong = Vault::open(&folder.path().join("vault"), &other).unwrap_err();
    assert!(matches!(wrong, VaultError::WrongKey(_)), "{wrong}");
    assert!(wrong.to_string().contains("DOCKET_VAULT_KEY"), "{wrong}");
}

#[test]
fn newer_and_damaged_files_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path()).unwrap();
    vault.put(ID, &"x".into()).unwrap();
    let path = record(folder.path());
    let whole = fs::read_to_string(&path).unwrap();
    let newer = r#"{"format": 3, "something": "else"}"#;
    for (text, part) in [
        (newer, "newer version"),
        ("", "empty"),
        ("{", "damaged"),
        (&whole[..whole.len() / 2], "damaged"),
        (
            &whole.replace("\"text\":\"", "\"text\":\"A"),
            "not what was written",
        ),
        ("{\"format\":2,\"text\":\"\"}", "not what was written"),
        ("{\"format\":1,\"text\":\"\"}", "before its first release"),
    ] {
        fs::write(&path, text).unwrap();
        let error = vault.get(ID).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(
            part == "newer version" || error.contains("in again"),
            "{error}"
        );
    }
    fs::write(&path, &whole).unwrap();
    assert!(vault.get(ID).unwrap().is_some());

    let header = folder.path().join("vault").join(HEADER);
    for (text, part) in [(newer, "newer version"), ("", "empty"), ("[]", "damaged")] {
        fs::write(&header, text).unwrap();
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn records_without_their_header_are_not_given_up_silently() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().put(ID, &"x".into()).unwrap();
    let header = folder.path().join("vault").join(HEADER);
    let whole = fs::read(&header).unwrap();
    fs::remove_file(&header).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("vault.json is damaged: it is missing"),
        "{error}"
    );
    assert!(!header.exists(), "no new ring for old records");
    fs::write(&header, whole).unwrap();
    assert!(open(folder.path()).unwrap().get(ID).unwrap().is_some());
}

#[test]
fn a_record_is_no_other_records() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path()).unwrap();
    vault.put(ID, &"x".into()).unwrap();
    let other = RecordId {
        account: "anna@contoso.example",
        ..ID
    };
    fs::copy(
        vault.path(&vault.ring(), ID),
        vault.path(&vault.ring(), other),
    )
    .unwrap();
    let error = vault.get(other).unwrap_err();
    assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
}

#[test]
fn sealed_urls_open_in_their_place_only() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path()).unwrap();
    let sealed = vault
        .seal("run/step/1", "https://outlook.test/?authtoken=canary")
        .unwrap();
    assert!(!sealed.contains("canary"));
    let opened = vault.open_sealed("run/step/1", &sealed).unwrap();
    assert_eq!(
        opened.expose_secret(),
        "https://outlook.test/?authtoken=canary"
    );
    for (context, sealed) in [
        ("run/step/2", sealed.as_str()),
        ("run/step/1", &sealed[2..]),
        ("run/step/1", ""),
    ] {
        let error = vault.open_sealed(context, sealed).unwrap_err();
        assert_eq!(error, VaultError::NotSealedHere);
    }
}

#[test]
fn the_disks_own_errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "").unwrap();
    let error = Vault::open(&path.join("vault"), &key(folder.path())).unwrap_err();
    assert!(
        matches!(&error, VaultError::Io(text) if text.contains("file")),
        "{error}"
    );
}
