//! Builds the plugins: Rust to WebAssembly modules, and those to components.
//!
//! The normal way is the toolchain's own standard library for `wasm32-unknown-unknown`, added with
//! `rustup target add` where it is missing. Where that cannot be had, Debian's `rustc-web` and the
//! library's sources do the same by `-Zbuild-std`. Both give working plugins; no built one is kept
//! in the repository.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use docket_toolchain::rust::{self, DEBIAN_PACKAGES, TARGET, Way};

/// The guests: package, and the name of the library that cargo makes of it.
const GUESTS: [(&str, &str); 3] = [
    ("docket-exchange", "docket_exchange"),
    ("docket-graph-import", "docket_graph_import"),
    ("docket-probe", "docket_probe"),
];

/// Where the built components are.
pub(crate) fn components(root: &Path) -> PathBuf {
    root.join("target/guests/components")
}

/// Which way to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// The toolchain's own target, else Debian's sources.
    Auto,
    /// The toolchain's own target only.
    Toolchain,
    /// Debian's sources only.
    Debian,
}

/// Finds or sets up a way to build guests.
pub(crate) fn set_up(choice: Choice) -> Result<Way> {
    if choice != Choice::Debian {
        if rust::has_target()? {
            return Ok(Way::Toolchain);
        }
        eprintln!("adding the target {TARGET} to the toolchain …");
        if rust::add_target() && rust::has_target()? {
            return Ok(Way::Toolchain);
        }
        ensure!(
            choice == Choice::Auto,
            "the toolchain has no standard library for {TARGET}, and rustup cannot add it\n  \
             help: run `rustup target add {TARGET}` where rustup can download"
        );
        eprintln!("the toolchain cannot have it; taking Debian's sources");
    }
    if !rust::has_debian() {
        install_debian()?;
    }
    Ok(Way::Debian)
}

/// Builds every guest, and says where the components are.
pub(crate) fn build(root: &Path, way: Way) -> Result<PathBuf> {
    let folder = components(root);
    fs::create_dir_all(&folder)?;
    let began = Instant::now();
    for (package, library) in GUESTS {
        let module = compile(root, way, package, library)
            .with_context(|| format!("building the guest {package}"))?;
        rust::encode(&module, &component(&folder, library))
            .with_context(|| format!("making a component of {package}"))?;
    }
    let by = match way {
        Way::Toolchain => "the toolchain's own target",
        Way::Debian => "Debian's sources",
    };
    eprintln!(
        "{} guests built with {by} in {:.1} s",
        GUESTS.len(),
        began.elapsed().as_secs_f64()
    );
    Ok(folder)
}

fn component(folder: &Path, library: &str) -> PathBuf {
    let name = library.trim_start_matches("docket_").replace('_', "-");
    folder.join(name).with_extension("wasm")
}

/// Installs packages of the distribution.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    eprintln!("installing {} …", packages.join(" "));
    let mut install: Vec<OsString> = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
        .map(OsString::from)
        .into();
    install.extend(packages.iter().map(OsString::from));
    let update = ["apt-get", "update", "-qq"].map(OsString::from);
    as_root(&update).and_then(|()| as_root(&install))
}

fn install_debian() -> Result<()> {
    let done = install(&DEBIAN_PACKAGES);
    if done.is_ok() && rust::has_debian() {
        return Ok(());
    }
    let why = done
        .err()
        .map_or(String::new(), |error| format!(" ({error:#})"));
    bail!(
        "there is no way here to build for {TARGET}{why}\n  \
         help: run `rustup target add {TARGET}`, or on Debian as root \
         `apt-get install --no-install-recommends {}`",
        DEBIAN_PACKAGES.join(" ")
    )
}

/// Runs a command as root: directly, or by sudo where that asks for no password.
fn as_root(command: &[OsString]) -> Result<()> {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let prefix: &[&str] = if is_root { &[] } else { &["sudo", "-n"] };
    let mut words = prefix
        .iter()
        .map(OsString::from)
        .chain(command.iter().cloned());
    let program = words.next().context("no command")?;
    let status = Command::new(&program)
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("{} cannot be started", program.to_string_lossy()))?;
    ensure!(
        status.success(),
        "{} ended with {status}",
        program.to_string_lossy()
    );
    Ok(())
}

/// Compiles one guest and gives its module. One cargo call for each: together their features would
/// unify, and a guest's bytes depend on its neighbours.
fn compile(root: &Path, way: Way, package: &str, library: &str) -> Result<PathBuf> {
    let target_folder = root.join("target/guests");
    let status = rust::cargo(root, way)?
        .args(["rustc", "--quiet", "--locked", "--profile", "guest"])
        .args(["--target", rust::TARGET])
        .arg("--target-dir")
        .arg(&target_folder)
        .args(["-p", package, "--lib", "--crate-type", "cdylib"])
        .args(rust::last_arguments(way))
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success(), "cargo ended with {status}");
    Ok(target_folder
        .join(rust::TARGET)
        .join("guest")
        .join(library)
        .with_extension("wasm"))
}
