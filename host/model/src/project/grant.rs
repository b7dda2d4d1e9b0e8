//! Grants: `POST {graph}/v1.0/users/{mailbox}/sendMail`.

use crate::RequestRule;
use crate::reader::Reader;
use crate::yaml::Name;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

pub(super) fn read(reader: &mut Reader<'_>, text: &Name) -> Option<RequestRule> {
    match parse(&text.text) {
        Ok(rule) => Some(rule),
        Err(problem) => {
            let message = format!("`{}` is no grant: {problem}", text.text);
            let help =
                "write a method and a URL, as in `POST {graph}/v1.0/users/{mailbox}/sendMail`";
            reader.invalid(text.span, message, help);
            None
        }
    }
}

fn parse(text: &str) -> Result<RequestRule, &'static str> {
    let (method, url) = text.split_once(' ').ok_or("there is no URL")?;
    if !METHODS.contains(&method) {
        return Err("the method is not one of HTTP's, in capitals");
    }
    let url = url.trim();
    if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("there are blanks in the URL");
    }
    if url.contains(['?', '#']) {
        return Err("the URL has a query or a fragment; a grant covers every query");
    }
    let path = match url.strip_prefix('{') {
        Some(endpoint) => {
            let (name, path) = endpoint.split_once('}').ok_or("a brace is not closed")?;
            let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || name == "mailbox" || !name.chars().all(is_letter) {
                return Err("the URL must begin with an endpoint in braces, or with https://");
            }
            path
        }
        None => {
            let rest = url
                .strip_prefix("https://")
                .ok_or("the URL must begin with an endpoint in braces, or with https://")?;
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if host.is_empty() || host.contains(['*', '{', '}', '@']) {
                return Err("the host must be written out");
            }
            path
        }
    };
    path_problem(path).map_or_else(
        || {
            Ok(RequestRule {
                method: method.to_owned(),
                url: url.to_owned(),
            })
        },
        Err,
    )
}

fn path_problem(path: &str) -> Option<&'static str> {
    let Some(path) = path.strip_prefix('/') else {
        return (!path.is_empty()).then_some("a `/` must follow the host or the endpoint");
    };
    let segments: Vec<&str> = path.split('/').collect();
    for (at, segment) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        let problem = match *segment {
            "*" | "{mailbox}" => None,
            "**" if is_last => None,
            "**" => Some("`**` stands only at the end"),
            "." | ".." => Some("the path must be plain"),
            "" => Some("a segment of the path is empty"),
            part if part.contains(['{', '}', '*']) => {
                Some("`*` and `{mailbox}` are whole segments of the path")
            }
            // The policy compares decoded segments of the normalised URL.
            part if !part.bytes().all(|byte| byte.is_ascii_graphic())
                || part.contains(['%', '\\']) =>
            {
                Some("a segment of the path is plain ASCII, without `%` and `\\`")
            }
            _ => None,
        };
        if problem.is_some() {
            return problem;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), &str>) {
        let found = parse(text).map(|_| ());
        match (found, expected) {
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
            (found, expected) => assert_eq!(found, expected, "{text}"),
        }
    }

    #[test]
    fn reads_rules() {
        check("POST {graph}/v1.0/users/{mailbox}/sendMail", Ok(()));
        check("GET {graph}/v1.0/users/{mailbox}/messages/*/$value", Ok(()));
        check("PUT {outlook}/**", Ok(()));
        check("GET https://example.com/a/*", Ok(()));
        check("GET https://example.com", Ok(()));
        check("GET", Err("no URL"));
        check("get {graph}/a", Err("in capitals"));
        check("FETCH {graph}/a", Err("one of HTTP's"));
        check("GET http://example.com/a", Err("begin with"));
        check("GET /a", Err("begin with"));
        check("GET {mailbox}/a", Err("begin with"));
        check("GET {graph/a", Err("not closed"));
        check("GET {graph}x", Err("must follow"));
        check("GET https://*.example.com/a", Err("written out"));
        check("GET https://a@example.com/", Err("written out"));
        check("GET https:///a", Err("written out"));
        check("GET {graph}/**/a", Err("only at the end"));
        check("GET {graph}/a*", Err("whole segments"));
        check("GET {graph}/{user}", Err("whole segments"));
        check("GET {graph}/../a", Err("plain"));
        check("GET {graph}//a", Err("empty"));
        check("GET https://example.com/", Err("empty"));
        check("GET https://example.com/a%20b", Err("plain ASCII"));
        check("GET https://example.com/ä", Err("plain ASCII"));
        check("GET {graph}/a?b", Err("query"));
        check("GET {graph}/a b", Err("blanks"));
    }
}
