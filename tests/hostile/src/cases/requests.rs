//! Asking for what was not granted: URLs, methods, headers, mailboxes, tokens.

use serde_json::{Value, json};

use super::{act, ask, ask_tenant, plain, signed};
use crate::case::{Case, Expect};

const GRAPH: &str = "{graph}/v1.0";
const ANNA: &str = "anna@contoso.example";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = urls();
    cases.extend(heads());
    cases.extend(mailboxes());
    cases.extend(tokens());
    cases
}

fn urls() -> Vec<Case> {
    let invalid = || Expect::Refused(&["invalid: "]);
    vec![
        ask(
            "userinfo",
            "puts a user name before the host",
            plain(&[
                "https://user:pass@audience.test:{port}/",
                "https://audience.test@evil.test:{port}/",
                "https://audience.test:{port}@evil.test/",
                "https://@audience.test:{port}/",
            ]),
            Expect::Refused(&["a user name or a password"]),
        ),
        ask(
            "dot-segments",
            "climbs out of its path",
            plain(&[
                "{audience}/a/%2e%2e/b",
                "{audience}/a/.%2E/b",
                "{audience}/a/..;x=1/b",
                "{audience}/a/%252e%252e/b",
            ]),
            invalid(),
        ),
        ask(
            "encoded-slashes",
            "hides slashes from one of two readers",
            plain(&[
                "{audience}/a%2fb",
                "{audience}/a%2Fb",
                "{audience}/a%5cb",
                "{audience}/a%255cb",
                "{audience}//a",
                "{audience}/a//b",
            ]),
            invalid(),
        ),
        ask(
            "backslashes",
            "writes backslashes for slashes",
            plain(&[
                "https://audience.test:{port}\\@evil.test/",
                "{audience}/a\\..\\b",
                "https:\\\\evil.test\\",
            ]),
            Expect::Refused(&["backslash", "not absolute"]),
        ),
        ask(
            "fragments",
            "cuts its URL with a fragment",
            plain(&[
                "{audience}/a#b",
                "https://evil.test#@audience.test/",
                "{audience}/#",
            ]),
            Expect::Refused(&["fragment"]),
        ),
        ask(
            "absolute-form",
            "puts another URL into its path",
            plain(&[
                "{audience}/https://evil.test/",
                "{audience}/http:%2f%2fevil.test/",
            ]),
            invalid(),
        ),
        ask(
            "relative",
            "leaves out the host",
            plain(&[
                "/v1.0/me",
                "//evil.test/",
                "v1.0/me",
                "",
                "https:/evil.test/",
                "https:evil.test",
            ]),
            invalid(),
        ),
        ask(
            "look-alikes",
            "writes a host in letters that look alike",
            plain(&[
                "https://аudience.test:{port}/",
                "https://ａudience.test:{port}/",
                "https://audience。test:{port}/",
                "https://audience.test\u{200b}:{port}/",
                "https://xn--udience-3fg.test:{port}/",
                "https://audıence.test/",
            ]),
            Expect::Refused(&["outside ASCII", "denied: ", "is not valid"]),
        ),
        ask(
            "host-spellings",
            "writes a host as nobody sends it",
            plain(&[
                "https://audience.test.:{port}/",
                "https://%61udience.test:{port}/",
                "https://2130706433:{port}/",
                "https://0x7f.1:{port}/",
                "https://127.1:{port}/",
                "https://[0:0:0:0:0:0:0:1]/",
                "https://audience.test:0{port}/",
            ]),
            invalid(),
        ),
        ask(
            "ports",
            "tries other ports of a granted host",
            plain(&[
                "https://audience.test/",
                "https://audience.test:1/",
                "https://audience.test:99999/",
                "https://audience.test:/",
            ]),
            Expect::Refused(&["denied: ", "invalid: "]),
        ),
        ask(
            "schemes",
            "speaks another protocol",
            plain(&[
                "http://audience.test:{port}/",
                "file:///etc/passwd",
                "ftp://audience.test/",
                "gopher://audience.test/",
                "data:text/plain,x",
                "javascript:alert(1)",
                "unix:///run/docker.sock",
                "blob:https://audience.test/x",
            ]),
            invalid(),
        ),
        ask(
            "line-breaks",
            "puts a request into its URL",
            plain(&[
                "{audience}/a\r\nHost: evil.test",
                "{audience}/a b",
                "{audience}/\u{0}",
                "{audience}/a%0d%0aX:y",
                "{audience}/\t",
            ]),
            invalid(),
        ),
        ask(
            "long-url",
            "sends a URL of 20 KiB",
            plain(&[&format!("{{audience}}/{}", "a".repeat(20_000))]),
            Expect::Refused(&["longer than"]),
        ),
        ask(
            "ungranted-host",
            "asks a host that it was not granted",
            [
                signed(&["{evil}/take"]),
                plain(&[
                    "{evil}/",
                    "https://audience.test.evil.test:{port}/",
                    "https://granted.test/",
                ]),
            ]
            .concat(),
            Expect::Refused(&[
                "denied: ",
                "under plugins.probe.grants",
                "sending the token",
            ]),
        ),
        ask(
            "names-that-lead-inside",
            "uses granted names that resolve to loopback, private and metadata addresses",
            plain(&[
                "https://loop.test:{port}/",
                "https://private.test/",
                "https://metadata.test/latest/meta-data/",
                "https://six.test/",
                "https://mapped.test/",
                "https://zero.test/",
                "https://nat.test/",
            ]),
            Expect::Refused(&["not a public address"]),
        ),
        ask(
            "addresses-inside",
            "dials addresses of the host's own network",
            plain(&[
                "https://169.254.169.254/latest/meta-data/",
                "https://[::1]/",
            ]),
            Expect::Refused(&["not a public address"]),
        ),
    ]
}

/// A request with one header.
fn with_header(name: &str, value: &str) -> Value {
    json!({"url": "{audience}/ok", "headers": [[name, value]]})
}

fn heads() -> Vec<Case> {
    let own = [
        "Authorization",
        "AUTHORIZATION",
        "authorization",
        "Host",
        "hOsT",
        "Cookie",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Keep-Alive",
        "Expect",
        "Proxy-Authorization",
        "Proxy-Connection",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "Forwarded",
        "Via",
        "Sec-Fetch-Site",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Accept-Encoding",
        "HTTP2-Settings",
    ];
    let overrides = [
        "X-HTTP-Method-Override",
        "x-http-method",
        "X-METHOD-OVERRIDE",
    ];
    let method = |method: &str| json!({"method": method, "url": "{audience}/ok"});
    let many: Vec<_> = (0..65).map(|n| (format!("X-{n}"), "v")).collect();
    vec![
        ask(
            "own-headers",
            "sets headers that are the host's, in several spellings",
            own.iter()
                .map(|name| with_header(name, "evil.test"))
                .collect(),
            Expect::Refused(&["denied: Denied { what: \"the header "]),
        ),
        ask(
            "method-override",
            "turns a GET into a DELETE by a header",
            overrides
                .iter()
                .map(|name| with_header(name, "DELETE"))
                .collect(),
            Expect::Refused(&["denied: Denied { what: \"the header "]),
        ),
        ask(
            "header-smuggling",
            "breaks lines in names and values",
            vec![
                with_header("X-A", "b\r\nAuthorization: Bearer x"),
                with_header("X-A", "b\nHost: evil.test"),
                with_header("X-A", "b\rc"),
                with_header("X-A", "b\u{0}c"),
                with_header("X-A\r\nHost", "evil.test"),
                with_header("Host ", "evil.test"),
                with_header(" Authorization", "x"),
                with_header("authorization:", "x"),
                with_header("", "x"),
                with_header("X A", "y"),
                with_header("authorizatioń", "x"),
            ],
            Expect::Refused(&["is not valid"]),
        ),
        ask(
            "many-headers",
            "sends 65 headers",
            vec![json!({"url": "{audience}/ok", "headers": many})],
            Expect::Refused(&["more than 64 headers"]),
        ),
        ask(
            "long-headers",
            "sends a header of 40 KiB",
            vec![with_header("X-Long", &"x".repeat(40_000))],
            Expect::Refused(&["more than 32768 bytes"]),
        ),
        ask(
            "methods",
            "uses methods that are none, or that turn the server into a proxy or a mirror",
            [
                "get",
                "GE T",
                "",
                "GET\r\nX: y",
                "CONNECT",
                "TRACE",
                "PROPFIND",
                "OPTIONS",
                "GETGETGETGETGETGET",
            ]
            .iter()
            .map(|name| method(name))
            .collect(),
            Expect::Refused(&["invalid: ", "denied: "]),
        ),
        ask(
            "body-of-get",
            "hides a body in a GET",
            vec![json!({"url": "{audience}/ok", "body": "GET /evil HTTP/1.1\r\n\r\n"})],
            Expect::Refused(&["GET with a body"]),
        ),
        act(
            "posts-side-by-side",
            "sends what is not repeatable side by side",
            (
                "fetch-all",
                json!({"requests": [{"method": "POST", "url": "{audience}/ok"}, {"url": "{audience}/ok"}]}),
            ),
            Expect::Refused(&["only repeatable requests"]),
        ),
        act(
            "too-many-side-by-side",
            "sends 17 requests at once",
            (
                "fetch-all",
                json!({"requests": [{"url": "{audience}/ok"}], "times": 17}),
            ),
            Expect::Refused(&["more than 16 requests"]),
        ),
    ]
}

fn mailboxes() -> Vec<Case> {
    let at = |path: &str| format!("{GRAPH}/{path}");
    let spellings = [
        format!("users/{ANNA}/messages"),
        format!("users/{}/messages", ANNA.to_uppercase()),
        format!("Users/{ANNA}/messages"),
        format!("users('{ANNA}')/messages"),
        format!("users(userPrincipalName='{ANNA}')/messages"),
        format!("users/{}/messages", ANNA.replace('@', "%40")),
        "users/%61nna@contoso.example/messages".to_owned(),
        format!("users/{ANNA}%20/messages"),
        format!("users/contracts@contoso.example/../{ANNA}/messages"),
        format!("USERS/{ANNA}/mailFolders/inbox/messages"),
        "users/00000000-0000-0000-0000-000000000001/messages".to_owned(),
        "users/contracts@contoso.example,anna@contoso.example/messages".to_owned(),
        "users/contracts@contoso.example.evil.test/messages".to_owned(),
        "me/messages".to_owned(),
        "ME/messages".to_owned(),
        "%6de/messages".to_owned(),
    ];
    let urls: Vec<String> = spellings.iter().map(|path| at(path)).collect();
    let spelled = signed(&urls.iter().map(String::as_str).collect::<Vec<_>>());
    let unsigned: Vec<Value> = urls.iter().map(|url| json!({"url": url})).collect();
    let batch = json!({"requests": [{"id": "1", "method": "GET", "url": format!("/users/{ANNA}/messages")}]}).to_string();
    let post = |path: &str, body: &str| {
        json!({"method": "POST", "url": at(path), "token": true, "body": body,
            "headers": [["Content-Type", "application/json"]]})
    };
    let bind = json!({"subject": "x", "sender@odata.bind": format!("https://graph.microsoft.com/v1.0/users/{ANNA}")}).to_string();
    vec![
        ask_tenant(
            "mailbox-spellings",
            "spells a mailbox that is not allowed in every way",
            spelled,
            Expect::Refused(&["denied: Denied { what: \"the mailbox "]),
        ),
        ask_tenant(
            "mailbox-without-token",
            "asks for the same without the token",
            unsigned,
            Expect::Refused(&["denied: Denied { what: \"the mailbox "]),
        ),
        ask_tenant(
            "batch",
            "hides requests in a batch",
            vec![
                post("$batch", &batch),
                post("%24batch", &batch),
                post("$BATCH", &batch),
                post("users/contracts@contoso.example/$batch", &batch),
            ],
            Expect::Refused(&["whose mailbox it is about"]),
        ),
        ask_tenant(
            "hidden-mailboxes",
            "names the mailbox where the policy does not look",
            [
                vec![post("search/query", "{}"), post("subscriptions", "{}")],
                signed(&[
                    &at("users/contracts@contoso.example/manager/messages"),
                    &at("users/contracts@contoso.example/directReports/7/messages"),
                    &at("directoryObjects/7/microsoft.graph.user/messages"),
                    &at("groups/7/members/8/Microsoft.Graph.User/messages"),
                ]),
            ]
            .concat(),
            Expect::Refused(&["whose mailbox it is about"]),
        ),
        ask_tenant(
            "odata-bind",
            "binds another mailbox in a body",
            vec![post("users/contracts@contoso.example/messages", &bind)],
            Expect::Answers(&["!anna"]),
        ),
    ]
}

fn tokens() -> Vec<Case> {
    let upload = |path: &str| json!({"url": format!("{{audience}}{path}"), "token": true, "seal": ["/uploadUrl"]});
    let sealed = |token: bool| json!({"url": "sealed:0-0-0", "token": token});
    vec![
        ask(
            "token-elsewhere",
            "sends the token to granted hosts that are not its audience",
            signed(&["{files}/take", "{granted}/take", "{evil}/take"]),
            Expect::Refused(&["sending the token", "denied: "]),
        ),
        ask(
            "token-by-upload-url",
            "sends the token to an upload URL",
            vec![upload("/upload"), sealed(true)],
            Expect::Answers(&[
                "status 200",
                "invalid: Invalid(\"a sealed URL holds its own secret",
            ]),
        ),
        ask(
            "upload-url-elsewhere",
            "has an upload URL made that leads to an ungranted host",
            vec![upload("/upload/evil"), sealed(false)],
            Expect::Answers(&["status 200", "denied: "]),
        ),
        ask(
            "sealed-of-others",
            "guesses sealed URLs of other answers and attempts",
            plain(&[
                "sealed:0-0-0",
                "sealed:1-0-0",
                "sealed:",
                "SEALED:0-0-0",
                "sealed:case-1/step/0-0-0",
            ]),
            Expect::Refused(&["no sealed URL of this attempt", "not absolute"]),
        ),
        ask(
            "sealed-echo",
            "has a server repeat the sealed URL that it was asked by",
            vec![upload("/upload"), sealed(false)],
            Expect::Answers(&["status 200", "!authtoken"]),
        ),
        ask(
            "sealed-into-document",
            "has the answer with the upload URL stored as a document",
            vec![
                json!({"url": "{audience}/upload", "token": true, "seal": ["/uploadUrl"], "document": "u.json"}),
            ],
            Expect::Refused(&["only an inline answer can be sealed"]),
        ),
        ask(
            "seals",
            "asks to seal what is no member",
            vec![json!({"url": "{audience}/upload", "seal": ["uploadUrl"]})],
            Expect::Refused(&["no JSON Pointer"]),
        ),
    ]
}
