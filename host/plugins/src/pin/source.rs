//! Where a component comes from: a file, an https URL, or an OCI reference.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use docket_model::Digest;

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A URL to download it from.
    Https(String),
    /// An image in a registry: `oci://registry.example/team/plugin:1.2.0`.
    Oci(Reference),
}

/// A reference to an image in an OCI registry (OCI Distribution Specification 1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host and port.
    pub registry: String,
    /// The repository's path.
    pub repository: String,
    /// The tag; `latest` where neither a tag nor a digest is given.
    pub tag: Option<String>,
    /// The digest of the image's manifest.
    pub digest: Option<Digest>,
}

/// A text is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no source of a plugin: {problem}")]
pub struct InvalidSource {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let invalid = |problem| InvalidSource {
            text: text.to_owned(),
            problem,
        };
        if let Some(reference) = text.strip_prefix("oci://") {
            return Reference::read(reference).map(Self::Oci).map_err(invalid);
        }
        if text.starts_with("https://") {
            return Ok(Self::Https(text.to_owned()));
        }
        if text.contains("://") {
            return Err(invalid(
                "it is neither a file, an https URL nor an oci reference",
            ));
        }
        if text.is_empty() {
            return Err(invalid("it is empty"));
        }
        Ok(Self::File(text.into()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Https(url) => f.write_str(url),
            Self::Oci(reference) => write!(f, "oci://{reference}"),
        }
    }
}

impl Reference {
    fn read(text: &str) -> Result<Self, &'static str> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest
                    .parse()
                    .map_err(|_| "what follows `@` is not `sha256:` and 64 hexadecimal digits")?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let (registry, path) = name
            .split_once('/')
            .ok_or("a registry and a repository are needed, as in oci://registry.example/team/plugin:1.0.0")?;
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        let is_host = !registry.is_empty()
            && registry
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
        if !is_host {
            return Err("the registry is no host");
        }
        let is_path = repository.split('/').all(|part| {
            let is_allowed = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
            };
            !part.is_empty()
                && part.bytes().all(is_allowed)
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.ends_with(|c: char| c.is_ascii_alphanumeric())
        });
        if !is_path {
            return Err("a repository is lower-case letters, digits and `._-`, with `/` between");
        }
        let is_tag = |tag: &str| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !tag.is_empty()
                && tag.len() <= 128
                && tag.bytes().all(is_allowed)
                && !tag.starts_with(['.', '-'])
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err("the tag is letters, digits and `._-`, 128 at most");
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// What names the manifest: the digest where there is one, else the tag.
    #[must_use]
    pub fn manifest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sources() {
        let check =
            |text: &str, expected: Result<&str, &str>| match (text.parse::<Source>(), expected) {
                (Ok(source), Ok(expected)) => assert_eq!(source.to_string(), expected),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{error}");
                }
                (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
            };
        let same = |text: &str| check(text, Ok(text));
        same("plugins/chat.wasm");
        same("https://a.example/chat.wasm");
        same("oci://registry.example/team/chat:1.0.0");
        same("oci://127.0.0.1:5000/chat");
        same(&format!("oci://r.example/a/b:1@{}", Digest::of(b"x")));
        check("", Err("empty"));
        check("http://a.example/chat.wasm", Err("neither"));
        check("oci://registry.example", Err("a repository"));
        check("oci://registry.example/Team/chat", Err("lower-case"));
        check("oci://registry.example/a/../b", Err("lower-case"));
        check("oci://registry.example/a:b:c", Err("lower-case"));
        check("oci://registry.example/a:-b", Err("the tag"));
        check("oci://registry.example/a@sha256:1", Err("64 hexadecimal"));
        check("oci://a b/c", Err("no host"));
    }

    #[test]
    fn a_manifest_is_named_by_its_digest_first() {
        let named = |text: &str| match text.parse() {
            Ok(Source::Oci(reference)) => reference.manifest(),
            other => panic!("{other:?}"),
        };
        assert_eq!(named("oci://a.example/b"), "latest");
        assert_eq!(named("oci://a.example/b:1"), "1");
        let digest = Digest::of(b"x").to_string();
        assert_eq!(named(&format!("oci://a.example/b:1@{digest}")), digest);
    }
}
