//! Servers that conspire with the plugin, or are as bad as it is.

use serde_json::{Value, json};

use super::{ask, plain, signed};
use crate::case::{Case, Expect};

/// What the host says where an answer repeats the token.
const REPEATED: &[&str] = &["repeats the account's token"];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = echoes();
    cases.extend(redirects());
    cases.extend(malformed());
    cases
}

fn echoes() -> Vec<Case> {
    let echo = |name, tries, path: &str| {
        ask(
            name,
            tries,
            signed(&[&format!("{{audience}}/echo/{path}")]),
            Expect::Refused(REPEATED),
        )
    };
    let document = |path: &str| json!({"url": format!("{{audience}}/echo/{path}"), "token": true, "document": "echo.bin"});
    vec![
        echo(
            "echo-body",
            "has the token's audience repeat it in the body",
            "body",
        ),
        echo("echo-error", "has it repeated in an error", "error"),
        echo("echo-header", "has it repeated in a header", "header"),
        echo("echo-base64", "has it repeated in base64", "base64"),
        echo("echo-hex", "has it repeated in hexadecimal", "hex"),
        echo("echo-half", "has half of it repeated", "half"),
        echo(
            "echo-chunks",
            "has it repeated in chunks of five bytes",
            "chunks",
        ),
        ask(
            "echo-coded",
            "has it repeated in a compressed body",
            signed(&["{audience}/echo/coded"]),
            Expect::Refused(&["Content-Encoding", "repeats the account's token"]),
        ),
        ask(
            "echo-document",
            "has it repeated into a document",
            vec![document("body"), document("chunks"), document("base64")],
            Expect::Refused(REPEATED),
        ),
        ask(
            "echo-location",
            "has it put into a redirect to a granted host",
            signed(&["{audience}/echo/location"]),
            Expect::Refused(REPEATED),
        ),
        ask(
            "echo-later",
            "has it repeated in the answer to a later request without it",
            [
                signed(&["{audience}/ok"]),
                plain(&["{audience}/echo/last", "{files}/echo/last"]),
            ]
            .concat(),
            Expect::Answers(&[
                "status 200",
                "repeats the account's token",
                "repeats the account's token",
            ]),
        ),
    ]
}

fn redirects() -> Vec<Case> {
    let to = |status: u16, target: &str| {
        let encoded = target.replace('%', "%25");
        json!({"url": format!("{{audience}}/redirect/{status}?{encoded}"), "token": true})
    };
    let every = |target: &str| -> Vec<Value> {
        [301, 302, 303, 307, 308]
            .iter()
            .map(|status| to(*status, target))
            .collect()
    };
    let denied = || Expect::Refused(&["the redirect from", "denied: ", "invalid: "]);
    let post =
        json!({"method": "POST", "url": "{audience}/redirect/307?{files}/take", "token": true});
    vec![
        ask(
            "redirect-ungranted",
            "is sent on to a host that it was not granted",
            every("{evil}/take"),
            denied(),
        ),
        ask(
            "redirect-downgrade",
            "is sent on to plain http",
            every("http://audience.test:{port}/take"),
            denied(),
        ),
        ask(
            "redirect-loopback",
            "is sent on to this machine",
            [
                every("https://127.0.0.1:{port}/take"),
                every("https://loop.test:{port}/take"),
            ]
            .concat(),
            Expect::Refused(&["the redirect from", "not a public address"]),
        ),
        ask(
            "redirect-metadata",
            "is sent on to the cloud's metadata",
            [
                every("https://169.254.169.254/latest/"),
                every("https://metadata.test/latest/"),
                every("https://private.test/"),
            ]
            .concat(),
            Expect::Refused(&["the redirect from", "not a public address"]),
        ),
        ask(
            "redirect-userinfo",
            "is sent on to URLs that two readers read in two ways",
            [
                "https://audience.test:{port}@evil.test/",
                "//evil.test:{port}/",
                "/\\evil.test/",
                "{audience}/a%2f..%2fb",
                "file:///etc/passwd",
                "javascript:alert(1)",
                "https://EVIL.test.:{port}/",
            ]
            .iter()
            .map(|target| to(302, target))
            .collect(),
            Expect::Refused(&["denied: ", "invalid: ", "a redirect to nowhere"]),
        ),
        ask(
            "redirect-loop",
            "is sent in circles",
            vec![to(302, "")],
            Expect::Refused(&["more than 5 redirects"]),
        ),
        ask(
            "redirect-granted",
            "is sent on to a granted host, which must not get the token",
            vec![to(302, "{files}/echo/last")],
            Expect::Refused(REPEATED),
        ),
        ask(
            "redirect-post",
            "is sent on with a POST",
            vec![post],
            Expect::Answers(&["status 307"]),
        ),
    ]
}

fn malformed() -> Vec<Case> {
    let document = |path: &str| json!({"url": format!("{{audience}}{path}"), "document": "x.bin"});
    let interrupted = || Expect::Refused(&["interrupted: "]);
    vec![
        ask(
            "compressed-bomb",
            "is answered with a compressed bomb",
            [plain(&["{audience}/bomb"]), vec![document("/bomb")]].concat(),
            Expect::Refused(&["Content-Encoding"]),
        ),
        ask(
            "endless-answer",
            "is answered without end",
            [plain(&["{audience}/endless"]), vec![document("/endless")]].concat(),
            Expect::Refused(&["too-large: "]),
        ),
        ask(
            "slow-head",
            "is answered a byte of a header at a time",
            plain(&["{audience}/slow"]),
            Expect::Refused(&["no whole answer within"]),
        ),
        ask(
            "slow-body",
            "is answered a byte of a body at a time",
            plain(&["{audience}/slow-body"]),
            Expect::Refused(&["no whole answer within"]),
        ),
        ask(
            "many-answer-headers",
            "is answered with 10,000 headers",
            plain(&["{audience}/headers"]),
            interrupted(),
        ),
        ask(
            "huge-answer-header",
            "is answered with a header of 2 MiB",
            plain(&["{audience}/huge-header"]),
            interrupted(),
        ),
        ask(
            "cut-answer",
            "is answered with less than was said",
            [plain(&["{audience}/cut"]), vec![document("/cut")]].concat(),
            interrupted(),
        ),
        ask(
            "two-lengths",
            "is answered with two lengths",
            plain(&["{audience}/two-lengths"]),
            interrupted(),
        ),
        ask(
            "split-answer",
            "is answered twice, to poison the connection",
            plain(&["{audience}/split", "{audience}/ok"]),
            Expect::Answers(&["!another request", "!another request"]),
        ),
        ask(
            "cookies",
            "is given a cookie and a challenge",
            plain(&["{audience}/cookie"]),
            Expect::Answers(&["!set-cookie"]),
        ),
    ]
}
