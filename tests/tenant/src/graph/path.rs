//! Graph paths: both spellings of keys, names without case, the version prefix off.

use percent_encoding::percent_decode_str;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Decoded, as written: ids are case-sensitive.
    pub(crate) raw: String,
    /// Lower case, for names.
    pub(crate) name: String,
}

/// The decoded path below `/v1.0`, or `None` when it is not a Graph path.
///
/// `mailFolders('Inbox')` reads as two steps, `delta()` and `microsoft.graph.delta()` as `delta`.
pub(crate) fn parse(path: &str) -> Option<Vec<Segment>> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let version = parts.next()?;
    if !version.eq_ignore_ascii_case("v1.0") {
        return None;
    }
    let mut segments = Vec::with_capacity(8);
    for part in parts {
        let decoded = percent_decode_str(part).decode_utf8_lossy().into_owned();
        match decoded.split_once('(') {
            Some((name, key)) if key.ends_with(')') && !name.is_empty() => {
                segments.push(step(name));
                let key = &key[..key.len() - 1];
                if !key.is_empty() {
                    segments.push(step(&key.trim_matches('\'').replace("''", "'")));
                }
            }
            _ => segments.push(step(&decoded)),
        }
    }
    Some(segments)
}

/// What follows the user in `/v1.0/users/{user}/…` or `/v1.0/users('{user}')/…`, as it was sent.
pub(crate) fn below_user(path: &str) -> Option<&str> {
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    let (_, user) = (slashes.next()?, slashes.next()?);
    let key = path.get(user + 1..)?;
    let is_key = key
        .get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("users/"));
    let is_call = key
        .get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("users("));
    let end = if is_key {
        slashes.nth(1)?
    } else if is_call {
        slashes.next()?
    } else {
        return None;
    };
    path.get(end..)
}

fn step(text: &str) -> Segment {
    let name = text.to_ascii_lowercase();
    let name = name
        .strip_prefix("microsoft.graph.")
        .map(str::to_owned)
        .unwrap_or(name);
    Segment {
        raw: text.to_owned(),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_user() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(below_user(path), expected, "{path}");
        };
        check("/v1.0/users/a@b/messages/x", Some("/messages/x"));
        check("/v1.0/users('a%40b')/messages", Some("/messages"));
        check("/v1.0/me/messages", None);
        check("/v1.0/users", None);
        check("/", None);
    }

    #[test]
    fn both_spellings() {
        let check = |path: &str, expected: Option<&[&str]>| {
            let names = parse(path)
                .map(|steps| steps.into_iter().map(|step| step.name).collect::<Vec<_>>());
            assert_eq!(
                names,
                expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
                "{path}"
            );
        };
        check(
            "/v1.0/me/mailFolders('Inbox')/messages/delta()",
            Some(&["me", "mailfolders", "inbox", "messages", "delta"]),
        );
        check(
            "/v1.0/users/a%40b/messages/x%2Fy=/",
            Some(&["users", "a@b", "messages", "x/y="]),
        );
        check(
            "/v1.0/me/microsoft.graph.sendMail",
            Some(&["me", "sendmail"]),
        );
        check("/common/oauth2/v2.0/token", None);
        check("/", None);
    }
}
