//! Just enough HTML for bodies: text out of HTML, HTML out of text, and escaping.

/// Readable text of an HTML body.
pub(crate) fn to_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        push_text(&mut text, &rest[..open]);
        rest = &rest[open..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let end = rest.find('>').map_or(rest.len(), |end| end + 1);
        let tag = rest[..end]
            .trim_matches(['<', '>', '/'])
            .to_ascii_lowercase();
        let name = tag.split([' ', '\t', '\r', '\n', '/']).next().unwrap_or("");
        let is_closing = rest.starts_with("</");
        rest = &rest[end..];
        match name {
            "style" | "script" | "title" if !is_closing => {
                let closing = format!("</{name}");
                let lower = rest.to_ascii_lowercase();
                rest = lower.find(&closing).map_or("", |at| &rest[at..]);
            }
            "br" | "p" | "div" | "tr" | "li" | "h1" | "h2" | "h3"
                if !text.is_empty() && !text.ends_with('\n') =>
            {
                text.push_str("\r\n");
            }
            "td" => text.push(' '),
            _ => {}
        }
    }
    push_text(&mut text, rest);
    text.trim().to_owned()
}

/// Appends a run of character data with white space folded and entities read.
fn push_text(text: &mut String, run: &str) {
    let mut rest = run;
    while let Some(letter) = rest.chars().next() {
        if letter.is_whitespace() {
            if !text.is_empty() && !text.ends_with([' ', '\n']) {
                text.push(' ');
            }
            rest = rest.trim_start();
            continue;
        }
        if letter == '&'
            && let Some((entity, after)) = rest[1..].split_once(';')
            && let Some(meant) = entity_value(entity)
        {
            text.push(meant);
            rest = after;
            continue;
        }
        text.push(letter);
        rest = &rest[letter.len_utf8()..];
    }
}

fn entity_value(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

/// `text` safe inside HTML text and double-quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// An HTML body out of a text body, as Exchange answers when HTML is asked for.
pub(crate) fn from_text(text: &str) -> String {
    format!(
        "<html><head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\"></head><body>\r\n{}\r\n</body></html>",
        escape(text).replace("\r\n", "<br>\r\n")
    )
}

/// HTML without what Exchange strips unless `outlook.allow-unsafe-html` is asked for.
pub(crate) fn without_scripts(html: &str) -> String {
    let mut safe = html.to_owned();
    for tag in ["script", "object", "embed", "applet"] {
        let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
        while let Some(start) = safe.to_ascii_lowercase().find(&open) {
            let end = safe[start..]
                .to_ascii_lowercase()
                .find(&close)
                .map_or(safe.len(), |found| start + found + close.len());
            safe.replace_range(start..end, "");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_html() {
        let check = |html: &str, expected: &str| assert_eq!(to_text(html), expected, "{html}");
        check("They were <b>awesome</b>!", "They were awesome!");
        check(
            "<html><head><title>x</title><style>p{}</style></head><body><p>One</p><p>Two &amp; &#8364;3</p></body></html>",
            "One\r\nTwo & €3",
        );
        check("a<!-- hidden -->b <script>alert(1)</script>c", "ab c");
        check("broken < tag", "broken");
        check("&unknown; & co", "&unknown; & co");
    }

    #[test]
    fn scripts_are_stripped() {
        assert_eq!(
            without_scripts("<p>a</p><SCRIPT>x()</script>b"),
            "<p>a</p>b"
        );
        assert_eq!(without_scripts("<script>never closed"), "");
    }
}
