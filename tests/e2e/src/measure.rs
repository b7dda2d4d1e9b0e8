//! What benchmarks of our own print, and how they read time, processor and memory.

#![allow(
    clippy::print_stdout,
    reason = "figures are what a benchmark is for; `cargo xtask bench` reads these lines"
)]

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

/// Prints a figure, and beside what it stands.
pub fn row(name: &str, unit: &str, value: f64, versus: &str) {
    println!(
        "row {}",
        json!({"name": name, "unit": unit, "value": value, "versus": versus})
    );
}

/// What this process has used up so far.
#[derive(Clone, Copy)]
pub struct Used {
    cpu: Duration,
    at: Instant,
}

impl Used {
    /// Up to this moment.
    #[must_use]
    pub fn so_far() -> Self {
        // User and system time are the 14th and 15th field, in ticks of 10 ms; the 2nd field, the
        // name, may hold spaces and ends with the last parenthesis (proc(5)).
        let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let ticks: u64 = text
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Self {
            cpu: Duration::from_millis(10 * ticks),
            at: Instant::now(),
        }
    }

    /// CPU and wall time since then.
    #[must_use]
    pub fn since(self) -> (Duration, Duration) {
        (Self::so_far().cpu - self.cpu, self.at.elapsed())
    }
}

/// A line of the process's status in MiB: `VmRSS` is what it has, `VmHWM` the most that it had; 0
/// where the system does not say.
#[must_use]
pub fn status(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib: f64 = line
        .and_then(|line| line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().ok())
        .unwrap_or_default();
    kib / 1024.0
}

/// Forgets the most that the process had (proc(5), `clear_refs`).
pub fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap_or_default();
}

/// What one commit costs at least on the disk of this folder: a page appended and synced.
#[must_use]
pub fn fsync(folder: &Path) -> Duration {
    const TIMES: u32 = 200;
    let mut file = std::fs::File::create(folder.join("fsync")).expect("a file");
    let began = Instant::now();
    for _ in 0..TIMES {
        file.write_all(&[0; 4096]).expect("written");
        file.sync_data().expect("synced");
    }
    began.elapsed() / TIMES
}

/// The value below which this share of all lies; zero of none.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list that is in memory"
)]
pub fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let place = (times.len() as f64 * share) as usize;
    let place = place.min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or_default()
}

/// Whether the benchmark's arguments ask for this part.
#[must_use]
pub fn is_wanted(name: &str) -> bool {
    let mut arguments = std::env::args().skip(1);
    let filter = arguments.find(|argument| !argument.starts_with('-'));
    filter.is_none_or(|filter| name.contains(filter.as_str()))
}
