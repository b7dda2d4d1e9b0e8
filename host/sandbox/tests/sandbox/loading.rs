//! Components, from bytes to plugins, and back after a restart.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use docket_model::Digest;
use docket_sandbox::{Channel, ComponentStore, Egress, Limits, LoadError, Sandbox};

use crate::guests::{built, describing_with, probe};
use crate::outside::{MemoryDocuments, Outside, config};

struct Nowhere;

impl Egress for Nowhere {
    fn channel(
        &self,
        _: &docket_engine::StepCall,
    ) -> Result<Arc<dyn Channel>, docket_model::Failure> {
        unreachable!("nothing is run")
    }
}

fn sandbox(folder: &tempfile::TempDir) -> Sandbox {
    let limits = Limits {
        instances: 2,
        ..Limits::default()
    };
    Sandbox::new(
        config(folder, limits),
        Arc::new(MemoryDocuments::default()),
        Arc::new(Nowhere),
    )
    .expect("a sandbox")
}

fn compiled(folder: &tempfile::TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path().join("cache")).expect("the cache");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

#[tokio::test]
async fn a_component_outlives_the_process_and_compiles_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let digest = {
        let plugin = sandbox(&folder).add(probe()).await.expect("loads");
        assert_eq!(plugin.manifest().id, "probe");
        assert!(plugin.manifest().action("echo").is_some());
        plugin.digest()
    };
    assert_eq!(digest, Digest::of(&probe()));
    let files = compiled(&folder);
    assert_eq!(files.len(), 1);
    let modified = |path: &PathBuf| {
        fs::metadata(path)
            .and_then(|m| m.modified())
            .expect("a time")
    };
    let before = modified(&files[0]);

    let plugin = sandbox(&folder).plugin(digest).await.expect("is kept");
    assert_eq!(plugin.digest(), digest);
    assert_eq!(
        (compiled(&folder), modified(&files[0])),
        (files, before),
        "was not compiled again"
    );

    for name in ["cache", "components"] {
        let mode = fs::metadata(folder.path().join(name))
            .expect("a folder")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

type Damage = Box<dyn Fn(&mut Vec<u8>)>;

#[tokio::test]
async fn a_damaged_cache_is_compiled_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    sandbox(&folder).add(probe()).await.expect("loads");
    let file = compiled(&folder).pop().expect("a compiled component");
    let good = fs::read(&file).expect("readable");
    let damages: [(&str, Damage); 6] = [
        ("cut", Box::new(|bytes| bytes.truncate(bytes.len() / 2))),
        ("empty", Box::new(Vec::clear)),
        (
            "one bit in the code",
            Box::new(|bytes| {
                let at = bytes.len() / 2;
                bytes[at] ^= 1;
            }),
        ),
        (
            "one bit in the checksum",
            Box::new(|bytes| {
                let at = bytes.len() - 1;
                bytes[at] ^= 1;
            }),
        ),
        (
            "longer",
            Box::new(|bytes| bytes.extend_from_slice(&[0; 64])),
        ),
        (
            "something else",
            Box::new(|bytes| *bytes = b"#!/bin/sh\nexit 0\n".repeat(10)),
        ),
    ];
    for (name, damage) in damages {
        let mut bytes = good.clone();
        damage(&mut bytes);
        fs::write(&file, bytes).expect("writable");
        let plugin = sandbox(&folder).plugin(Digest::of(&probe())).await;
        plugin.unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = fs::read(&file).expect("readable");
        assert_eq!(again.len(), good.len(), "{name}: was made anew");
    }
}

#[tokio::test]
async fn what_another_engine_compiled_makes_room() {
    let folder = tempfile::tempdir().expect("a folder");
    sandbox(&folder);
    let stale = folder
        .path()
        .join("cache")
        .join(format!("{}-0.cwasm", Digest::of(&probe()).to_hex()));
    fs::write(&stale, b"old").expect("writable");
    sandbox(&folder).add(probe()).await.expect("loads");
    assert!(!stale.exists());
}

#[tokio::test]
async fn the_store_tells_missing_from_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = ComponentStore::open(folder.path().join("components")).expect("a store");
    let digest = store.put(b"some bytes").expect("kept");
    assert_eq!(
        store.get(digest).expect("readable").as_deref(),
        Some(&b"some bytes"[..])
    );
    assert_eq!(store.get(Digest::of(b"others")).expect("readable"), None);
    let missing = sandbox(&folder).plugin(Digest::of(b"others")).await;
    assert!(matches!(missing, Err(LoadError::Missing(_))));

    let path = folder
        .path()
        .join("components")
        .join(format!("{}.wasm", digest.to_hex()));
    fs::write(&path, b"some other bytes").expect("writable");
    let error = store.get(digest).expect_err("damaged");
    assert!(
        error.to_string().contains(&path.display().to_string()),
        "{error}"
    );
    assert!(error.help().contains("docket plugins add"));
    store.put(b"some bytes").expect("mended");
    assert!(store.get(digest).expect("readable").is_some());
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_and_not_kept() {
    let outside = Outside::new().await;
    let component = |text: &str| wat::parse_str(text).expect("well-formed text");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"hello".to_vec(), "this is not WebAssembly"),
        (component("(module)"), "core WebAssembly module"),
        (
            component("(component)"),
            "does not export `docket:processor/actions`",
        ),
        (
            component(
                "(component (import \"wasi:http/types@0.2.0\" (instance)) (instance $e)
                 (export \"docket:processor/actions@0.1.0\" (instance $e)))",
            ),
            "imports `wasi:http/types@0.2.0`, which plugins may not use",
        ),
        (
            component(
                "(component (instance $e) (export \"docket:processor/actions@0.1.0\" (instance $e)))",
            ),
            "does not fit the plugin interface",
        ),
        (
            component(
                "(component (import \"docket:processor/http@0.1.7\" (instance
                    (export \"telepathy\" (func)))) (instance $e)
                 (export \"docket:processor/actions@0.1.0\" (instance $e)))",
            ),
            "does not fit the plugin interface",
        ),
        (probe()[..probe().len() - 100].to_vec(), "malformed"),
    ];
    for (bytes, expected) in cases {
        let digest = Digest::of(&bytes);
        let error = outside.sandbox.add(bytes).await.expect_err("no plugin");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.help().is_empty());
        let kept = outside.sandbox.plugin(digest).await;
        assert!(matches!(kept, Err(LoadError::Missing(_))), "{expected}");
    }
}

#[tokio::test]
async fn a_component_of_a_newer_patch_is_served_and_of_another_minor_is_not() {
    let outside = Outside::new().await;
    let check = async |version: &str, expected: &str| {
        let bytes = describing_with("(i32.const 0)", 1, version);
        let error = outside
            .sandbox
            .load(bytes)
            .await
            .expect_err("its manifest is empty");
        assert!(error.to_string().contains(expected), "{version}: {error}");
    };
    // It ran: what it is refused for is what it said.
    check("0.1.0", "manifest").await;
    check("0.1.9", "manifest").await;
    check("0.2.0", "this host speaks docket:processor@0.1.0").await;
    check("0.1.1-rc.1", "this host speaks docket:processor@0.1.0").await;
}

#[tokio::test]
async fn the_repositorys_own_plugins_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = sandbox(&folder);
    for name in ["exchange", "graph-import"] {
        let plugin = sandbox.load(built(name)).await;
        let plugin = plugin.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(plugin.manifest().id, name);
    }
}
