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

const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld";
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

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

/// How guests are built on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// With the standard library that came with the toolchain.
    Toolchain,
    /// With Debian's compiler and the standard library's sources.
    Debian,
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
        if has_target()? {
            return Ok(Way::Toolchain);
        }
        eprintln!("adding the target {TARGET} to the toolchain …");
        if add_target() && has_target()? {
            return Ok(Way::Toolchain);
        }
        ensure!(
            choice == Choice::Auto,
            "the toolchain has no standard library for {TARGET}, and rustup cannot add it\n  \
             help: run `rustup target add {TARGET}` where rustup can download"
        );
        eprintln!("the toolchain cannot have it; taking Debian's sources");
    }
    if !has_debian() {
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
        encode(&module, &component(&folder, library))
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

fn has_target() -> Result<bool> {
    let output = clean_command("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::null())
        .output()
        .context("rustc cannot be started; install Rust by https://rustup.rs")?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let has_core = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libcore");
    Ok(output.status.success()
        && fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(has_core)))
}

/// Whether rustup says that it added the target. It fails at once where it is not installed or
/// cannot download; what it prints then is no help to anybody.
fn add_target() -> bool {
    clean_command("rustup")
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn has_debian() -> bool {
    [DEBIAN_RUSTC, DEBIAN_CARGO, DEBIAN_LINKER]
        .iter()
        .all(|path| Path::new(path).exists())
        && Command::new(DEBIAN_RUSTC)
            .args(["--print", "sysroot"])
            .output()
            .ok()
            .and_then(|output| String::from_utf8(output.stdout).ok())
            .is_some_and(|root| {
                Path::new(root.trim())
                    .join("lib/rustlib/src/rust/library/std")
                    .exists()
            })
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
    if done.is_ok() && has_debian() {
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
    let mut cargo = match way {
        Way::Toolchain => clean_command("cargo"),
        Way::Debian => {
            let mut cargo = clean_command(DEBIAN_CARGO);
            let path = std::env::var_os("PATH").unwrap_or_default();
            let paths =
                std::iter::once(PathBuf::from("/usr/bin")).chain(std::env::split_paths(&path));
            cargo
                .env("PATH", std::env::join_paths(paths)?)
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
            cargo
        }
    };
    cargo
        .current_dir(root)
        // Encoded, since a folder may have a space in its name.
        .env("CARGO_ENCODED_RUSTFLAGS", remap(root)?)
        .args([
            "rustc",
            "--quiet",
            "--locked",
            "--profile",
            "guest",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(&target_folder)
        .args(["-p", package, "--lib", "--crate-type", "cdylib"]);
    if way == Way::Debian {
        cargo.arg("-Zbuild-std=std,panic_abort");
    }
    let status = cargo
        .stdin(Stdio::null())
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success(), "cargo ended with {status}");
    Ok(target_folder
        .join(TARGET)
        .join("guest")
        .join(library)
        .with_extension("wasm"))
}

/// Machine paths out of the guests, so that their bytes do not depend on the folder.
fn remap(root: &Path) -> Result<String> {
    let home = std::env::var("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|_| std::env::var("HOME").map(|home| Path::new(&home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    Ok(format!(
        "--remap-path-prefix={}=/src\u{1f}--remap-path-prefix={}=/cargo",
        root.display(),
        home.display()
    ))
}

/// A command without what the outer cargo set for itself: its toolchain, flags and folders would
/// change the guests, and be changed by them.
fn clean_command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_cargos = text == "CARGO"
            || text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_BIN_")
            || text.starts_with("CARGO_ENCODED_")
            || text.starts_with("CARGO_TARGET_")
            || text.starts_with("CARGO_PROFILE_")
            || text.starts_with("CARGO_BUILD_")
            || text == "CARGO_MANIFEST_DIR"
            || text == "CARGO_MANIFEST_PATH"
            || text == "CARGO_INCREMENTAL"
            || (text.starts_with("RUST") && text != "RUSTUP_HOME" && text != "RUSTUP_DIST_SERVER");
        if is_cargos {
            command.env_remove(name);
        }
    }
    command
}

/// Makes a component of a module, and writes it only if it changed, so that what depends on its
/// time stamp stays fresh.
fn encode(module: &Path, component: &Path) -> Result<()> {
    let module = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let bytes = wit_component::ComponentEncoder::default()
        .module(&module)?
        .validate(true)
        .encode()?;
    if fs::read(component).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(component, bytes).with_context(|| format!("writing {}", component.display()))
}
