//! Tries the policy: what it lets through, what it refuses, and the remedy that it names.

use proptest::prelude::*;

use super::*;

const ALICE: &str = "GET https://graph.test/v1.0/users/contracts%40contoso.example/messages";

fn rule(text: &str) -> RequestRule {
    let (method, url) = text.split_once(' ').unwrap();
    RequestRule {
        method: method.to_owned(),
        url: url.to_owned(),
    }
}

fn scope(mailboxes: Option<&[&str]>) -> Arc<Scope> {
    let endpoint = |name: &str, base: &str| {
        let is_graph = name == "graph";
        Endpoint::new(
            name.to_owned(),
            Url::parse(base).unwrap(),
            is_graph,
            is_graph,
        )
    };
    Arc::new(Scope {
        connection: "contracts".to_owned(),
        endpoints: vec![
            endpoint("graph", "https://graph.test"),
            endpoint("local", "http://localhost:8080"),
            endpoint("nested", "https://api.test/base/v2"),
            endpoint("outlook", "https://outlook.test"),
        ],
        own: Some("Svc@contoso.example".to_owned()),
        is_per_user: false,
        mailboxes: mailboxes.map(|list| list.iter().map(|&name| name.to_owned()).collect()),
        ids: Arc::default(),
    })
}

fn policy(grants: &[&str], mailboxes: Option<&[&str]>) -> Policy {
    let grants: Vec<_> = grants.iter().map(|text| rule(text)).collect();
    Policy::new("exchange", &grants, Some(scope(mailboxes))).unwrap()
}

fn decide(policy: &Policy, request: &str) -> Result<Allowed, GateError> {
    let (method, url) = request.split_once(' ').unwrap();
    policy.check(method, url)
}

#[track_caller]
fn allows(policy: &Policy, request: &str, mailbox: Option<&str>) {
    match decide(policy, request) {
        Ok(allowed) => assert_eq!(allowed.mailbox.as_deref(), mailbox, "{request}"),
        Err(error) => panic!("{request}: {error}"),
    }
}

#[track_caller]
fn denies(policy: &Policy, request: &str, remedy: &str) {
    match decide(policy, request) {
        Err(GateError::Denied { remedy: found, .. }) => {
            assert!(found.contains(remedy), "{request}: {found}");
        }
        other => panic!("{request}: {other:?}"),
    }
}

#[test]
fn grant_and_binding_must_both_allow() {
    let policy = policy(
        &[
            "GET {graph}/v1.0/users/{mailbox}/messages",
            "POST {graph}/v1.0/users/{mailbox}/sendMail",
        ],
        Some(&["contracts@contoso.example"]),
    );
    allows(&policy, ALICE, Some("contracts@contoso.example"));
    allows(
        &policy,
        &format!("{ALICE}?$top=1&$filter=a%20eq%20'b'"),
        Some("contracts@contoso.example"),
    );
    allows(
        &policy,
        "GET https://graph.test/v1.0/users/CONTRACTS@Contoso.Example/messages",
        Some("contracts@contoso.example"),
    );
    denies(
        &policy,
        "GET https://graph.test/v1.0/users/anna@contoso.example/messages",
        "add `anna@contoso.example` to mailboxes under connections.contracts in docket.yaml",
    );
    denies(
        &policy,
        "DELETE https://graph.test/v1.0/users/contracts@contoso.example/messages/AAMkAD1=",
        "add `- \"DELETE {graph}/v1.0/users/{mailbox}/messages/*\"` under plugins.exchange.grants in docket.yaml",
    );
    denies(
        &policy,
        &ALICE.replace("GET", "POST"),
        "POST {graph}/v1.0/users/{mailbox}/messages",
    );
    let found = decide(&policy, &ALICE.replace("GET", "get"));
    assert!(matches!(found, Err(GateError::Invalid(_))), "{found:?}");
    denies(
        &policy,
        &ALICE.replace("https://graph.test", "https://graph.test:8443"),
        "https://graph.test:8443/**",
    );
    denies(
        &policy,
        &ALICE.replace("graph.test", "graph.test.evil.test"),
        "graph.test.evil.test/**",
    );
    denies(
        &policy,
        &ALICE.replace("graph.test", "xn--raph-yqa.test"),
        "plugins.exchange.grants",
    );
}

#[test]
fn dot_segments_are_matched_as_they_are_sent() {
    let policy = policy(
        &["GET {graph}/v1.0/users/{mailbox}/**"],
        Some(&["contracts@contoso.example"]),
    );
    let up = "GET https://graph.test/v1.0/users/contracts@contoso.example/../anna@contoso.example/messages";
    denies(&policy, up, "anna@contoso.example");
    let there = "GET https://graph.test/v1.0/users/x/../contracts@contoso.example/messages";
    let allowed = decide(&policy, there).unwrap();
    assert_eq!(
        allowed.url.as_str(),
        "https://graph.test/v1.0/users/contracts@contoso.example/messages"
    );
}

#[test]
fn no_grant_reaches_past_the_mailbox_list() {
    let policy = policy(
        &[
            "GET {graph}/**",
            "POST https://graph.test/**",
            "GET {graph}/v1.0/users/*/messages",
        ],
        Some(&["contracts@contoso.example"]),
    );
    let remedy = "mailboxes under connections.contracts";
    for request in [
        "GET https://graph.test/v1.0/users/anna@contoso.example/messages",
        "GET https://graph.test/v1.0/USERS/anna@contoso.example/messages",
        "GET https://graph.test/v1.0/%75sers/anna@contoso.example/messages",
        "GET https://graph.test/v1.0/users('anna@contoso.example')/messages",
        "GET https://graph.test/v1.0/users(%27anna@contoso.example%27)/messages",
        "GET https://graph.test/v1.0/Users(id='anna@contoso.example')/messages",
        "GET https://graph.test/v1.0/users/00000000-0000-0000-0000-000000000001/messages",
        "POST https://graph.test/beta/users/anna@contoso.example/sendMail",
        "GET https://graph.test/v1.0/me/messages",
        "GET https://graph.test/v1.0/Me",
        "GET https://graph.test/v1.0/%6De/messages",
    ] {
        denies(&policy, request, remedy);
    }
    for request in [
        "POST https://graph.test/v1.0/$batch",
        "POST https://graph.test/v1.0/%24Batch",
        "POST https://graph.test/v1.0/users/contracts@contoso.example/$batch",
        "GET https://graph.test/v1.0/users/contracts@contoso.example/manager/messages",
        "GET https://graph.test/v1.0/users/contracts@contoso.example/DirectReports/7/messages",
        "GET https://graph.test/v1.0/directoryObjects/7/microsoft.graph.user/messages",
        "GET https://graph.test/v1.0/groups/7/members/graph.User('8')/messages",
        "POST https://graph.test/v1.0/subscriptions",
        "POST https://graph.test/v1.0/Search/query",
    ] {
        denies(&policy, request, "one by one");
    }
    allows(&policy, "GET https://graph.test/v1.0/organization", None);
    allows(
        &policy,
        "GET https://graph.test/v1.0/users('contracts@contoso.example')/messages",
        Some("contracts@contoso.example"),
    );
}

#[test]
fn me_is_the_accounts_own_mailbox() {
    let grants = [
        "GET {graph}/v1.0/me/messages",
        "GET {graph}/v1.0/users/{mailbox}/messages",
    ];
    let own = policy(&grants, None);
    allows(
        &own,
        "GET https://graph.test/v1.0/me/messages",
        Some("svc@contoso.example"),
    );
    allows(
        &own,
        "GET https://graph.test/v1.0/users/svc@contoso.example/messages",
        Some("svc@contoso.example"),
    );
    denies(
        &own,
        ALICE,
        "add `mailboxes: [Svc@contoso.example, contracts@contoso.example]` under connections.contracts",
    );
    let listed = policy(
        &grants,
        Some(&["svc@contoso.example", "contracts@contoso.example"]),
    );
    allows(
        &listed,
        "GET https://graph.test/v1.0/me/messages",
        Some("svc@contoso.example"),
    );
    let other = policy(&grants, Some(&["contracts@contoso.example"]));
    denies(
        &other,
        "GET https://graph.test/v1.0/me/messages",
        "svc@contoso.example",
    );
    let nobody = policy(&grants, Some(&[]));
    denies(&nobody, ALICE, "mailboxes");
}

#[test]
fn tokens_go_to_their_audience_only() {
    let policy = policy(
        &[
            "PUT {outlook}/**",
            "GET {graph}/v1.0/organization",
            "GET https://api.test/**",
            "GET {nested}/x",
        ],
        None,
    );
    for (request, expected) in [
        ("GET https://graph.test/v1.0/organization", true),
        (
            "PUT https://outlook.test/api/v2.0/upload?authtoken=x",
            false,
        ),
        ("GET https://api.test/a", false),
        ("GET https://api.test/base/v2/x", false),
    ] {
        assert_eq!(
            decide(&policy, request).unwrap().takes_token,
            expected,
            "{request}"
        );
    }
    denies(
        &policy,
        "GET https://other.test/base/v2/y",
        "https://other.test/**",
    );
}

#[test]
fn endpoints_with_a_path_hold_what_is_below_them() {
    let policy = policy(&["GET {nested}/x"], None);
    allows(&policy, "GET https://api.test/base/v2/x", None);
    for outside in ["base/v2", "base/v2x/x", "base/x", "x", "base/v2/../x"] {
        denies(
            &policy,
            &format!("GET https://api.test/{outside}"),
            "grants",
        );
    }
}

#[test]
fn plain_http_is_for_endpoints_that_say_so() {
    let policy = policy(
        &["GET {local}/a", "GET {graph}/a", "GET https://api.test/a"],
        None,
    );
    allows(&policy, "GET http://localhost:8080/a", None);
    for url in [
        "http://graph.test/a",
        "http://api.test/a",
        "http://localhost/a",
        "http://127.0.0.1:8080/a",
    ] {
        let found = policy.check("GET", url);
        assert!(
            matches!(found, Err(GateError::Invalid(_))),
            "{url}: {found:?}"
        );
    }
}

#[test]
fn without_a_connection_only_written_origins_match() {
    let grants = [
        rule("GET https://api.test/a"),
        rule("GET {graph}/**"),
        rule("GET https://api.test/u/{mailbox}"),
    ];
    let policy = Policy::new("fetch", &grants, None).unwrap();
    allows(&policy, "GET https://api.test/a", None);
    denies(
        &policy,
        "GET https://graph.test/v1.0/me",
        "plugins.fetch.grants",
    );
    denies(
        &policy,
        "GET https://api.test/u/x",
        "give the step a connection",
    );
}

#[test]
fn denials_show_no_secret() {
    let policy = policy(&["GET {graph}/v1.0/me"], None);
    for request in [
        "PUT https://outlook.test/canary/upload?authtoken=canary",
        "GET https://api.test/canary?key=canary",
        "GET https://graph.test/v1.0/organization?canary",
        "GET https://user:canary@graph.test/",
        "GET https://graph.test/v1.0/organization#canary",
    ] {
        let error = decide(&policy, request).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("canary"), "{text}");
    }
    denies(
        &policy,
        "PUT https://outlook.test/a/b?c",
        "add `- \"PUT {outlook}/**\"`",
    );
}

#[test]
fn a_bad_grant_is_named() {
    let error = Policy::new("exchange", &[rule("GET graph/x")], None).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`GET graph/x`") && text.contains("plugins.exchange.grants"),
        "{text}"
    );
}

proptest! {
    /// However a path is spelt: what passes is about a mailbox of the list, or about none.
    #[test]
    fn nothing_slips_past_the_list(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("users".to_owned()), Just("USERS".to_owned()), Just("me".to_owned()),
                Just("..".to_owned()), Just(".".to_owned()), Just("%75sers".to_owned()),
                Just("anna@contoso.example".to_owned()), Just("contracts@contoso.example".to_owned()),
                Just("users('anna@contoso.example')".to_owned()), Just("messages".to_owned()),
                Just("$batch".to_owned()), Just("".to_owned()), Just("%2e%2e".to_owned()),
                "[a-zA-Z%.;()']{0,6}",
            ],
            0..8,
        )
    ) {
        let policy = policy(&["GET {graph}/**"], Some(&["contracts@contoso.example"]));
        let url = format!("https://graph.test/v1.0/{}", parts.join("/"));
        if let Ok(allowed) = policy.check("GET", &url) {
            prop_assert_eq!(allowed.url.host_str(), Some("graph.test"));
            let sent = segments(&allowed.url).unwrap_or_default().join("/").to_lowercase();
            prop_assert!(!sent.contains("$batch"), "{}", sent);
            let mut segments = sent.split('/');
            let first = segments.find(|segment| {
                *segment == "me" || segment.split('(').next() == Some("users")
            });
            match first {
                Some("users") => {
                    let next = segments.next().unwrap_or_default();
                    prop_assert!(matches!(next, "" | "contracts@contoso.example"), "{}", sent);
                }
                Some(other) => prop_assert!(false, "{} in {}", other, sent),
                None => {}
            }
        }
    }

    #[test]
    fn never_panics(method in any::<String>(), url in any::<String>(), grant in any::<String>()) {
        let _ = Policy::new("p", &[RequestRule { method: method.clone(), url: grant }], None);
        let policy = policy(&["GET {graph}/**"], None);
        let _ = policy.check(&method, &url);
        let _ = policy.check("GET", &format!("https://graph.test/{url}"));
    }
}
