//! Compiled components on disk, so that a plugin is compiled once for an engine.
//!
//! This is the one module with unsafe code: wasmtime maps a compiled component and trusts it. The
//! folder is the host's own (mode 0700), files appear in it whole, and each ends in a checksum of
//! what precedes it, which is checked before the file is mapped. A file that is cut, corrupted or of
//! another engine is compiled anew. The checksum guards against a bad disk, not against somebody
//! who may write to the folder: that one is the host already.
#![allow(
    unsafe_code,
    reason = "wasmtime's deserialize_file maps machine code that it must trust"
)]

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use docket_model::Digest;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::store::private_folder;

const MAGIC: &[u8; 8] = b"DOCKETC1";
/// The trailer: magic, length of what precedes it, its CRC-32; little-endian.
const TRAILER: usize = 8 + 8 + 4;

/// A folder of compiled components for one engine.
pub(crate) struct Cache {
    folder: PathBuf,
    suffix: String,
}

impl Cache {
    pub(crate) fn open(folder: &Path, engine: &Engine) -> io::Result<Self> {
        private_folder(folder)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            folder: folder.to_owned(),
            suffix: format!("{:016x}", hasher.finish()),
        })
    }

    /// The compiled component, if a good one is there.
    pub(crate) fn load(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let path = self.path(digest);
        match is_whole(&path) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(path = %path.display(), "a compiled component is damaged; compiling anew");
                return None;
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "cannot read a compiled component");
                }
                return None;
            }
        }
        // SAFETY: the file lies in a folder that only the host writes to, holds what
        // `precompile_component` of a compatible engine gave (its name says so, and wasmtime checks
        // again), and was just found unchanged. Files are replaced whole and never written in place.
        match unsafe { Component::deserialize_file(engine, &path) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled component does not load; compiling anew");
                None
            }
        }
    }

    /// Compiles, keeps and loads a component. Takes CPU time for as long as compiling does.
    ///
    /// A full disk costs the next start its time, and nothing else.
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        digest: Digest,
        bytes: &[u8],
    ) -> wasmtime::Result<Component> {
        let compiled = engine.precompile_component(bytes)?;
        if let Err(error) = self.keep(digest, &compiled) {
            tracing::warn!(folder = %self.folder.display(), %error, "cannot keep a compiled component");
        } else if let Some(component) = self.load(engine, digest) {
            return Ok(component);
        }
        // SAFETY: the bytes are what this engine has just compiled.
        unsafe { Component::deserialize(engine, &compiled) }
    }

    fn keep(&self, digest: Digest, compiled: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".compiling-")
            .tempfile_in(&self.folder)?;
        file.write_all(compiled)?;
        file.write_all(&trailer(compiled.len() as u64, crc32fast::hash(compiled)))?;
        file.persist(self.path(digest))
            .map_err(|error| error.error)?;
        self.forget_other_engines(digest)
    }

    /// Removes what an engine of another version or configuration had compiled of this component.
    fn forget_other_engines(&self, digest: Digest) -> io::Result<()> {
        let keep = self.path(digest);
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if name.starts_with(&digest.to_hex()) && path != keep {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder
            .join(format!("{}-{}.cwasm", digest.to_hex(), self.suffix))
    }
}

fn trailer(length: u64, checksum: u32) -> [u8; TRAILER] {
    let mut bytes = [0; TRAILER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&length.to_le_bytes());
    bytes[16..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Whether the file's trailer fits what precedes it.
fn is_whole(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let Some(length) = size.checked_sub(TRAILER as u64) else {
        return Ok(false);
    };
    let mut found = [0; TRAILER];
    file.seek(SeekFrom::Start(length))?;
    file.read_exact(&mut found)?;
    if found[..16] != trailer(length, 0)[..16] {
        return Ok(false);
    }
    file.rewind()?;
    let mut hasher = crc32fast::Hasher::new();
    let mut chunk = vec![0; 64 << 10];
    let mut body = file.take(length);
    loop {
        match body.read(&mut chunk)? {
            0 => return Ok(found == trailer(length, hasher.finalize())),
            n => hasher.update(&chunk[..n]),
        }
    }
}
