//! The linear memories of all guests of this process, as the kernel has them.
//!
//! The pool of instances reserves four GiB of addresses for each memory, nearly all of them
//! inaccessible; nothing else of the process looks like that. What is accessible between such
//! reservations is linear memory. It is read while its guest stands still in a call to the host.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

/// The smallest inaccessible range that belongs to the pool.
const RESERVATION: u64 = 1 << 30;
/// How much is read at once, and how much of it again with the next piece.
const PIECE: usize = 4 << 20;
const OVERLAP: usize = 4 << 10;

struct Range {
    start: u64,
    end: u64,
    is_open: bool,
}

/// Hands every piece of every linear memory to `look`, and says how many bytes that were.
///
/// # Errors
/// Where the system does not tell: this needs Linux.
pub(crate) fn each_piece(mut look: impl FnMut(&[u8])) -> io::Result<u64> {
    let ranges: Vec<Range> = fs::read_to_string("/proc/self/maps")?
        .lines()
        .filter_map(range)
        .collect();
    let is_reserved = |range: &Range| !range.is_open && range.end - range.start >= RESERVATION;
    let (Some(first), Some(last)) = (
        ranges.iter().position(is_reserved),
        ranges.iter().rposition(is_reserved),
    ) else {
        return Err(io::Error::other("there is no pool of memories"));
    };
    let memory = File::open("/proc/self/mem")?;
    let mut buffer = vec![0; PIECE];
    let mut read = 0;
    // Between two reservations: what lies beside the pool is the host's own memory.
    for at in first..last {
        let range = &ranges[at];
        let is_framed = range.is_open
            && ranges[..at].iter().rev().take(2).any(is_reserved)
            && ranges[at + 1..].iter().take(2).any(is_reserved);
        if !is_framed {
            continue;
        }
        let mut from = range.start;
        while from < range.end {
            let length = usize::try_from(range.end - from)
                .unwrap_or(PIECE)
                .min(PIECE);
            // Another guest's memory may go away meanwhile.
            let Ok(count) = memory.read_at(&mut buffer[..length], from) else {
                break;
            };
            look(&buffer[..count]);
            read += count as u64;
            if count < length || from + length as u64 >= range.end {
                break;
            }
            from += (length - OVERLAP) as u64;
        }
    }
    Ok(read)
}

/// A line of proc_pid_maps(5): `start-end rwxp offset device inode path`.
fn range(line: &str) -> Option<Range> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    Some(Range {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        is_open: words.next()?.starts_with('r'),
    })
}
