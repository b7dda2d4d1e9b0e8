//! Body templates: text files in minijinja, for mails and the like.
//!
//! A variable that is not in the data is an error, never an empty text. Names that end in `.html`,
//! `.htm` or `.xml` are escaped. A template stands alone: it includes and extends no other.

use std::collections::BTreeSet;
use std::io;

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior};
use serde_json::Value;

/// How much a template may compute, in minijinja's instructions: some 100 ms.
const FUEL: u64 = 10_000_000;

/// The longest text that a template may become, in bytes.
pub const MAX_RENDERED_BYTES: usize = 16 << 20;

/// The longest `{{ … }}` or `{% … %}`, in bytes.
const LONGEST_TAG: usize = 2048;

/// Templates by name.
#[derive(Debug)]
pub(crate) struct Bodies(Environment<'static>);

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BodyError {
    pub(crate) message: String,
    /// The line, from 1.
    pub(crate) line: Option<usize>,
    /// The bytes of the template.
    pub(crate) range: Option<std::ops::Range<usize>>,
}

impl Bodies {
    pub(crate) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_debug(true);
        environment.set_auto_escape_callback(|name| {
            let is_markup = [".html", ".htm", ".xml"]
                .iter()
                .any(|ending| name.to_ascii_lowercase().ends_with(ending));
            if is_markup {
                AutoEscape::Html
            } else {
                AutoEscape::None
            }
        });
        Self(environment)
    }

    /// Adds a template.
    ///
    /// # Errors
    /// What is wrong with its syntax.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> Result<(), BodyError> {
        check_tags(text)?;
        self.0
            .add_template_owned(name.to_owned(), text.to_owned())
            .map_err(|error| BodyError::new(&error))
    }

    /// The variables that a template reads and does not set itself, as paths: `signer.name`.
    pub(crate) fn variables(&self, name: &str) -> BTreeSet<String> {
        let Ok(template) = self.0.get_template(name) else {
            return BTreeSet::new();
        };
        let globals: BTreeSet<&str> = self.0.globals().map(|(name, _)| name).collect();
        let is_own = |path: &String| !globals.contains(path.split('.').next().unwrap_or(path));
        template
            .undeclared_variables(true)
            .into_iter()
            .filter(is_own)
            .collect()
    }

    /// Renders a template.
    ///
    /// # Errors
    /// Why it cannot be rendered; without the data.
    pub(crate) fn render(&self, name: &str, data: &Value) -> Result<String, BodyError> {
        let template = self
            .0
            .get_template(name)
            .map_err(|error| BodyError::new(&error))?;
        let mut text = Capped(Vec::new());
        let data = minijinja::Value::from(minijinja::value::Serde(data));
        template
            .render_captured_to(data, &mut text)
            .map_err(|error| BodyError::new(&error))?;
        String::from_utf8(text.0).map_err(|_| BodyError {
            message: "the result is no text".to_owned(),
            line: None,
            range: None,
        })
    }
}

/// Refuses tags that reach for other templates, which without a loader minijinja would notice only
/// when it renders (its feature `multi_template` cannot be left out beside `fuel`), and tags whose
/// chains of operators would use up the stack.
fn check_tags(text: &str) -> Result<(), BodyError> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('{')) {
        let open = at + found;
        let close: &[u8] = match bytes.get(open + 1) {
            Some(b'{') => b"}}",
            Some(b'%') => b"%}",
            Some(b'#') => b"#}",
            _ => {
                at = open + 1;
                continue;
            }
        };
        let end = end_of_tag(bytes, open + 2, close);
        at = end;
        if close == b"#}" {
            continue;
        }
        let refused = |range: std::ops::Range<usize>, message: String| BodyError {
            message,
            line: text
                .get(..range.start)
                .map(|before| before.matches('\n').count() + 1),
            range: Some(range),
        };
        if end - open > LONGEST_TAG {
            let message = format!("the tag is longer than {LONGEST_TAG} bytes");
            return Err(refused(open..open + 2, message));
        }
        let inner = text
            .get(open + 2..end)
            .unwrap_or("")
            .trim_start_matches(['-', '+']);
        let inner = inner.trim_start();
        let name = inner
            .split(|c: char| !c.is_ascii_alphabetic())
            .next()
            .unwrap_or("");
        match name {
            "include" | "extends" | "import" | "from" | "block" if close == b"%}" => {
                let start = end - inner.len();
                let message = format!("`{name}` is not supported: a body template stands alone");
                return Err(refused(start..start + name.len(), message));
            }
            "raw" if close == b"%}" => {
                let rest = text.get(end..).unwrap_or("");
                at = end + rest.find("endraw").unwrap_or(rest.len());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The byte after a tag's closing sign, which does not count inside a string; the end of the text
/// where there is none.
fn end_of_tag(bytes: &[u8], start: usize, close: &[u8]) -> usize {
    let mut quote = None;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if open == byte => quote = None,
            (None, b'"' | b'\'') if close != b"#}" => quote = Some(byte),
            (None, _) if bytes.get(at..).is_some_and(|rest| rest.starts_with(close)) => {
                return at + close.len();
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

impl BodyError {
    fn new(error: &Error) -> Self {
        let too_long = std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<io::Error>())
            .map(ToString::to_string);
        let message = too_long.unwrap_or_else(|| match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        });
        Self {
            message,
            line: error.line(),
            range: error.range(),
        }
    }
}

/// Keeps what is written, up to the limit.
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RENDERED_BYTES {
            let message = format!("the result is longer than {MAX_RENDERED_BYTES} bytes");
            return Err(io::Error::other(message));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(name: &str, text: &str, data: &Value) -> Result<String, String> {
        let mut bodies = Bodies::new();
        let added = bodies.add(name, text);
        let rendered = added.and_then(|()| bodies.render(name, data));
        rendered.map_err(|e| format!("{}: {}", e.line.unwrap_or(0), e.message))
    }

    fn check(name: &str, text: &str, data: &Value, expected: Result<&str, &str>) {
        match (render(name, text, data), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            (Err(found), Err(expected)) => {
                assert!(found.contains(expected), "{text}: {found}");
            }
            (found, expected) => panic!("{text}: {found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn renders_strictly_and_escapes_markup() {
        let data = json!({"name": "<b>&", "items": [{"n": 1}, {"n": 2}]});
        check("a.html", "{{ name }}", &data, Ok("&lt;b&gt;&amp;"));
        check("A.HTML", "{{ name }}", &data, Ok("&lt;b&gt;&amp;"));
        check("a.txt", "{{ name }}", &data, Ok("<b>&"));
        check(
            "a.txt",
            "{% for i in items %}{{ i.n }};{% endfor %}",
            &data,
            Ok("1;2;"),
        );
        check("a.txt", "\n{{ nobody }}", &data, Err("2: undefined value"));
        check(
            "a.txt",
            "{{ items[0].x }}",
            &data,
            Err("1: undefined value"),
        );
        check("a.txt", "{% if %}", &data, Err("1: syntax error"));
        check(
            "a.txt",
            "a\n{%- include 'b' %}",
            &data,
            Err("2: `include` is not supported"),
        );
        check(
            "a.txt",
            "{% for i in [1] %}{% extends 'b' %}",
            &data,
            Err("1: `extends` is not"),
        );
        check(
            "a.txt",
            "{# {% include 'b' %} #}{% set from = 1 %}{{ from }}",
            &data,
            Ok("1"),
        );
        check(
            "a.txt",
            "{% raw %}{% include 'b' %}{% endraw %}",
            &data,
            Ok("{% include 'b' %}"),
        );
    }

    #[test]
    fn ends_what_would_not_end() {
        let nested = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        check("a.txt", nested, &json!({}), Err("out of fuel"));
        let long = json!({"text": "x".repeat(1 << 20)});
        let doubled = "{% for a in range(99) %}{{ text }}{% endfor %}";
        check("a.txt", doubled, &long, Err("longer than 16777216 bytes"));
    }

    /// Three quarters of what the binary's worker threads have.
    #[test]
    fn deep_templates_fit_the_stack_of_a_worker_thread() {
        let run = || {
            for n in [10, 100, 680, 1000, 10_000] {
                for text in [
                    format!("{{{{ {}1{} }}}}", "(".repeat(n), ")".repeat(n)),
                    format!("{{{{ {}1{} }}}}", "[".repeat(n), "]".repeat(n)),
                    format!("{{{{ 1{} }}}}", "+1".repeat(n)),
                    format!("{{{{ {}1 }}}}", "not ".repeat(n)),
                    format!("{{{{ name{} }}}}", "|upper".repeat(n)),
                    format!("{{{{ name{} }}}}", "[0]".repeat(n)),
                    format!("{}{}", "{% if true %}".repeat(n), "{% endif %}".repeat(n)),
                ] {
                    let rendered = render("a.html", &text, &json!({"name": "x"}));
                    assert!(n > 10 || rendered.is_ok() || text.contains("[0]"), "{text}");
                    let mut bodies = Bodies::new();
                    if bodies.add("a", &text).is_ok() {
                        bodies.variables("a");
                    }
                }
            }
        };
        std::thread::Builder::new()
            .stack_size(6 << 20)
            .spawn(run)
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn knows_what_it_reads() {
        let mut bodies = Bodies::new();
        let text = "{% for s in signers %}{{ s.name }}{{ loop.index }}{% endfor %}{{ document.name }}\
                    {{ range(3) }}{% set x = title %}{{ x }}";
        bodies.add("a", text).unwrap();
        let found: Vec<String> = bodies.variables("a").into_iter().collect();
        assert_eq!(found, ["document.name", "signers", "title"]);
    }
}
