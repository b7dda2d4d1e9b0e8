//! The pictures in the docs show what is so. With `UPDATE` set in the environment, they are drawn
//! anew instead.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use docket_e2e::{components, program};

/// A line's height.
const LINE: usize = 19;

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// What the program prints to people.
fn said(arguments: &[&str]) -> String {
    let data = tempfile::tempdir().unwrap();
    let output = Command::new(program())
        .args(arguments)
        .current_dir(root())
        .env("DOCKET_DATA", data.path())
        .env_remove("DOCKET_LOG")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out + &err
}

/// Holds a picture of the docs to what it is of; `shape` leaves out what differs each time.
fn hold(file: &str, drawn: &str, shape: impl Fn(&str) -> String) {
    let path = root().join("docs").join(file);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, drawn).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(shape(&there), shape(drawn), "UPDATE=1 draws it anew");
}

#[test]
fn a_workflow() {
    assert!(components().exists());
    let file = "workflows/approved-contract.yaml";
    let drawn = said(&["graph", file, "-C", "workflows"]);
    hold("approved-contract.svg", &drawn, str::to_owned);
}

#[test]
fn the_demo() {
    assert!(components().exists());
    let printed = format!("$ cargo xtask demo\n{}", said(&["demo"]));
    hold("demo.svg", &terminal(&printed), without_figures);
}

/// Ports, ids of runs and times are others each time.
fn without_figures(picture: &str) -> String {
    let words = picture.split_whitespace().map(|word| {
        let is_time = word.contains('.') && word.parse::<f64>().is_ok();
        let is_run = word.starts_with("202") && word.matches('-').count() == 2;
        let is_page = word.starts_with("http://localhost:");
        if is_time || is_run || is_page {
            "…"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A terminal that shows these lines.
fn terminal(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let longest = lines.iter().map(|line| line.chars().count()).max();
    // A letter is 8.1 wide.
    let width = longest.unwrap() * 81 / 10 + 50;
    let height = LINE * lines.len() + 31;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"What cargo xtask demo shows\">\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#14171b\"/>\
         <g font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,monospace\" font-size=\"13.5\" \
         fill=\"#d6dbe0\" xml:space=\"preserve\">\n"
    );
    for (at, line) in lines.iter().enumerate() {
        let y = 34 + LINE * at;
        let line = line.replace('&', "&amp;").replace('<', "&lt;");
        let fill = match colour(&line) {
            Some(colour) => format!(" fill=\"{colour}\""),
            None => String::new(),
        };
        writeln!(svg, "<text x=\"20\" y=\"{y}\"{fill}>{line}</text>").unwrap();
    }
    svg + "</g></svg>\n"
}

fn colour(line: &str) -> Option<&'static str> {
    match line {
        line if line.starts_with('$') || line.contains("  run ") => Some("#78a9ff"),
        line if line.starts_with("  ✓") || line == "  succeeded" => Some("#42be65"),
        "In the tenant" => Some("#f1c21b"),
        _ => None,
    }
}
