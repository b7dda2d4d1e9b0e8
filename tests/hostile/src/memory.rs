//! The linear memories of all guests of this process, as the kernel has them.
//!
//! The pool of instances reserves four GiB of addresses for each memory, nearly all of them
//! inaccessible; nothing else of the process looks like that. What is accessible right before such a
//! reservation is linear memory. It is read while its guest stands still in a call to the host.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

/// The smallest inaccessible range that belongs to the pool.
const RESERVATION: u64 = 1 << 30;
/// How much is read at once, and how much of it again with the next piece.
const PIECE: usize = 4 << 20;
const OVERLAP: usize = PAGE;
const PAGE: usize = 4 << 10;

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
    let memory = File::open("/proc/self/mem")?;
    let mut buffer = vec![0; PIECE];
    let mut read = 0;
    for at in (0..ranges.len()).filter(|at| is_linear_memory(&ranges, *at)) {
        let range = &ranges[at];
        let mut from = range.start;
        while from < range.end {
            let length = usize::try_from(range.end - from)
                .unwrap_or(PIECE)
                .min(PIECE);
            // Another guest's memory may go away meanwhile.
            let Ok(count) = memory.read_at(&mut buffer[..length], from) else {
                break;
            };
            each_run(&buffer[..count], &mut look);
            read += count as u64;
            if count < length || from + length as u64 >= range.end {
                break;
            }
            from += (length - OVERLAP) as u64;
        }
    }
    Ok(read)
}

/// Hands over what lies between pages of zeros: most of a memory was never used.
fn each_run(bytes: &[u8], look: &mut impl FnMut(&[u8])) {
    const ZEROS: [u8; PAGE] = [0; PAGE];
    let mut run = 0..0;
    for (n, page) in bytes.chunks(PAGE).enumerate() {
        if *page == ZEROS[..page.len()] {
            if !run.is_empty() {
                look(&bytes[run]);
            }
            run = (n + 1) * PAGE..(n + 1) * PAGE;
        } else {
            run.end = n * PAGE + page.len();
        }
    }
    if !run.is_empty() {
        look(&bytes[run]);
    }
}

/// Whether a range is accessible and ends, perhaps with others, in a reservation.
fn is_linear_memory(ranges: &[Range], at: usize) -> bool {
    let mut end = ranges[at].end;
    for next in &ranges[at..] {
        if next.end != end && next.start != end {
            return false;
        }
        if !next.is_open {
            return next.end - next.start >= RESERVATION && ranges[at].is_open;
        }
        end = next.end;
    }
    false
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
