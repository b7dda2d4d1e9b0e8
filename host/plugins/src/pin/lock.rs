//! `docket.lock`.

use std::collections::BTreeMap;

use docket_model::{Digest, Manifest};
use serde::{Deserialize, Serialize};

use super::asks::Asks;

/// The format that this version writes, and the only one so far.
const FORMAT: u32 = 1;

/// What was approved of a project's plugins, by their names in `docket.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// The pins by the plugins' names.
    pub plugins: BTreeMap<String, Pin>,
}

/// What was approved of one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pin {
    /// Where the component came from, as `docket.yaml` has it.
    pub source: String,
    /// Its digest.
    pub digest: Digest,
    /// The plugin's own version.
    pub version: String,
    /// What it asked for.
    pub asks: Asks,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    plugins: BTreeMap<String, Pin>,
}

/// A lock that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// It is not what Docket writes.
    #[error("docket.lock is damaged: {0}")]
    Damaged(String),
    /// A later version wrote it.
    #[error("docket.lock has format {0}, and this version of Docket knows {FORMAT}")]
    Newer(u32),
}

impl LockError {
    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Damaged(_) => {
                "take it from version control, or remove it and approve each plugin again by \
                 `docket plugins add`"
            }
            Self::Newer(_) => "upgrade Docket",
        }
    }
}

/// Why a component may not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The lock has other plugins, and not this one.
    Unknown,
    /// It is not the component that was approved.
    Differs {
        /// The digest that was approved.
        approved: Digest,
        /// The version that was approved.
        version: String,
        /// What it asks for beyond what was approved.
        beyond: Asks,
    },
}

impl Lock {
    /// Reads a lock file's text.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn read(text: &str) -> Result<Self, LockError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |error: serde_json::Error| LockError::Damaged(error.to_string());
        // The format first: what a later one holds need not fit this one.
        let Format { format } = serde_json::from_str(text).map_err(damaged)?;
        if format != FORMAT {
            return Err(LockError::Newer(format));
        }
        let file: File = serde_json::from_str(text).map_err(damaged)?;
        Ok(Self {
            plugins: file.plugins,
        })
    }

    /// The lock file's text: JSON, sorted, so that a change of it reads well in version control.
    #[must_use]
    pub fn to_text(&self) -> String {
        let file = File {
            format: FORMAT,
            plugins: self.plugins.clone(),
        };
        // Texts and lists always have a JSON form.
        let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Whether a component may be used as the plugin of that name. A lock without any plugin holds
    /// none back: the project does not use it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, name: &str, digest: Digest, manifest: &Manifest) -> Result<(), Refusal> {
        match self.plugins.get(name) {
            None if self.plugins.is_empty() => Ok(()),
            None => Err(Refusal::Unknown),
            Some(pin) if pin.digest == digest => Ok(()),
            Some(pin) => Err(Refusal::Differs {
                approved: pin.digest,
                version: pin.version.clone(),
                beyond: Asks::of(manifest).beyond(&pin.asks),
            }),
        }
    }
}

impl Pin {
    /// Approves a component.
    #[must_use]
    pub fn new(source: impl Into<String>, digest: Digest, manifest: &Manifest) -> Self {
        Self {
            source: source.into(),
            digest,
            version: manifest.version.clone(),
            asks: Asks::of(manifest),
        }
    }
}

#[cfg(test)]
mod tests {
    use docket_model::{ActionKind, ActionSpec, HttpNeed, RequestRule, ScopeNeed};
    use serde_json::json;

    use super::*;

    fn manifest(requests: &[&str], scopes: &[&str]) -> Manifest {
        let request = |line: &&str| {
            let (method, url) = line.split_once(' ').unwrap();
            HttpNeed {
                rule: RequestRule {
                    method: method.to_owned(),
                    url: url.to_owned(),
                },
                reason: "To test.".to_owned(),
            }
        };
        let scope = |name: &&str| ScopeNeed {
            name: (*name).to_owned(),
            shared: Some(format!("{name}.Shared")),
            application: None,
            reason: "To test.".to_owned(),
        };
        Manifest {
            id: "probe".to_owned(),
            version: "1.2.3".to_owned(),
            summary: "Tests.".to_owned(),
            actions: vec![ActionSpec {
                name: "run".to_owned(),
                kind: ActionKind::Action,
                summary: "Runs.".to_owned(),
                input: json!(true),
                output: json!(true),
                requests: requests.iter().map(request).collect(),
                scopes: scopes.iter().map(scope).collect(),
                examples: Vec::new(),
            }],
        }
    }

    fn lock() -> Lock {
        let manifest = manifest(&["GET https://a.example/*"], &["Mail.Read"]);
        let pin = Pin::new("probe.wasm", Digest::of(b"one"), &manifest);
        Lock {
            plugins: BTreeMap::from([("probe".to_owned(), pin)]),
        }
    }

    #[test]
    fn reads_back_what_it_writes() {
        let text = lock().to_text();
        assert_eq!(Lock::read(&text), Ok(lock()));
        assert!(text.contains("\"GET https://a.example/*\""), "{text}");
        assert!(text.contains("Mail.Read.Shared"), "{text}");
        let check = |text: &str, expected: &str| {
            let error = Lock::read(text).unwrap_err();
            assert!(error.to_string().contains(expected), "{text}: {error}");
            assert!(!error.help().is_empty());
        };
        check("", "damaged");
        check("{}", "missing field `format`");
        check(r#"{"format": 1}"#, "missing field `plugins`");
        check(r#"{"format": 2, "anything": []}"#, "format 2");
        check(&text.replace("sha256:", "md5:"), "damaged");
    }

    #[test]
    fn only_the_approved_component_is_used() {
        let same = manifest(&["GET https://a.example/*"], &["Mail.Read"]);
        assert_eq!(lock().check("probe", Digest::of(b"one"), &same), Ok(()));
        let differs =
            |manifest: &Manifest| match lock().check("probe", Digest::of(b"two"), manifest) {
                Err(Refusal::Differs { beyond, .. }) => beyond.lines(),
                other => panic!("{other:?}"),
            };
        assert_eq!(differs(&same), Vec::<String>::new());
        let more = manifest(
            &["GET https://a.example/*", "POST https://a.example/*"],
            &["Mail.Read", "Mail.Send"],
        );
        assert_eq!(
            differs(&more),
            [
                "POST https://a.example/*",
                "scope Mail.Send",
                "scope Mail.Send.Shared"
            ]
        );
        let other = lock().check("other", Digest::of(b"one"), &same);
        assert_eq!(other, Err(Refusal::Unknown));
        let none = Lock::default().check("other", Digest::of(b"one"), &same);
        assert_eq!(none, Ok(()));
    }
}
