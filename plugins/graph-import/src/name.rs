//! Names and media types that strangers chose, made fit for documents.

/// The longest name, in bytes. File systems take 255, and somebody may want to put a date before it.
const LONGEST: usize = 200;
/// The longest ending that is kept when a name is cut, in bytes.
const LONGEST_ENDING: usize = 16;

/// What an unusable media type becomes.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// A file name without path, control, or direction-changing characters, which make `exe.pdf` of
/// `fdp.exe`. The ending survives where the name is cut.
pub(crate) fn clean(name: &str) -> String {
    let replaced: String = name
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| {
            if c.is_control() || "/\\:*?\"<>|".contains(c) {
                '_'
            } else {
                c
            }
        })
        .collect();
    let trimmed = replaced.trim().trim_end_matches(['.', ' ']);
    if trimmed.trim_matches('.').is_empty() {
        return "attachment".to_owned();
    }
    if trimmed.len() <= LONGEST {
        return trimmed.to_owned();
    }
    let ending = Some(ending_of(trimmed)).filter(|ending| ending.len() <= LONGEST_ENDING);
    let ending = ending.unwrap_or_default();
    let mut room = LONGEST - ending.len();
    while !trimmed.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{ending}", trimmed[..room].trim_end())
}

/// Bidirectional controls, zero-width characters, and the byte order mark (Unicode TR 36).
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{061c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// The same name with that ending, unless it has it.
pub(crate) fn with_ending(name: &str, ending: &str) -> String {
    if ending_of(name).eq_ignore_ascii_case(ending) {
        name.to_owned()
    } else {
        format!("{name}{ending}")
    }
}

/// The ending with its dot; empty where there is none.
pub(crate) fn ending_of(name: &str) -> &str {
    name.rfind('.').map_or("", |at| &name[at..])
}

/// A media type in lower case and without parameters.
pub(crate) fn media_type(text: Option<&str>) -> String {
    let bare = text.unwrap_or_default().split(';').next();
    let bare = bare.unwrap_or_default().trim().to_ascii_lowercase();
    let is_token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let is_type = bare
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    if is_type {
        bare
    } else {
        UNKNOWN_TYPE.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_ending_and_lose_their_tricks() {
        for (name, expected) in [
            ("INV-2041.pdf", "INV-2041.pdf"),
            ("Rechnung Müller & Söhne.pdf", "Rechnung Müller & Söhne.pdf"),
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("C:\\temp\\a.pdf", "C__temp_a.pdf"),
            ("a\r\nb\u{7}.pdf", "a__b_.pdf"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("zero\u{200b}width.pdf", "zerowidth.pdf"),
            ("  report.pdf. . ", "report.pdf"),
            ("", "attachment"),
            ("..", "attachment"),
            (" . ", "attachment"),
        ] {
            assert_eq!(clean(name), expected, "{name:?}");
        }
    }

    #[test]
    fn long_names_are_cut_before_their_ending() {
        for (name, expected) in [
            (
                format!("{}.pdf", "a".repeat(300)),
                format!("{}.pdf", "a".repeat(196)),
            ),
            (
                format!("{}.pdf", "ä".repeat(300)),
                format!("{}.pdf", "ä".repeat(98)),
            ),
            (
                format!("{}.pdf", "€".repeat(300)),
                format!("{}.pdf", "€".repeat(65)),
            ),
            ("😀".repeat(300), "😀".repeat(50)),
            (
                format!("a.{}", "b".repeat(300)),
                format!("a.{}", "b".repeat(198)),
            ),
        ] {
            assert_eq!(clean(&name), expected);
        }
    }

    #[test]
    fn media_types_are_bare_or_unknown() {
        for (text, expected) in [
            (Some("application/pdf"), "application/pdf"),
            (Some("Text/Plain; charset=utf-8"), "text/plain"),
            (Some("application/vnd.ms-excel"), "application/vnd.ms-excel"),
            (Some("pdf"), UNKNOWN_TYPE),
            (Some("a/b/c"), UNKNOWN_TYPE),
            (Some("a/b\r\nx: y"), UNKNOWN_TYPE),
            (Some(""), UNKNOWN_TYPE),
            (None, UNKNOWN_TYPE),
        ] {
            assert_eq!(media_type(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_ending_is_added_once() {
        assert_eq!(with_ending("Fwd: offer", ".eml"), "Fwd: offer.eml");
        assert_eq!(with_ending("offer.EML", ".eml"), "offer.EML");
        assert_eq!(ending_of("archive.tar.gz"), ".gz");
        assert_eq!(ending_of("none"), "");
    }
}
