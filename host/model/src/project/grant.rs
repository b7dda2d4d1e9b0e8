//! Grants: `POST {graph}/v1.0/users/{mailbox}/sendMail`.

use crate::reader::Reader;
use crate::yaml::Name;
use crate::{RequestRule, UrlPattern};

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

fn parse(text: &str) -> Result<RequestRule, String> {
    let (method, url) = text.split_once(' ').ok_or("there is no URL")?;
    if !METHODS.contains(&method) {
        return Err("the method is not one of HTTP's, in capitals".to_owned());
    }
    let url = url.trim();
    if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("there are blanks in the URL".to_owned());
    }
    if url.contains(['?', '#']) {
        let problem = "the URL has a query or a fragment; a grant covers every query";
        return Err(problem.to_owned());
    }
    UrlPattern::parse(url)?;
    Ok(RequestRule {
        method: method.to_owned(),
        url: url.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), &str>) {
        let found = parse(text).map(|_| ());
        match (found, expected) {
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
            (found, expected) => assert_eq!(found, expected.map_err(str::to_owned), "{text}"),
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
        check("GET http://example.com/a", Err("start with"));
        check("GET {graph}/a%2fb", Err("plain ASCII"));
        check("GET {graph}/a?b", Err("query"));
        check("GET {graph}/a b", Err("blanks"));
    }
}
