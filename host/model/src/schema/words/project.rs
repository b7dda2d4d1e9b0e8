//! The words of the project file, `docket.yaml`.

use serde_json::{Value, json};

use super::{ADDRESS, Form, NAME, Words, word};
use crate::built_in::BUILT_IN;
use crate::{Cloud, ConnectionKind};

const URL: &str = r"^(https://|http://(127\.0\.0\.1|localhost|\[::1\])([:/]|$))[^\s?#@]*$";
const ORIGIN: &str = r"^(https://[^\s?#@/]+|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?)/*$";
const ENDPOINT: &str = "^[a-z0-9-]+$";
const RANGE: &str = "^[0-9A-Fa-f.:]+/[0-9]{1,3}$";
const GRANT: &str = r"^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) +(\{[a-z0-9-]+\}|https://[^*{}@/\s?#]+)(/[^\s?#%/]+)*\s*$";

/// The project, top level.
pub(crate) static PROJECT: Words = Words {
    name: "project",
    rows: &[
        word(
            "connections",
            Form::Named(NAME, &Form::Mapping(&CONNECTION)),
            "Ways to accounts, by the names that workflows use. Secrets do not stand here: `docket \
             connections add` stores them.",
        ),
        word(
            "plugins",
            Form::Named(NAME, &Form::Mapping(&PLUGIN)),
            "Plugins, by the names that workflows use, with what they are allowed to do.",
        ),
        word(
            "public-url",
            Form::Pattern(ORIGIN),
            "Where people reach `docket serve`: an origin, without a path.",
        ),
        word(
            "sign-in-hook",
            Form::Mapping(&SIGN_IN_HOOK),
            "How people are told that runs wait for their sign-in.",
        ),
        word(
            "signatures",
            Form::Mapping(&SIGNATURES),
            "Whose signatures plugins must have when they are added.",
        ),
    ],
    rules: Some(project_rules),
};

fn project_rules() -> Value {
    json!({
        "properties": {"plugins": {"propertyNames": {"not": {"const": BUILT_IN}}}},
        "dependencies": {"sign-in-hook": ["public-url"]}
    })
}

/// `signatures`.
pub(crate) static SIGNATURES: Words = Words {
    name: "signatures",
    rows: &[
        word(
            "policy",
            Form::OneOf(&["require", "warn", "off"]),
            "What happens to a plugin without a signature by one of the keys: it is refused, it is \
             said, or nothing.",
        ),
        word(
            "keys",
            Form::List(&Form::Text),
            "The files of the public keys, as cosign writes them, from the project's folder.",
        ),
    ],
    rules: Some(|| {
        json!({
            "if": {"required": ["policy"], "properties": {"policy": {"enum": ["require", "warn"]}}},
            "then": {"required": ["keys"], "properties": {"keys": {"minItems": 1}}}
        })
    }),
};

/// `sign-in-hook`.
pub(crate) static SIGN_IN_HOOK: Words = Words {
    name: "sign-in-hook",
    rows: &[
        word(
            "every",
            Form::Duration,
            "How long after one request the next one follows, while runs wait; a day where nothing is \
             said.",
        ),
        word(
            "mail",
            Form::Mapping(&SIGN_IN_MAIL),
            "They are sent a mail.",
        ),
        word(
            "webhook",
            Form::Mapping(&SIGN_IN_WEBHOOK),
            "A server of your own is told, by a signed request (Standard Webhooks).",
        ),
    ],
    rules: Some(|| json!({"oneOf": [{"required": ["mail"]}, {"required": ["webhook"]}]})),
};

/// The mail of `sign-in-hook`.
pub(crate) static SIGN_IN_MAIL: Words = Words {
    name: "sign-in-mail",
    rows: &[
        word(
            "connection",
            Form::Text,
            "The connection that sends it: a service account, or app-only.",
        )
        .required(),
        word(
            "from",
            Form::Pattern(ADDRESS),
            "The mailbox that it is sent from.",
        )
        .required(),
        word(
            "administrator",
            Form::Pattern(ADDRESS),
            "Who is told what a person cannot mend, such as an expired client secret.",
        ),
        word(
            "template",
            Form::Text,
            "The template of its body, from the project's folder.",
        ),
    ],
    rules: None,
};

/// The request of `sign-in-hook`.
pub(crate) static SIGN_IN_WEBHOOK: Words = Words {
    name: "sign-in-webhook",
    rows: &[
        word("url", Form::Pattern(URL), "Where the request goes.").required(),
        word(
            "allow-addresses",
            Form::List(&Form::Pattern(RANGE)),
            "Ranges of private addresses that its host may have, as in 10.1.2.0/24.",
        ),
        word(
            "ca-file",
            Form::Text,
            "A file with certificate authorities to trust beside the system's; PEM.",
        ),
    ],
    rules: None,
};

/// A connection.
pub(crate) static CONNECTION: Words = Words {
    name: "connection",
    rows: &[
        word(
            "kind",
            Form::Listed(kinds),
            "`service-account` (an administrator signs one account in), `per-user` (everybody signs \
             in for themselves) or `app-only` (the application acts by itself).",
        )
        .required(),
        word(
            "tenant",
            Form::Pattern("^[A-Za-z0-9.-]*[.-][A-Za-z0-9.-]*$"),
            "The directory (tenant) in Entra ID: its id, or one of its domains.",
        ),
        word(
            "client-id",
            Form::Text,
            "The application (client) id of the app registration.",
        )
        .required(),
        word(
            "account",
            Form::Pattern(ADDRESS),
            "The service account's user principal name.",
        ),
        word("cloud", Form::Listed(clouds), "Which Microsoft cloud; `global` where nothing is said."),
        word(
            "authority",
            Form::Pattern(URL),
            "The sign-in service, where it is not the cloud's own.",
        ),
        word(
            "provider",
            Form::Mapping(&PROVIDER),
            "Another OAuth 2.0 provider than Entra ID.",
        ),
        word(
            "endpoints",
            Form::Named(ENDPOINT, &Form::Pattern(URL)),
            "Base URLs by the names that plugins use: `graph`, `outlook`.",
        ),
        word(
            "mailboxes",
            Form::List(&Form::Pattern(ADDRESS)),
            "The mailboxes that may be used: these alone, or, where each user signs in, beside the user's own.",
        ),
        word(
            "redirect-uri",
            Form::Pattern(URL),
            "Where sign-ins come back to, as it is registered; loopback where nothing is said.",
        ),
        word(
            "fallback",
            Form::Text,
            "The service account to use where a user has not signed in and a step says `fallback`.",
        ),
        word("limits", Form::Mapping(&LIMITS), "How fast requests may go, for each mailbox."),
        word(
            "allow-addresses",
            Form::List(&Form::Pattern(RANGE)),
            "Ranges of private addresses that its hosts may have, as in 10.1.2.0/24.",
        ),
        word(
            "ca-file",
            Form::Text,
            "A file with certificate authorities to trust beside the system's; PEM.",
        ),
    ],
    rules: Some(connection_rules),
};

fn kinds() -> Vec<&'static str> {
    ConnectionKind::ALL
        .iter()
        .map(|kind| kind.as_str())
        .collect()
}

fn clouds() -> Vec<&'static str> {
    Cloud::ALL.iter().map(|cloud| cloud.as_str()).collect()
}

/// What goes with which kind of connection.
fn connection_rules() -> Value {
    let kind = |kinds: &[ConnectionKind]| {
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        json!({"properties": {"kind": {"enum": kinds}}, "required": ["kind"]})
    };
    let others = [ConnectionKind::PerUser, ConnectionKind::AppOnly];
    json!({
        "allOf": [
            {
                "if": kind(&[ConnectionKind::ServiceAccount]),
                "then": {"required": ["account"]}
            },
            {"if": kind(&others), "then": {"properties": {"account": false}}},
            {
                "if": kind(&[ConnectionKind::ServiceAccount, ConnectionKind::AppOnly]),
                "then": {"properties": {"fallback": false}}
            },
            {
                "if": {"required": ["provider"]},
                "then": {"properties": {"tenant": false, "cloud": false, "authority": false}},
                "else": {"required": ["tenant"]}
            }
        ]
    })
}

/// `provider` of a connection.
pub(crate) static PROVIDER: Words = Words {
    name: "provider",
    rows: &[
        word(
            "authorize-url",
            Form::Pattern(URL),
            "Its authorization endpoint (RFC 6749).",
        ),
        word(
            "token-url",
            Form::Pattern(URL),
            "Its token endpoint (RFC 6749).",
        )
        .required(),
        word(
            "device-url",
            Form::Pattern(URL),
            "Its device authorization endpoint (RFC 8628).",
        ),
        word(
            "issuer",
            Form::Pattern(URL),
            "The issuer of its id tokens (OpenID Connect).",
        ),
        word(
            "jwks-url",
            Form::Pattern(URL),
            "Its keys (RFC 7517); goes with `issuer`.",
        ),
        word(
            "token-for",
            Form::List(&Form::Text),
            "The endpoints of the connection that its access tokens may be sent to.",
        )
        .required(),
        word(
            "scopes",
            Form::List(&Form::Text),
            "Scopes that app-only connections ask for, in place of those of the actions.",
        ),
    ],
    rules: Some(|| json!({"dependencies": {"jwks-url": ["issuer"]}})),
};

/// `limits` of a connection.
pub(crate) static LIMITS: Words = Words {
    name: "limits",
    rows: &[
        word(
            "at-a-time",
            Form::Whole(1, 1_000),
            "Requests at the same time on one mailbox; 4 unless it says so, which is what Graph allows.",
        ),
        word(
            "per-10-minutes",
            Form::Whole(1, 10_000_000),
            "Requests in 10 minutes on one mailbox; 10000 unless it says so.",
        ),
        word(
            "upload-mb-per-5-minutes",
            Form::Whole(1, 1_000_000),
            "Megabytes in the bodies of requests in 5 minutes on one mailbox; 150 unless it says so. \
             While it is used up, uploads wait, and a step's `timeout` stands still.",
        ),
    ],
    rules: None,
};

/// A plugin.
pub(crate) static PLUGIN: Words = Words {
    name: "plugin",
    rows: &[
        word(
            "source",
            Form::Text,
            "The component's file, from the project's folder; or where it is fetched from: `https://…` or \
             `oci://registry/repository:tag`.",
        )
        .required(),
        word(
            "grants",
            Form::Either(&[
                Form::OneOf(&["all-requested"]),
                Form::List(&Form::Pattern(GRANT)),
            ]),
            "The requests that it may make, as in `POST {graph}/v1.0/users/{mailbox}/sendMail`, or \
             `all-requested` for all that it asks for.",
        )
        .required(),
    ],
    rules: Some(|| {
        let source = json!({"anyOf": [
            {"not": {"pattern": "://"}},
            {"pattern": "^(https|oci)://"}
        ]});
        json!({"properties": {"source": source}})
    }),
};
