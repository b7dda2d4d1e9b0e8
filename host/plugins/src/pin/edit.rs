//! Writes a plugin into `docket.yaml` and leaves every other line as it is, comments included.
//!
//! The file is changed by lines, and read again: unless the project is then the same but for that
//! plugin's source, nothing is written and the lines to write by hand are shown.

use docket_model::{Grants, Project, SourceFile, parse_project};

/// Why a plugin is not written into the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No project can have a plugin of this name or source, for this reason.
    #[error("{0}")]
    Invalid(String),
    /// The file is written in a way that is not safe to change; this is to be written by hand.
    #[error("docket.yaml is written in a way that is not safe to change by machine")]
    Unsafe(String),
}

impl EditError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Invalid(_) => "give it another name with --as".to_owned(),
            Self::Unsafe(by_hand) => {
                format!("write this by hand, and add the plugin again:\n{by_hand}")
            }
        }
    }
}

/// The text of `docket.yaml` with this source for a plugin: its line is changed, or the plugin is
/// added, with all that it asks for granted.
///
/// # Errors
/// [`EditError`].
pub fn set_source(text: &str, plugin: &str, source: &str) -> Result<String, EditError> {
    let quoted = quoted(source);
    let entry = |indent: &str| {
        format!(
            "{indent}{plugin}:\n{indent}{indent}source: {quoted}\n{indent}{indent}grants: all-requested\n"
        )
    };
    let alone = format!("plugins:\n{}", entry("  "));
    let file = SourceFile::new("docket.yaml", alone.as_str());
    if let Some(problem) = parse_project(&file).1.into_iter().next() {
        return Err(EditError::Invalid(problem.message));
    }
    let by_hand = || EditError::Unsafe(alone.clone());
    let before = read(text).ok_or_else(by_hand)?;
    let changed = if before.plugins.contains_key(plugin) {
        replace(text, plugin, &quoted)
    } else {
        Some(add(text, &entry))
    };
    let changed = changed.ok_or_else(by_hand)?;
    let mut after = read(&changed).ok_or_else(by_hand)?;
    let is_there = after
        .plugins
        .get(plugin)
        .is_some_and(|spec| spec.source.as_os_str() == source);
    // But for this plugin's source, and for where plugins stand, they must be the same.
    let mut before = before;
    let old_grants = before.plugins.remove(plugin).map(|spec| spec.grants);
    let new_grants = after.plugins.remove(plugin).map(|spec| spec.grants);
    let spans = |project: &mut Project| {
        for spec in project.plugins.values_mut() {
            spec.span = docket_model::Span { start: 0, end: 0 };
        }
    };
    spans(&mut before);
    spans(&mut after);
    let is_granted =
        old_grants.unwrap_or(Grants::AllRequested) == new_grants.unwrap_or(Grants::AllRequested);
    if is_there && is_granted && before == after {
        Ok(changed)
    } else {
        Err(by_hand())
    }
}

fn read(text: &str) -> Option<Project> {
    if text.trim().is_empty() {
        return Some(Project::default());
    }
    parse_project(&SourceFile::new("docket.yaml", text.to_owned())).0
}

/// A plain YAML scalar where that is safe, else a quoted one (JSON's strings are YAML's).
fn quoted(text: &str) -> String {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':' | '@');
    let is_word = text.chars().all(is_plain)
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '.')
        && !text.ends_with(':');
    if is_word {
        return text.to_owned();
    }
    serde_json::to_string(text).unwrap_or_default()
}

fn add(text: &str, entry: &dyn Fn(&str) -> String) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let head = lines.iter().position(|line| {
        let line = line.trim_end();
        line == "plugins:"
            || line
                .strip_prefix("plugins:")
                .is_some_and(|rest| rest.trim_start().starts_with('#'))
    });
    let Some(head) = head else {
        let mut text = text.to_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        return format!("{text}plugins:\n{}", entry("  "));
    };
    // Indented as the first plugin is.
    let rest = &lines[head + 1..];
    let first = rest.iter().find(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let indent = first.map_or(0, |line| line.len() - line.trim_start_matches(' ').len());
    let indent = " ".repeat(if indent == 0 { 2 } else { indent });
    // After the last line of the block: before what begins at the margin, and before the comments and
    // blank lines that belong to that.
    let length = rest
        .iter()
        .position(|line| line.starts_with(|c: char| !c.is_whitespace() && c != '#'))
        .unwrap_or(rest.len());
    let length = rest[..length]
        .iter()
        .rposition(|line| line.starts_with(' ') && !line.trim().is_empty())
        .map_or(0, |last| last + 1);
    let at = head + 1 + length;
    let needs_end = at > 0 && !lines[at - 1].ends_with('\n');
    let entry = entry(&indent);
    let entry = if needs_end {
        format!("\n{entry}")
    } else {
        entry
    };
    lines.insert(at, &entry);
    lines.concat()
}

/// Changes the first `source:` line under the plugin's own line.
fn replace(text: &str, plugin: &str, quoted: &str) -> Option<String> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let head = lines
        .iter()
        .position(|line| line.trim_end() == "plugins:")?;
    let own = format!("{plugin}:");
    let at = (head + 1..lines.len()).find(|at| lines[*at].trim() == own)?;
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let depth = indent(&lines[at]);
    for line in &mut lines[at + 1..] {
        let is_blank = line.trim().is_empty() || line.trim_start().starts_with('#');
        if !is_blank && indent(line) <= depth {
            return None;
        }
        if line.trim_start().starts_with("source:") {
            let start = " ".repeat(indent(line));
            *line = format!("{start}source: {quoted}\n");
            return Some(lines.concat());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, plugin: &str, source: &str, expected: &str) {
        assert_eq!(set_source(text, plugin, source).as_deref(), Ok(expected));
    }

    #[test]
    fn adds_and_changes_and_touches_nothing_else() {
        check(
            "",
            "chat",
            "chat.wasm",
            "plugins:\n  chat:\n    source: chat.wasm\n    grants: all-requested\n",
        );
        check(
            "# Ours.\nplugins:\n    # The mail.\n    exchange:\n        source: x.wasm # here\n        grants: []\n\n# After.\nconnections: {}",
            "chat",
            "my plugins/chat.wasm",
            "# Ours.\nplugins:\n    # The mail.\n    exchange:\n        source: x.wasm # here\n        grants: []\n    chat:\n        source: \"my plugins/chat.wasm\"\n        grants: all-requested\n\n# After.\nconnections: {}",
        );
        check(
            "plugins:\n  exchange:\n    grants: []\n    source: x.wasm\n",
            "exchange",
            "oci://registry.example/x:1",
            "plugins:\n  exchange:\n    grants: []\n    source: oci://registry.example/x:1\n",
        );
        check(
            "plugins:\n  a:\n    source: a.wasm\n    grants: []",
            "b",
            "/b.wasm",
            "plugins:\n  a:\n    source: a.wasm\n    grants: []\n  b:\n    source: /b.wasm\n    grants: all-requested\n",
        );
    }

    #[test]
    fn shows_what_to_write_where_it_is_not_safe() {
        for text in [
            "plugins: {exchange: {source: x.wasm, grants: []}}\n",
            "plugins: {}\n",
            "plugins:\n- broken",
        ] {
            let error = set_source(text, "chat", "chat.wasm").unwrap_err();
            assert!(error.help().contains("source: chat.wasm"), "{error:?}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_name() {
        for (name, expected) in [
            ("Bad Name", "cannot be the name of a plugin"),
            ("wait", "no plugin can be called `wait`"),
            ("a: {}\n  b", ""),
        ] {
            let error = set_source("plugins: {}\n", name, "chat.wasm").unwrap_err();
            assert!(matches!(error, EditError::Invalid(_)), "{name}: {error:?}");
            assert!(error.to_string().contains(expected), "{name}: {error}");
        }
    }
}
