//! `serve.json` in the data folder: where the serving process listens, and the token that it asks
//! for. Whoever can read the data folder may use it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

/// How to reach a serving process.
pub(crate) struct Contact {
    pub(crate) address: SocketAddr,
    pub(crate) token: SecretString,
}

impl Contact {
    /// With a new token of 256 bits.
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        let mut chance = [0_u8; 32];
        getrandom::fill(&mut chance)
            .map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
        let token: String = chance.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            address,
            token: token.into(),
        })
    }

    /// The contact of a data folder; `None` where there is none that can be read.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file(data)).ok()?;
        let found: Value = serde_json::from_str(&text).ok()?;
        Some(Self {
            address: found["address"].as_str()?.parse().ok()?,
            token: found["token"].as_str()?.into(),
        })
    }

    /// Writes it for the data folder's owner alone. It is gone when what this returns is dropped.
    pub(crate) fn publish(&self, data: &Path) -> Result<Published> {
        let text = json!({
            "address": self.address.to_string(), "token": self.token.expose_secret(),
        });
        let path = file(data);
        // Made with mode 0600, and there as a whole or not at all.
        let mut unfinished = tempfile::NamedTempFile::new_in(data)?;
        unfinished.write_all(text.to_string().as_bytes())?;
        unfinished
            .persist(&path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Published(path))
    }
}

fn file(data: &Path) -> PathBuf {
    data.join("serve.json")
}

/// A contact that others can read.
pub(crate) struct Published(PathBuf);

impl Drop for Published {
    fn drop(&mut self) {
        // Where it stays, nobody answers there, and it counts for nothing.
        let _ = std::fs::remove_file(&self.0);
    }
}
