//! Runs the benchmarks and gathers their figures into one table.
//!
//! A benchmark is a binary of the workspace that is measured by divan, or one of our own that
//! prints `row {…}` lines for what divan cannot see: memory, and comparisons made side by side.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// The benchmarks: the room, and the bench target's name.
const BENCHES: [(&str, &str); 8] = [
    ("sandbox", "sandbox"),
    ("journal", "journal"),
    ("connections", "connections"),
    ("model", "evaluate"),
    ("model", "validate"),
    ("host", "host"),
    ("engine", "engine"),
    ("mail", "mail"),
];

/// What a finished host should need, in µs or KiB, on 2 cores; the sandbox, as spikes with a real guest
/// have shown to be within reach (the project's design, section 12).
const TARGETS: [(&str, f64); 8] = [
    ("sandbox/instantiate", 6.0),
    ("sandbox/attempt_with_1_kb", 25.0),
    ("sandbox/host call", 0.2),
    ("sandbox/cached_load", 100.0),
    ("sandbox/attempt parked in a host call", 47.0),
    ("connections/token_that_is_there", 2.0),
    ("connections/open_a_vault_of_10000_sign_ins", 100_000.0),
    // What an editor or a person waits for: a workflow of 1,000 steps.
    ("model/check/1000", 100_000.0),
];

pub(crate) fn run(root: &Path, as_json: bool, filter: Option<&str>) -> Result<ExitCode> {
    let mut rows: Vec<Value> = Vec::new();
    let (benches, filter) = wanted(filter);
    for (room, name) in benches {
        let mut bench = crate::cargo(root);
        // Of the whole workspace, so that dependencies have the same features for all and are built
        // once.
        bench.args(["bench", "--locked", "--workspace", "--bench", name]);
        if let Some(filter) = filter {
            bench.args(["--", filter]);
        }
        bench.stdout(Stdio::piped());
        let mut child = bench.spawn().context("cargo cannot be started")?;
        let output = child.stdout.take().context("no output")?;
        let mut table = Table::new(room);
        for line in BufReader::new(output).lines() {
            let line = line?;
            if let Some(row) = line.strip_prefix("row ") {
                rows.push(serde_json::from_str(row).with_context(|| format!("the row {row}"))?);
            } else {
                eprintln!("{line}");
                rows.extend(table.row(&line));
            }
        }
        let status = child.wait()?;
        ensure!(status.success(), "the benchmark {name} ended with {status}");
    }
    rows.iter_mut().for_each(compare);
    print(&rows);
    if as_json {
        emit(&json!({"rows": rows}).to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// What a filter means: the benchmarks of a room, `journal` or `engine/mails`, or whatever has it in
/// its name, `call`.
fn wanted(filter: Option<&str>) -> (Vec<(&'static str, &'static str)>, Option<&str>) {
    let (room, rest) = match filter.map(|filter| filter.split_once('/').unwrap_or((filter, ""))) {
        None => return (BENCHES.to_vec(), None),
        Some(parts) => parts,
    };
    let mut benches = BENCHES.to_vec();
    benches.retain(|(name, _)| *name == room);
    match benches.is_empty() {
        true => (BENCHES.to_vec(), filter),
        false => (benches, Some(rest).filter(|rest| !rest.is_empty())),
    }
}

/// Says how far a figure is from its target.
fn compare(row: &mut Value) {
    let target = TARGETS.iter().find(|(name, _)| row["name"] == *name);
    let (Some((_, target)), Some(value)) = (target, row["value"].as_f64()) else {
        return;
    };
    let scale = match row["unit"].as_str() {
        Some("ns") => 0.001,
        Some("ms") => 1000.0,
        _ => 1.0,
    };
    let unit = if row["unit"] == "KiB" { "KiB" } else { "µs" };
    let ratio = value * scale / target;
    row["versus"] = format!("{ratio:.2}× the target of {target} {unit}").into();
}

#[allow(clippy::print_stdout, reason = "this is the chore's result")]
fn emit(line: &str) {
    println!("{line}");
}

fn print(rows: &[Value]) {
    let text = |row: &Value, name: &str| match &row[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(number) if number >= 100.0 => format!("{number:.0}"),
            Some(number) => format!("{number:.3}"),
            None => number.to_string(),
        },
        _ => String::new(),
    };
    emit(&format!(
        "{:<56} {:>12} {:<8} {}",
        "benchmark", "value", "unit", "versus"
    ));
    for row in rows {
        emit(&format!(
            "{:<56} {:>12} {:<8} {}",
            text(row, "name"),
            text(row, "value"),
            text(row, "unit"),
            text(row, "versus")
        ));
    }
}

/// Reads divan's tree: `├─ name  fastest │ slowest │ median │ mean │ samples │ iters`.
struct Table<'p> {
    room: &'p str,
    /// The names of the groups above, by depth.
    groups: Vec<String>,
}

impl<'p> Table<'p> {
    const fn new(room: &'p str) -> Self {
        Self {
            room,
            groups: Vec::new(),
        }
    }

    fn row(&mut self, line: &str) -> Option<Value> {
        let name_at = line.find(|c: char| c.is_alphanumeric() || c == '_')?;
        let depth = line[..name_at].chars().count() / 3;
        if depth == 0 {
            return None;
        }
        let mut columns = line[name_at..].split('│');
        let first = columns.next()?;
        let name = first.split("  ").next()?.trim().to_owned();
        self.groups.truncate(depth - 1);
        let path = [&self.groups[..], std::slice::from_ref(&name)]
            .concat()
            .join("/");
        self.groups.push(name);
        let median = columns.nth(1)?.trim();
        let (value, unit) = median.split_once(' ')?;
        Some(json!({
            "name": format!("{}/{path}", self.room),
            "unit": unit,
            "value": value.parse::<f64>().ok()?,
            "versus": "",
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_compared_with_their_targets() {
        let versus = |name: &str, value: f64, unit: &str| {
            let mut row = json!({"name": name, "unit": unit, "value": value, "versus": ""});
            compare(&mut row);
            row["versus"].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(
            versus("sandbox/instantiate", 9.0, "µs"),
            "1.50× the target of 6 µs"
        );
        assert_eq!(
            versus("sandbox/cached_load", 0.2, "ms"),
            "2.00× the target of 100 µs"
        );
        assert_eq!(versus("sandbox/load_plugin", 1.0, "ms"), "");
    }

    #[test]
    fn a_filter_is_a_room_or_a_part_of_a_name() {
        let rooms = |filter| {
            let (benches, rest) = wanted(Some(filter));
            let names: Vec<_> = benches.iter().map(|(_, name)| *name).collect();
            (names, rest)
        };
        assert_eq!(rooms("engine"), (vec!["engine"], None));
        assert_eq!(rooms("model"), (vec!["evaluate", "validate"], None));
        assert_eq!(rooms("engine/mails"), (vec!["engine"], Some("mails")));
        assert_eq!(rooms("call").0.len(), BENCHES.len());
        assert_eq!(rooms("call").1, Some("call"));
        assert_eq!(wanted(None), (BENCHES.to_vec(), None));
    }

    #[test]
    fn divan_tables_are_read_by_their_median() {
        let mut table = Table::new("sandbox");
        let rows: Vec<_> = [
            "guest               fastest       │ slowest       │ median        │ mean          │ samples │ iters",
            "├─ call                           │               │               │               │         │",
            "│  ├─ cold          25.1 µs       │ 90 µs         │ 27.4 µs       │ 28 µs         │ 100     │ 100",
            "│  ╰─ warm          2.1 µs        │ 9 µs          │ 2.8 µs        │ 3 µs          │ 100     │ 100",
            "╰─ instantiate      6.1 µs        │ 12 µs         │ 6.5 µs        │ 7 µs          │ 100     │ 100",
        ]
        .iter()
        .filter_map(|line| table.row(line))
        .map(|row| format!("{} {}", row["name"].as_str().unwrap_or_default(), row["value"]))
        .collect();
        assert_eq!(
            rows,
            [
                "sandbox/call/cold 27.4",
                "sandbox/call/warm 2.8",
                "sandbox/instantiate 6.5"
            ]
        );
    }
}
