//! Rust: modules for `wasm32-unknown-unknown`, and components of them.
//!
//! The normal way is the toolchain's own standard library for that target, added with `rustup target
//! add` where it is missing. Where that cannot be had, Debian's `rustc-web` and the library's sources
//! do the same by `-Zbuild-std`. Both give working plugins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::BuildError;

/// What plugins in Rust are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";
/// The packages of the second way.
pub const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld";

/// How modules are built on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With the standard library that came with the toolchain.
    Toolchain,
    /// With Debian's compiler and the standard library's sources.
    Debian,
}

impl Way {
    /// Finds a way, and adds the target to the toolchain where rustup can.
    ///
    /// # Errors
    /// There is none; the help says how to get one.
    pub fn find() -> Result<Self, BuildError> {
        if has_target()? || (add_target() && has_target()?) {
            return Ok(Self::Toolchain);
        }
        if has_debian() {
            return Ok(Self::Debian);
        }
        Err(BuildError::new(
            format!("there is no way here to build for {TARGET}"),
            format!(
                "run `rustup target add {TARGET}`, or on Debian as root `apt-get install \
                 --no-install-recommends {}`",
                DEBIAN_PACKAGES.join(" ")
            ),
        ))
    }
}

/// Whether the toolchain has the target's standard library.
///
/// # Errors
/// There is no Rust.
pub fn has_target() -> Result<bool, BuildError> {
    let output = clean_command("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::null())
        .output()
        .map_err(|error| {
            BuildError::new(
                format!("rustc cannot be started: {error}"),
                "install Rust by https://rustup.rs",
            )
        })?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let has_core = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libcore");
    Ok(output.status.success()
        && fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(has_core)))
}

/// Whether rustup says that it added the target. It fails at once where it is not installed or
/// cannot download; what it prints then is no help to anybody.
#[must_use]
pub fn add_target() -> bool {
    clean_command("rustup")
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether Debian's compiler and the library's sources are there.
#[must_use]
pub fn has_debian() -> bool {
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

/// A cargo that compiles for [`TARGET`] in a way, about to be told what: `rustc …`. Machine paths are
/// kept out of what it makes, so that the bytes do not depend on the folder.
///
/// # Errors
/// There is no home for cargo.
pub fn cargo(folder: &Path, way: Way) -> Result<Command, BuildError> {
    let mut cargo = match way {
        Way::Toolchain => clean_command("cargo"),
        Way::Debian => {
            let mut cargo = clean_command(DEBIAN_CARGO);
            let path = std::env::var_os("PATH").unwrap_or_default();
            let paths =
                std::iter::once(PathBuf::from("/usr/bin")).chain(std::env::split_paths(&path));
            // It fails for a path with a colon in it, which did not come out of `PATH`.
            if let Ok(path) = std::env::join_paths(paths) {
                cargo.env("PATH", path);
            }
            cargo
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
            cargo
        }
    };
    cargo
        .current_dir(folder)
        // Encoded, since a folder may have a space in its name.
        .env("CARGO_ENCODED_RUSTFLAGS", remap(folder)?)
        .stdin(Stdio::null());
    Ok(cargo)
}

/// The arguments that the way needs at the end.
#[must_use]
pub const fn last_arguments(way: Way) -> &'static [&'static str] {
    match way {
        Way::Toolchain => &[],
        Way::Debian => &["-Zbuild-std=std,panic_abort"],
    }
}

/// Compiles the package in a folder, in its `release` profile, and gives its module.
///
/// # Errors
/// cargo's, in its own words, which it has shown already.
pub fn module(folder: &Path, way: Way) -> Result<PathBuf, BuildError> {
    let library = library(&folder.join("Cargo.toml"))?;
    // Where a user keeps what cargo makes, if they said so.
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let status = cargo(folder, way)?
        .args(["rustc", "--quiet", "--release", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target)
        .args(["--lib", "--crate-type", "cdylib"])
        .args(last_arguments(way))
        .status()
        .map_err(|error| {
            BuildError::new(
                format!("cargo cannot be started: {error}"),
                "install Rust by https://rustup.rs",
            )
        })?;
    if !status.success() {
        return Err(BuildError::new(
            format!("cargo ended with {status}"),
            "mend what it says above, and build again",
        ));
    }
    let module = folder.join(target).join(TARGET).join("release");
    Ok(module.join(library).with_extension("wasm"))
}

/// The name of the library that cargo makes of a package: that of the package, with underscores.
fn library(manifest: &Path) -> Result<String, BuildError> {
    let text = fs::read_to_string(manifest).map_err(|error| BuildError::io(manifest, &error))?;
    let package = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[package]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let name = package
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| key.trim() == "name")
        .map(|(_, name)| name.trim().trim_matches('"').replace('-', "_"));
    name.ok_or_else(|| {
        BuildError::new(
            format!("{} names no package", manifest.display()),
            "it needs `[package]` with a line `name = \"…\"`",
        )
    })
}

/// Machine paths out of the modules, so that their bytes do not depend on the folder.
fn remap(folder: &Path) -> Result<String, BuildError> {
    let home = std::env::var("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|_| std::env::var("HOME").map(|home| Path::new(&home).join(".cargo")))
        .map_err(|_| {
            BuildError::new(
                "neither CARGO_HOME nor HOME is set",
                "set HOME to your own folder",
            )
        })?;
    let folder = fs::canonicalize(folder).map_err(|error| BuildError::io(folder, &error))?;
    Ok(format!(
        "--remap-path-prefix={}=/src\u{1f}--remap-path-prefix={}=/cargo",
        folder.display(),
        home.display()
    ))
}

/// A command without what an outer cargo set for itself: its toolchain, flags and folders would
/// change the modules, and be changed by them.
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
///
/// # Errors
/// The module has no WebAssembly interface in it, or a file cannot be read or written.
pub fn encode(module: &Path, component: &Path) -> Result<(), BuildError> {
    let bytes = fs::read(module).map_err(|error| BuildError::io(module, &error))?;
    let encoded = wit_component::ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode());
    let encoded = encoded.map_err(|error| {
        BuildError::new(
            format!("{} cannot become a component: {error:#}", module.display()),
            "export the plugin: `export_plugin!(YourPlugin);`",
        )
    })?;
    if fs::read(component).is_ok_and(|old| old == encoded) {
        return Ok(());
    }
    fs::write(component, encoded).map_err(|error| BuildError::io(component, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_called_as_its_package() {
        let folder = std::env::temp_dir().join(format!("docket-toolchain-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let manifest = folder.join("Cargo.toml");
        let text = "[workspace]\n\n[package]\nname = \"chat-post\"\nversion = \"0.1.0\"\n";
        fs::write(&manifest, text).unwrap();
        assert_eq!(library(&manifest).unwrap(), "chat_post");
        fs::write(&manifest, "[workspace]\n").unwrap();
        assert!(library(&manifest).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
