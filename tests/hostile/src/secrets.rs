//! Searches for secrets in the forms in which software writes text.

use std::fs;
use std::path::Path;

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// How many bytes in a row make a find.
const PIECE: usize = 20;

/// Secrets to look for, each in all its forms.
pub struct Secrets {
    finder: AhoCorasick,
    /// The secret and the form of each pattern.
    about: Vec<(usize, &'static str)>,
    count: usize,
}

impl Secrets {
    /// Secrets in the forms: as they are, percent-encoded, in JSON, in hexadecimal and in base64 at
    /// any offset.
    ///
    /// # Errors
    /// For patterns of many megabytes.
    pub fn new<S: AsRef<str>>(secrets: &[S]) -> Result<Self> {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        let mut about = Vec::new();
        for (secret, text) in secrets.iter().enumerate() {
            let text = unguessable(text.as_ref());
            for (form, written) in forms(text.as_bytes()) {
                for piece in pieces(&written) {
                    patterns.push(piece.to_vec());
                    about.push((secret, form));
                }
            }
        }
        Ok(Self {
            finder: AhoCorasick::new(&patterns).context("the secrets make no patterns")?,
            about,
            count: secrets.len(),
        })
    }

    /// How many secrets are looked for.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The secrets in these bytes: which one, and in which form. Never the secret itself.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Vec<String> {
        let mut found: Vec<String> = self
            .finder
            .find_iter(bytes)
            .map(|hit| {
                let (secret, form) = self.about[hit.pattern().as_usize()];
                format!("secret {secret} {form}")
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// The secrets in the files of a folder, each with its file.
    ///
    /// # Errors
    /// The disk's.
    pub fn find_in_folder(&self, folder: &Path) -> Result<(usize, Vec<String>)> {
        let (mut files, mut found) = (0, Vec::new());
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                let (more, inside) = self.find_in_folder(&path)?;
                files += more;
                found.extend(inside);
            } else {
                files += 1;
                let bytes = fs::read(&path)?;
                let hits = self.find(&bytes).into_iter();
                found.extend(hits.map(|hit| format!("{}: {hit}", path.display())));
            }
        }
        Ok((files, found))
    }
}

/// The part of a secret that others do not share: of a JWT its signature.
fn unguessable(secret: &str) -> &str {
    match secret.rsplit_once('.') {
        Some((rest, signature)) if rest.contains('.') && signature.len() > 2 * PIECE => signature,
        _ => secret,
    }
}

fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let percent = percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let json = String::from_utf8_lossy(secret).replace('/', "\\/");
    let mut forms = vec![
        ("as it is", secret.to_vec()),
        ("in JSON", json.into_bytes()),
        ("percent-encoded", percent.to_lowercase().into_bytes()),
        ("percent-encoded", percent.into_bytes()),
        ("in hexadecimal", hex.to_uppercase().into_bytes()),
        ("in hexadecimal", hex.into_bytes()),
    ];
    for skipped in 0..3.min(secret.len()) {
        let rest = &secret[skipped..];
        let whole = &rest[..rest.len() / 3 * 3];
        forms.push(("in base64", STANDARD_NO_PAD.encode(whole).into_bytes()));
        forms.push(("in base64", URL_SAFE_NO_PAD.encode(whole).into_bytes()));
    }
    forms
}

/// The start, the middle and the end of a form; a short one as a whole.
fn pieces(form: &[u8]) -> Vec<&[u8]> {
    match form.len().checked_sub(PIECE) {
        None if form.len() < 8 => Vec::new(),
        None => vec![form],
        Some(last) => [0, last / 2, last].map(|at| &form[at..at + PIECE]).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_and_the_secret_is_not_told() {
        let secret = "p4/ss~Wörd+of-the_day==and.more";
        let secrets = Secrets::new(&["another one that is long enough", secret]).expect("patterns");
        let bearer = format!("Bearer {secret}");
        for (text, form) in [
            (secret.to_owned(), "as it is"),
            (secret.replace('/', "\\/"), "in JSON"),
            (
                percent_encode(secret.as_bytes(), NON_ALPHANUMERIC).to_string(),
                "percent-encoded",
            ),
            (STANDARD_NO_PAD.encode(&bearer), "in base64"),
            (URL_SAFE_NO_PAD.encode(secret), "in base64"),
        ] {
            let found = secrets.find(format!("<p>{text}</p>").as_bytes());
            assert!(
                found.contains(&format!("secret 1 {form}")),
                "{text}: {found:?}"
            );
            assert!(!found.concat().contains("p4"), "{found:?}");
        }
        assert_eq!(secrets.find(b"nothing of the day"), Vec::<String>::new());
    }
}
