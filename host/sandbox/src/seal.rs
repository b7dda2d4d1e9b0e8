//! URLs with a secret inside: out of the answer before the journal or the guest sees them.

use docket_connections::GateError;
use serde_json::Value;

use crate::egress::Channel;

/// What opaque names start with.
pub(crate) const SCHEME: &str = "sealed:";

/// Which strings of an answer to seal, and the place from which their names and contexts are made.
#[derive(Debug, Clone)]
pub(crate) struct Seal {
    /// JSON Pointers (RFC 6901).
    pub(crate) pointers: Vec<String>,
    pub(crate) place: Place,
}

/// An answer's place: the step, the effect, and the request in it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) idempotency_key: String,
    pub(crate) effect: u32,
    pub(crate) request: usize,
}

impl Place {
    /// The opaque name of the answer's n-th sealed URL.
    pub(crate) fn name(&self, n: usize) -> String {
        format!("{SCHEME}{}-{}-{n}", self.effect, self.request)
    }

    /// What its ciphertext is bound to.
    pub(crate) fn context(&self, n: usize) -> String {
        format!(
            "{}/{}-{}-{n}",
            self.idempotency_key, self.effect, self.request
        )
    }
}

/// An answer's text and headers, with opaque names in the place of secrets.
pub(crate) struct Sealed {
    pub(crate) text: String,
    pub(crate) headers: Vec<(String, String)>,
    /// The ciphertexts in the order of their names.
    pub(crate) ciphertexts: Vec<String>,
}

/// Takes the secrets out of an answer.
///
/// A pointer to nothing, or to no string, seals nothing: error answers have other members, or are no
/// JSON at all.
///
/// # Errors
/// [`unreadable`] where a 2xx answer is no JSON; [`GateError::Fault`] where the vault cannot encrypt.
pub(crate) fn seal(
    seal: &Seal,
    status: u16,
    text: String,
    headers: Vec<(String, String)>,
    channel: &dyn Channel,
) -> Result<Sealed, GateError> {
    let mut json: Value = match serde_json::from_str(&text) {
        Ok(json) => json,
        Err(_) if (200..300).contains(&status) => return Err(unreadable()),
        Err(_) => {
            return Ok(Sealed {
                text,
                headers,
                ciphertexts: Vec::new(),
            });
        }
    };
    let mut secrets: Vec<(String, String)> = Vec::new();
    let mut ciphertexts = Vec::new();
    for pointer in &seal.pointers {
        let Some(secret) = json.pointer(pointer).and_then(Value::as_str) else {
            continue;
        };
        if secret.is_empty() || secrets.iter().any(|(known, _)| known == secret) {
            continue;
        }
        let n = secrets.len();
        ciphertexts.push(
            channel
                .seal(&seal.place.context(n), secret)
                .map_err(GateError::Fault)?,
        );
        secrets.push((secret.to_owned(), seal.place.name(n)));
    }
    if secrets.is_empty() {
        return Ok(Sealed {
            text,
            headers,
            ciphertexts,
        });
    }
    // The longest first: one secret may be the start of another.
    secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
    mask_json(&mut json, &secrets);
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name, mask(&value, &secrets)))
        .collect();
    Ok(Sealed {
        text: json.to_string(),
        headers,
        ciphertexts,
    })
}

/// The request took effect, and nobody can tell what in its answer is secret.
pub(crate) fn unreadable() -> GateError {
    GateError::Interrupted("the answer should hold URLs to seal, and is not JSON".to_owned())
}

fn mask_json(value: &mut Value, secrets: &[(String, String)]) {
    match value {
        Value::String(text) => *text = mask(text, secrets),
        Value::Array(items) => items.iter_mut().for_each(|item| mask_json(item, secrets)),
        Value::Object(fields) => {
            let masked = std::mem::take(fields).into_iter().map(|(name, mut value)| {
                mask_json(&mut value, secrets);
                (mask(&name, secrets), value)
            });
            *fields = masked.collect();
        }
        _ => {}
    }
}

/// A URL that was sealed before, and its opaque name: neither an answer nor an error may tell it.
#[derive(Clone)]
pub(crate) struct Opaque {
    pub(crate) url: std::sync::Arc<str>,
    pub(crate) name: String,
}

impl Opaque {
    /// Masks the URL, and what of it a server is likely to repeat: the target that it was asked for,
    /// the query, and the values in it.
    pub(crate) fn mask(&self, text: &str) -> String {
        let mut text = text.replace(self.url.as_ref(), &self.name);
        let after_scheme = self.url.find("://").map_or(0, |at| at + 3);
        let target = self.url[after_scheme..]
            .find('/')
            .map_or("", |at| &self.url[after_scheme + at..]);
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let values = query
            .split('&')
            .filter_map(|pair| Some(pair.split_once('=')?.1));
        for part in [target, query].into_iter().chain(values) {
            if part.len() >= LIKELY_SECRET {
                text = text.replace(part, &self.name);
            }
        }
        text
    }
}

/// The shortest part of a URL that may be a secret by itself, in bytes.
const LIKELY_SECRET: usize = 16;

/// The shortest URL, in bytes. What is shorter stands for itself where it is sealed, and is no trace of
/// a secret within another text: who sealed single letters would make an answer many times as long.
const SHORTEST_URL: usize = "http://a".len();

/// Puts names in the place of secrets, in one pass: what stands in a name is no secret.
fn mask(text: &str, secrets: &[(String, String)]) -> String {
    if let Some((_, name)) = secrets.iter().find(|(secret, _)| secret == text) {
        return name.clone();
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut found = secrets.iter().filter_map(|(secret, name)| {
            let after = rest.strip_prefix(secret.as_str())?;
            (secret.len() >= SHORTEST_URL).then_some((after, name))
        });
        rest = match found.next() {
            Some((after, name)) => {
                masked.push_str(name);
                after
            }
            None => {
                masked.push(first);
                &rest[first.len_utf8()..]
            }
        };
    }
    masked
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use docket_connections::{AccountInfo, Request, Response};

    use super::*;

    /// Reverses instead of encrypting.
    struct Backwards;

    #[async_trait]
    impl Channel for Backwards {
        fn account(&self) -> Option<AccountInfo> {
            None
        }
        async fn send(&self, _: Request) -> Result<Response, GateError> {
            Err(GateError::Unreachable("no network here".to_owned()))
        }
        fn seal(&self, context: &str, secret: &str) -> Result<String, String> {
            Ok(format!(
                "{context}={}",
                secret.chars().rev().collect::<String>()
            ))
        }
        fn open(&self, _: &str, _: &str) -> Result<std::sync::Arc<str>, String> {
            Err("not needed".to_owned())
        }
    }

    fn check(pointers: &[&str], text: &str, expected: &str, ciphertexts: &[&str]) {
        let request = Seal {
            pointers: pointers.iter().map(|&pointer| pointer.to_owned()).collect(),
            place: Place {
                idempotency_key: "key".to_owned(),
                effect: 7,
                request: 0,
            },
        };
        let headers = vec![("location".to_owned(), "https://u/1?t=S/x".to_owned())];
        let sealed =
            seal(&request, 200, text.to_owned(), headers, &Backwards).expect("an answer in JSON");
        assert_eq!(sealed.text, expected, "{text}");
        assert_eq!(sealed.ciphertexts, ciphertexts, "{text}");
        let is_masked = !sealed.headers[0].1.contains("t=S");
        assert_eq!(
            is_masked,
            text.contains("https://u/1?t=S"),
            "{:?}",
            sealed.headers
        );
    }

    #[test]
    fn replaces_every_trace_of_a_secret() {
        check(
            &["/uploadUrl"],
            r#"{"uploadUrl":"https://u/1?t=S","note":"see https://u/1?t=S","n":[1,"https://u/1?t=S"]}"#,
            r#"{"uploadUrl":"sealed:7-0-0","note":"see sealed:7-0-0","n":[1,"sealed:7-0-0"]}"#,
            &["key/7-0-0=S=t?1/u//:sptth"],
        );
        check(
            &["/a", "/b", "/a"],
            r#"{"a":"https://u/1?t=S","b":"https://u/1?t=S2"}"#,
            r#"{"a":"sealed:7-0-0","b":"sealed:7-0-1"}"#,
            &["key/7-0-0=S=t?1/u//:sptth", "key/7-0-1=2S=t?1/u//:sptth"],
        );
    }

    #[test]
    fn what_is_no_url_does_not_blow_an_answer_up() {
        check(
            &["/a", "/b"],
            r#"{"a":"e","b":"l","c":["e","sealed"]}"#,
            r#"{"a":"sealed:7-0-0","b":"sealed:7-0-1","c":["sealed:7-0-0","sealed"]}"#,
            &["key/7-0-0=e", "key/7-0-1=l"],
        );
        // Nor does a URL whose trace stands in the name of another.
        let secrets = [
            ("sealed:7-0-1", "sealed:7-0-0"),
            ("sealed:7-0-0", "sealed:7-0-1"),
        ];
        let secrets = secrets.map(|(secret, name)| (secret.to_owned(), name.to_owned()));
        assert_eq!(mask("a sealed:7-0-0", &secrets), "a sealed:7-0-1");
        assert_eq!(mask("a sealed:7-0-1", &secrets), "a sealed:7-0-0");
    }

    #[test]
    fn masks_what_servers_repeat_of_a_sealed_url() {
        let opaque = Opaque {
            url: "https://u.test/up('1')/x?authtoken=0123456789abcdef0&n=1".into(),
            name: "sealed:7-0-0".to_owned(),
        };
        for (text, expected) in [
            (
                "at https://u.test/up('1')/x?authtoken=0123456789abcdef0&n=1.",
                "at sealed:7-0-0.",
            ),
            (
                "GET /up('1')/x?authtoken=0123456789abcdef0&n=1 failed",
                "GET sealed:7-0-0 failed",
            ),
            ("authtoken=0123456789abcdef0&n=1", "sealed:7-0-0"),
            (
                "the token 0123456789abcdef0 has expired",
                "the token sealed:7-0-0 has expired",
            ),
            ("n=1", "n=1"),
        ] {
            assert_eq!(opaque.mask(text), expected);
        }
    }

    #[test]
    fn leaves_an_answer_without_the_member_alone() {
        for text in [
            r#"{"error": {"code":"x"}}"#,
            r#"{"uploadUrl":null}"#,
            r#"{"uploadUrl":""}"#,
            "[]",
        ] {
            check(&["/uploadUrl"], text, text, &[]);
        }
    }

    #[test]
    fn keeps_to_itself_what_it_cannot_read() {
        let request = Seal {
            pointers: vec!["/uploadUrl".to_owned()],
            place: Place {
                idempotency_key: String::new(),
                effect: 0,
                request: 0,
            },
        };
        let cut = r#"{"uploadUrl":"https://u/1?t=SECRET"#;
        let error = seal(&request, 201, cut.to_owned(), Vec::new(), &Backwards).err();
        assert!(matches!(error, Some(GateError::Interrupted(text)) if !text.contains("SECRET")));
        let page = "<html>Bad gateway</html>".to_owned();
        let sealed =
            seal(&request, 502, page.clone(), Vec::new(), &Backwards).expect("an error page");
        assert_eq!(sealed.text, page);
    }
}
