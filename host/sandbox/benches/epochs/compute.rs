//! What a guest computes all by itself: it writes numbers as text, reads them back, sorts them and
//! hashes them. The benchmark compiles this as guests are compiled; it is no part of the crate.

use std::fmt::Write as _;

#[unsafe(no_mangle)]
pub extern "C" fn compute(count: u32) -> u64 {
    let mut text = String::new();
    let mut number = 12_345_u32;
    for _ in 0..count {
        number = number.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let _ = write!(text, "{number},");
    }
    let mut numbers: Vec<u32> = text
        .split(',')
        .filter_map(|part| part.parse().ok())
        .collect();
    numbers.sort_unstable();
    // FNV-1a.
    let bytes = numbers.into_iter().flat_map(u32::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
