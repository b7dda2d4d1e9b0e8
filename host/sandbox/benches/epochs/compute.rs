//! What guests compute all by themselves. The benchmark compiles this as guests are compiled; it is no
//! part of the crate.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Numbers that look random, the same each time.
struct Numbers(u32);

impl Iterator for Numbers {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0 = self.0.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        Some(self.0 >> 8)
    }
}

fn bytes(count: u32) -> Vec<u8> {
    let numbers = Numbers(1).take(count as usize);
    numbers.map(|number| number as u8).collect()
}

/// Writes numbers as text, reads them back, sorts them and hashes them (FNV-1a).
#[unsafe(no_mangle)]
pub extern "C" fn text(count: u32) -> u64 {
    let mut text = String::new();
    for number in Numbers(2).take(count as usize) {
        let _ = write!(text, "{number},");
    }
    let mut numbers: Vec<u32> = text
        .split(',')
        .filter_map(|part| part.parse().ok())
        .collect();
    numbers.sort_unstable();
    let bytes = numbers.into_iter().flat_map(u32::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Base64 (RFC 4648) of so many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn base64(count: u32) -> u64 {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = bytes(count / 3 * 3);
    let mut out = Vec::with_capacity(bytes.len() / 3 * 4);
    for three in bytes.chunks_exact(3) {
        let word = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        out.extend_from_slice(&[18, 12, 6, 0].map(|shift| ALPHABET[(word >> shift & 63) as usize]));
    }
    out.iter().map(|&byte| u64::from(byte)).sum()
}

/// Counts the words of a text by a map, as one finds what occurs most.
#[unsafe(no_mangle)]
pub extern "C" fn words(count: u32) -> u64 {
    let mut text = String::new();
    for number in Numbers(3).take(count as usize) {
        let length = 3 + number as usize % 5;
        let letters = Numbers(number % 500).take(length);
        text.extend(letters.map(|letter| char::from(b'a' + (letter % 26) as u8)));
        text.push(' ');
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for word in text.split_ascii_whitespace() {
        *counts.entry(word).or_default() += 1;
    }
    counts.values().map(|count| count * count).sum()
}

/// SHA-256 (FIPS 180-4) of so many bytes, without the last block's padding.
#[unsafe(no_mangle)]
pub extern "C" fn sha256(count: u32) -> u64 {
    let mut state: [u32; 8] = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab,
        0x5be0_cd19,
    ];
    // Any constants do for the time that it takes.
    let mut constants = [0; 64];
    for (constant, number) in constants.iter_mut().zip(Numbers(4)) {
        *constant = number;
    }
    for block in bytes(count / 64 * 64).chunks_exact(64) {
        let mut words = [0_u32; 64];
        for (word, four) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
        }
        for at in 16..64 {
            let (a, b) = (words[at - 15], words[at - 2]);
            let a = a.rotate_right(7) ^ a.rotate_right(18) ^ a >> 3;
            let b = b.rotate_right(17) ^ b.rotate_right(19) ^ b >> 10;
            words[at] = words[at - 16]
                .wrapping_add(a)
                .wrapping_add(words[at - 7])
                .wrapping_add(b);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        for at in 0..64 {
            let one = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let choice = e & f ^ !e & g;
            let first = h
                .wrapping_add(one)
                .wrapping_add(choice)
                .wrapping_add(constants[at])
                .wrapping_add(words[at]);
            let two = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let second = two.wrapping_add(a & b ^ a & c ^ b & c);
            (h, g, f, e) = (g, f, e, d.wrapping_add(first));
            (d, c, b, a) = (c, b, a, first.wrapping_add(second));
        }
        for (state, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *state = state.wrapping_add(new);
        }
    }
    state.iter().map(|&word| u64::from(word)).sum()
}
