//! New projects: a folder in one of the languages that builds and passes its test at once.
//!
//! Each brings what it needs: the interface, for Rust the SDK's source, for the others a lock file of
//! their tools. So a plugin's maker needs this program and the language, and nothing of this
//! repository.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A language with a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust, with the SDK.
    Rust,
    /// JavaScript, by `componentize-js`.
    JavaScript,
    /// Python, by `componentize-py`.
    Python,
}

/// A project was not made.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The name cannot be a plugin's.
    #[error("`{0}` cannot be the name of a plugin")]
    Name(String),
    /// There is something in the way.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl TemplateError {
    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Name(_) => {
                "take lower-case letters, digits and single hyphens, beginning with a letter, as in \
                 chat-webhook"
            }
            Self::Exists(_) => "take another name, or remove it first",
            Self::Io { .. } => "check the folder's owner, its rights and the room on the disk",
        }
    }
}

/// The interface.
const WIT: &str = include_str!("../../../wit/processor.wit");
/// The tools' lock files are those of the examples.
const NPM_LOCK: &str = include_str!("../../../plugins/examples/js/package-lock.json");
const BUILD_JS: &str = include_str!("../../../plugins/examples/js/build.js");
const REQUIREMENTS: &str = include_str!("../../../plugins/examples/python/requirements.txt");

/// The SDK's files, by their place in it.
const SDK: [(&str, &str); 8] = [
    (
        "src/call.rs",
        include_str!("../../../plugins/sdk/src/call.rs"),
    ),
    (
        "src/document.rs",
        include_str!("../../../plugins/sdk/src/document.rs"),
    ),
    (
        "src/export.rs",
        include_str!("../../../plugins/sdk/src/export.rs"),
    ),
    (
        "src/failure.rs",
        include_str!("../../../plugins/sdk/src/failure.rs"),
    ),
    (
        "src/http.rs",
        include_str!("../../../plugins/sdk/src/http.rs"),
    ),
    (
        "src/lib.rs",
        include_str!("../../../plugins/sdk/src/lib.rs"),
    ),
    (
        "src/manifest.rs",
        include_str!("../../../plugins/sdk/src/manifest.rs"),
    ),
    (
        "src/testing.rs",
        include_str!("../../../plugins/sdk/src/testing.rs"),
    ),
];

const RUST: [(&str, &str); 5] = [
    (
        "Cargo.toml",
        include_str!("../templates/rust/Cargo.toml.in"),
    ),
    ("src/lib.rs", include_str!("../templates/rust/lib.rs.in")),
    (".gitignore", "/target\n/build\n"),
    ("README.md", include_str!("../templates/rust/README.md.in")),
    (
        "sdk/docket-plugin-sdk/Cargo.toml",
        include_str!("../templates/rust/sdk.toml.in"),
    ),
];

const JAVASCRIPT: [(&str, &str); 4] = [
    (
        "package.json",
        include_str!("../templates/js/package.json.in"),
    ),
    (
        "src/plugin.js",
        include_str!("../templates/js/plugin.js.in"),
    ),
    (".gitignore", "/node_modules\n/build\n"),
    ("README.md", include_str!("../templates/js/README.md.in")),
];

const PYTHON: [(&str, &str); 3] = [
    (
        "plugin.py",
        include_str!("../templates/python/plugin.py.in"),
    ),
    (".gitignore", "/build\n__pycache__\n"),
    (
        "README.md",
        include_str!("../templates/python/README.md.in"),
    ),
];

const CASES: [(&str, &str); 2] = [
    (
        "cases/greets.yaml",
        include_str!("../templates/greets.yaml.in"),
    ),
    (
        "cases/throttled.yaml",
        include_str!("../templates/throttled.yaml.in"),
    ),
];

/// Makes a new project `name` in a folder, and says where.
///
/// # Errors
/// [`TemplateError`]. A folder that is there is left as it is.
pub fn write(folder: &Path, name: &str, language: Language) -> Result<PathBuf, TemplateError> {
    if !is_name(name) {
        return Err(TemplateError::Name(name.to_owned()));
    }
    let project = folder.join(name);
    if project.exists() {
        return Err(TemplateError::Exists(project));
    }
    for (place, text) in files(name, language) {
        let path = project.join(place);
        let io = |source| TemplateError::Io {
            path: path.clone(),
            source,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        fs::write(&path, text).map_err(io)?;
    }
    Ok(project)
}

/// Lower-case letters, digits and single hyphens between them; a letter first, as cargo and npm want
/// it.
fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.split('-').all(is_word)
}

fn files(name: &str, language: Language) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    let fill = |text: &str| text.replace("{{name}}", name);
    let own: &[(&str, &str)] = match language {
        Language::Rust => &RUST,
        Language::JavaScript => &JAVASCRIPT,
        Language::Python => &PYTHON,
    };
    for (place, text) in own.iter().chain(&CASES) {
        files.push(((*place).to_owned(), fill(text)));
    }
    files.push(("wit/processor.wit".to_owned(), WIT.to_owned()));
    match language {
        Language::Rust => {
            for (place, text) in SDK {
                files.push((format!("sdk/docket-plugin-sdk/{place}"), text.to_owned()));
            }
        }
        Language::JavaScript => {
            files.push((
                "package-lock.json".to_owned(),
                NPM_LOCK.replace("\"chat-webhook\"", &format!("\"{name}\"")),
            ));
            files.push(("build.js".to_owned(), BUILD_JS.to_owned()));
        }
        Language::Python => {
            files.push(("requirements.txt".to_owned(), REQUIREMENTS.to_owned()));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["chat", "chat-webhook", "a1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Chat", "a--b", "-a", "a-", "1a", "a_b", "../a", "a/b"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for language in [Language::Rust, Language::JavaScript, Language::Python] {
            for (place, text) in files("chat", language) {
                assert!(!text.contains("{{name}}"), "{place}");
                assert!(!text.is_empty(), "{place}");
            }
        }
    }

    #[test]
    fn the_sdk_goes_along_whole() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/sdk/src");
        let mut there: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| format!("src/{}", entry.unwrap().file_name().to_string_lossy()))
            .collect();
        there.sort();
        assert_eq!(SDK.map(|(place, _)| place.to_owned()).to_vec(), there);
        // With the dependencies that it is tested with.
        let root =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"));
        let root = root.unwrap();
        let sdk = RUST[4].1;
        for name in ["serde", "serde_json", "wit-bindgen", "sha2"] {
            let line = |text: &str| {
                let found = text
                    .lines()
                    .find(|line| line.starts_with(&format!("{name} = ")));
                found.map(str::to_owned).unwrap_or_else(|| panic!("{name}"))
            };
            assert_eq!(line(&root), line(sdk), "{name}");
        }
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let project = write(folder.path(), "chat", Language::Python).unwrap();
        assert!(project.join("plugin.py").is_file());
        let again = write(folder.path(), "chat", Language::Rust);
        assert!(matches!(again, Err(TemplateError::Exists(_))));
        assert!(!project.join("Cargo.toml").exists());
    }
}
