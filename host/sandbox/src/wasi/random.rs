//! Random numbers that are a function of the idempotency key: the same for every attempt of a step, so
//! that an attempt which is run again draws what it drew.
//!
//! They are no secret from whoever knows the key, and good for what toolchains draw them for: seeds of
//! hash tables, boundaries of multipart bodies.

use sha2::{Digest as _, Sha256};
use wasmtime::component::LinkerInstance;
use wasmtime::{StoreContextMut, format_err};

use super::counted;
use crate::attempt::Attempt;

/// The most bytes that one call draws.
const BYTES_AT_MOST: u64 = 1 << 20;

/// SHA-256 of the seed and a counter.
#[derive(Debug)]
pub(crate) struct Chance {
    seed: [u8; 32],
    drawn: u64,
    left: Vec<u8>,
}

impl Chance {
    pub(crate) fn new(idempotency_key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"docket random numbers\0");
        hash.update(idempotency_key.as_bytes());
        Self {
            seed: hash.finalize().into(),
            drawn: 0,
            left: Vec::new(),
        }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.left.len() < count {
            let mut hash = Sha256::new();
            hash.update(self.seed);
            hash.update(self.drawn.to_le_bytes());
            self.left.extend_from_slice(&hash.finalize());
            self.drawn += 1;
        }
        let rest = self.left.split_off(count);
        std::mem::replace(&mut self.left, rest)
    }

    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.bytes(8));
        u64::from_le_bytes(bytes)
    }
}

/// Defines a function of `wasi:random`; says whether it is one.
pub(super) fn function(
    instance: &mut LinkerInstance<'_, Attempt>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("random/random", "get-random-bytes")
        | ("random/insecure", "get-insecure-random-bytes") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (count,): (u64,)| {
                let attempt = counted(&mut store)?;
                if count > BYTES_AT_MOST {
                    return Err(format_err!(
                        "the plugin asked for {count} random bytes at once; {BYTES_AT_MOST} are allowed"
                    ));
                }
                let count = usize::try_from(count)?;
                Ok((attempt.wasi.chance.bytes(count),))
            })?;
        }
        ("random/random", "get-random-u64") | ("random/insecure", "get-insecure-random-u64") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                Ok((counted(&mut store)?.wasi.chance.number(),))
            })?;
        }
        ("random/insecure-seed", "insecure-seed") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                let chance = &mut counted(&mut store)?.wasi.chance;
                Ok(((chance.number(), chance.number()),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_function_of_the_key_however_it_is_drawn() {
        let whole = Chance::new("a").bytes(100);
        let mut pieces = Chance::new("a");
        let joined: Vec<u8> = [7, 0, 60, 33].map(|count| pieces.bytes(count)).concat();
        assert_eq!(joined, whole);
        assert_ne!(Chance::new("b").bytes(100), whole);
        assert_ne!(whole[..32], whole[32..64]);
    }
}
