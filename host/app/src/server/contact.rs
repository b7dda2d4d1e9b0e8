//! `serve.json` in the data folder: where the serving process listens, and the token that it asks
//! for. Whoever can read the data folder may use it.
//!
//! A process that was killed leaves the file, and anybody may listen at its address after that. So
//! whoever listens there proves first that it knows the token, and hears nothing before.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use docket_model::Digest;
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
        Ok(Self {
            address,
            token: by_chance()?.into(),
        })
    }

    /// The token's digest: comparing digests tells nothing of the token by the time that it takes.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.token.expose_secret().as_bytes())
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

/// 256 random bits in hex: a token, or a challenge.
pub(crate) fn by_chance() -> Result<String> {
    let mut chance = [0_u8; 32];
    getrandom::fill(&mut chance).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    Ok(chance.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a text may be a challenge: it has the length and the letters of one.
pub(crate) fn is_challenge(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What shows that somebody knows the token of this digest, without telling it.
pub(crate) fn proof(token: Digest, challenge: &str) -> String {
    let words = format!("docket serve\0{}\0{challenge}", token.to_hex());
    Digest::of(words.as_bytes()).to_hex()
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
