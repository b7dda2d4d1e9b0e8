//! The source over a scripted folder: what each poll gives, and that nothing is missed or given
//! twice, whatever the delta query forgets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use docket_graph_import::GraphImport;
use docket_plugin_sdk::testing::{Sent, TestCall, answer};
use docket_plugin_sdk::{Content, Failure, Plugin, Response};
use serde_json::{Value, json};

const USER: &str = "https://graph.test/v1.0/users/invoices%40contoso.example";
/// 2026-11-21T09:00:00Z in seconds since the epoch; the first poll is then.
const START: i64 = 1_795_251_600;

/// A folder with a delta query.
#[derive(Default)]
struct Folder {
    /// The ids of its messages by when they came, in seconds after the start; and who hides them
    /// from the delta query.
    messages: Vec<(i64, String)>,
    hidden: Vec<String>,
    removed: Vec<String>,
    /// The delta query's tokens: up to which message.
    tokens: BTreeMap<String, usize>,
    loses_tokens: bool,
    is_renamed: bool,
    /// The messages whose bodies the service answers with an error, and whether it does so with all.
    broken: Vec<String>,
    is_down: bool,
    now: i64,
}

impl Folder {
    fn new(messages: usize) -> Rc<RefCell<Self>> {
        let messages = (0..messages).map(|n| (-60, format!("OLD{n}"))).collect();
        Rc::new(RefCell::new(Self {
            messages,
            ..Self::default()
        }))
    }

    fn comes(&mut self, id: &str) {
        self.messages.push((self.now, id.to_owned()));
    }

    fn row(&self, at: i64, id: &str) -> Value {
        let time = START + at - START / 86_400 * 86_400;
        json!({
            "id": id, "subject": format!("Invoice {id}"), "isDraft": id.starts_with("DRAFT"),
            "isRead": false, "hasAttachments": false,
            "from": {"emailAddress": {"address": "billing@fabrikam.example"}},
            "receivedDateTime": format!("2026-11-21T{:02}:{:02}:{:02}Z", time / 3600, time / 60 % 60, time % 60)
        })
    }

    fn handle(&mut self, sent: &Sent) -> Response {
        assert_eq!(sent.method, "GET", "an import must not change anything");
        let (path, query) = sent.url.split_once('?').unwrap_or((&sent.url, ""));
        let path = path.strip_prefix(USER).expect("a URL below the mailbox");
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["mailFolders", "msgfolderroot", "childFolders"] => {
                let is_there = !self.is_renamed && query.contains("Invoices");
                let rows = if is_there {
                    json!([{"id": "INVOICES"}])
                } else {
                    json!([])
                };
                answer(200, &json!({"value": rows}))
            }
            ["mailFolders", "INVOICES", "messages", "delta"] => self.delta(sent, query),
            ["mailFolders", "INVOICES", "messages"] => self.list(query),
            ["messages", id] if self.removed.iter().any(|gone| gone == id) => {
                answer(404, &json!({"error": {"code": "ErrorItemNotFound"}}))
            }
            ["messages", id] if query.contains("$select=id,") => {
                let of = |(_, known): &&(i64, String)| known == id;
                let (at, id) = self.messages.iter().find(of).expect("a message");
                answer(200, &self.row(*at, id))
            }
            ["messages", id] if self.is_down || self.broken.iter().any(|one| one == id) => answer(
                503,
                &json!({"error": {"code": "ServiceUnavailable", "message": "try again"}}),
            ),
            ["messages", _] => answer(
                200,
                &json!({"body": {"contentType": "text", "content": "Hello"}}),
            ),
            ["messages", _, "attachments"] => answer(200, &json!({"value": []})),
            _ => panic!("no such request: {}", sent.url),
        }
    }

    fn delta(&mut self, sent: &Sent, query: &str) -> Response {
        let prefer = sent.header("prefer").unwrap_or_default();
        assert!(
            prefer.starts_with("IdType=\"ImmutableId\", odata.maxpagesize="),
            "{prefer}"
        );
        let page: usize = prefer
            .rsplit('=')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a size");
        let from = match query.split_once("token=") {
            None => {
                assert!(query.contains("changeType=created"), "{query}");
                self.since(query)
            }
            Some((_, token)) => match self.tokens.get(token) {
                Some(at) if !self.loses_tokens => *at,
                _ => {
                    self.loses_tokens = false;
                    return answer(410, &json!({"error": {"code": "SyncStateNotFound"}}));
                }
            },
        };
        let to = (from + page).min(self.messages.len());
        let rows = self.messages[from..to].iter();
        let rows = rows.filter(|(_, id)| !self.hidden.contains(id));
        let mut rows: Vec<_> = rows.map(|(at, id)| self.row(*at, id)).collect();
        rows.push(json!({"id": "GONE", "@removed": {"reason": "deleted"}}));
        let token = format!("T{}", self.tokens.len());
        self.tokens.insert(token.clone(), to);
        let mut body = json!({"value": rows});
        // Links name the mailbox by its directory id.
        let link = "https://graph.test/v1.0/users('7d0c')/mailFolders('INVOICES')/messages/delta";
        if to < self.messages.len() {
            body["@odata.nextLink"] = format!("{link}?$skiptoken={token}").into();
        } else {
            body["@odata.deltaLink"] = format!("{link}?$deltatoken={token}").into();
        }
        answer(200, &body)
    }

    /// The first message that a filter lets through; they are in the order of their times.
    fn since(&self, query: &str) -> usize {
        let (_, since) = query
            .split_once("receivedDateTime%20ge%20")
            .expect("a filter");
        let rows = self.messages.iter().map(|(at, id)| self.row(*at, id));
        let times = rows.map(|row| row["receivedDateTime"].as_str().expect("a time").to_owned());
        let since = since.split('&').next().expect("a time").replace("%3A", ":");
        times.take_while(|time| *time < since).count()
    }

    fn list(&mut self, query: &str) -> Response {
        let size = query.split_once("$top=").expect("a size").1;
        let size: usize = size
            .split('&')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a size");
        let skip = query
            .split_once("$skip=")
            .map_or(0, |(_, n)| n.parse().expect("a number"));
        let from = self.since(query) + skip;
        let to = (from + size).min(self.messages.len());
        let rows = self.messages[from..to].iter();
        let rows: Vec<_> = rows.map(|(at, id)| self.row(*at, id)).collect();
        let mut body = json!({"value": rows});
        if to < self.messages.len() {
            let query = query.split("&$skip").next().expect("a query");
            let skip = skip + size;
            let link = format!("{USER}/mailFolders/INVOICES/messages?{query}&$skip={skip}");
            body["@odata.nextLink"] = link.into();
        }
        answer(200, &body)
    }
}

/// Polls until there is no more, and gives the keys and the cursor.
fn poll(
    folder: &Rc<RefCell<Folder>>,
    change: &Value,
    cursor: Option<String>,
) -> Result<(Vec<String>, String), Failure> {
    let mut input = json!({"mailbox": "invoices@contoso.example", "folder": "Invoices"});
    for (name, value) in change.as_object().expect("an object") {
        input[name] = value.clone();
    }
    let mut cursor = cursor;
    let mut keys = Vec::new();
    for _ in 0..100 {
        let server = Rc::clone(folder);
        let time = START + folder.borrow().now;
        let mut test = TestCall::new("new-messages", &input, move |sent| {
            Ok(server.borrow_mut().handle(sent))
        })
        .with_time(u64::try_from(time * 1000).expect("a time"));
        if let Some(cursor) = &cursor {
            test = test.with_cursor(cursor);
        }
        let output = GraphImport::run(test.call())?;
        let next = output.cursor().expect("a cursor").to_owned();
        assert!(next.len() < 64 << 10, "{} bytes of cursor", next.len());
        let value = output.value();
        for item in value["items"].as_array().expect("items") {
            assert_eq!(item["key"], item["message"]["id"]);
            let key = item["key"].as_str().expect("a key").to_owned();
            keys.push(match item.get("failure") {
                Some(failure) => format!("{key}: {}", failure["code"]),
                None => key,
            });
        }
        cursor = Some(next);
        if value["more"] == false {
            return Ok((keys, cursor.expect("a cursor")));
        }
    }
    panic!("it does not end");
}

#[test]
fn each_message_that_comes_is_given_once() {
    let folder = Folder::new(3);
    let (keys, mut cursor) = poll(&folder, &json!({}), None).expect("polled");
    assert!(
        keys.is_empty(),
        "what was there before is not new: {keys:?}"
    );
    for round in 0..50 {
        folder.borrow_mut().now += 61;
        let ids: Vec<_> = (0..round % 4).map(|n| format!("M{round}-{n}")).collect();
        for id in &ids {
            folder.borrow_mut().comes(id);
        }
        folder.borrow_mut().comes("DRAFT");
        let (keys, next) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
        assert_eq!(keys, ids, "round {round}");
        cursor = next;
    }
}

#[test]
fn what_was_there_is_given_when_asked_for_however_small_the_pages() {
    for limit in [1, 2, 7, 200] {
        let folder = Folder::new(23);
        let change = json!({"since": "2026-11-01", "limit": limit});
        let (keys, cursor) = poll(&folder, &change, None).expect("polled");
        let expected: Vec<_> = (0..23).map(|n| format!("OLD{n}")).collect();
        assert_eq!(keys, expected, "limit {limit}");
        let (keys, _) = poll(&folder, &change, Some(cursor)).expect("polled");
        assert!(keys.is_empty(), "limit {limit}: {keys:?}");
    }
}

#[test]
fn a_delta_query_that_lost_its_place_starts_over_without_giving_anything_twice() {
    let folder = Folder::new(2);
    let (_, cursor) = poll(&folder, &json!({}), None).expect("polled");
    folder.borrow_mut().now += 30;
    folder.borrow_mut().comes("A");
    let (keys, cursor) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
    assert_eq!(keys, ["A"]);
    folder.borrow_mut().now += 30;
    folder.borrow_mut().comes("B");
    folder.borrow_mut().loses_tokens = true;
    let (keys, cursor) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
    assert_eq!(keys, ["B"]);
    let (keys, _) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
    assert!(keys.is_empty(), "{keys:?}");
}

#[test]
fn what_a_delta_query_misses_turns_up_in_the_next_listing() {
    let folder = Folder::new(2);
    let (_, mut cursor) = poll(&folder, &json!({"limit": 2}), None).expect("polled");
    let mut given = Vec::new();
    for minute in 0..40 {
        folder.borrow_mut().now += 60;
        let id = format!("M{minute}");
        folder.borrow_mut().comes(&id);
        if minute % 3 == 0 {
            folder.borrow_mut().hidden.push(id);
        }
        let (keys, next) = poll(&folder, &json!({"limit": 2}), Some(cursor)).expect("polled");
        given.extend(keys);
        cursor = next;
    }
    folder.borrow_mut().now += 1200;
    given.extend(
        poll(&folder, &json!({"limit": 2}), Some(cursor))
            .expect("polled")
            .0,
    );
    given.sort();
    let mut expected: Vec<_> = (0..40).map(|n| format!("M{n}")).collect();
    expected.sort();
    assert_eq!(given, expected);
}

#[test]
fn a_folder_that_is_renamed_is_read_on_and_the_log_says_so() {
    let folder = Folder::new(0);
    let (_, cursor) = poll(&folder, &json!({}), None).expect("polled");
    folder.borrow_mut().now += 30;
    folder.borrow_mut().comes("A");
    folder.borrow_mut().is_renamed = true;
    let (keys, _) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
    assert_eq!(keys, ["A"]);
    let failure = poll(&folder, &json!({}), None).expect_err("never seen");
    assert_eq!(failure.problem().code, "FolderNotFound");
}

#[test]
fn a_message_that_vanishes_between_listing_and_reading_is_left_out() {
    let folder = Folder::new(0);
    let (_, cursor) = poll(&folder, &json!({}), None).expect("polled");
    folder.borrow_mut().now += 30;
    folder.borrow_mut().comes("A");
    folder.borrow_mut().comes("B");
    folder.borrow_mut().removed.push("A".to_owned());
    let (keys, cursor) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
    assert_eq!(keys, ["B"]);
    // It was moved away and comes back: it was not given yet.
    folder.borrow_mut().removed.clear();
    folder.borrow_mut().now += 700;
    let (keys, _) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
    assert_eq!(keys, ["A"]);
}

#[test]
fn a_message_that_cannot_be_read_keeps_no_other_back_and_is_given_with_the_reason() {
    for change in [
        json!({}),
        json!({"attachments": false}),
        json!({"limit": 1}),
    ] {
        let folder = Folder::new(0);
        let (_, mut cursor) = poll(&folder, &change, None).expect("polled");
        folder.borrow_mut().broken.push("A".to_owned());
        for id in ["A", "B"] {
            folder.borrow_mut().comes(id);
        }
        let mut given = Vec::new();
        for minute in 0..100 {
            folder.borrow_mut().now += 60;
            let (keys, next) = poll(&folder, &change, Some(cursor)).expect("polled");
            given.extend(keys.into_iter().map(|key| (minute, key)));
            cursor = next;
        }
        let reason = "A: \"ServiceUnavailable\"".to_owned();
        assert_eq!(given, [(0, "B".to_owned()), (75, reason)], "{change}");
    }
}

#[test]
fn a_message_that_can_be_read_again_is_given_whole() {
    let folder = Folder::new(0);
    let (_, cursor) = poll(&folder, &json!({}), None).expect("polled");
    folder.borrow_mut().broken.push("A".to_owned());
    folder.borrow_mut().comes("A");
    folder.borrow_mut().now += 60;
    let (keys, cursor) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
    assert!(keys.is_empty(), "{keys:?}");
    folder.borrow_mut().broken.clear();
    folder.borrow_mut().now += 299;
    let (keys, cursor) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
    assert!(keys.is_empty(), "it is not time: {keys:?}");
    folder.borrow_mut().now += 1;
    let (keys, cursor) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
    assert_eq!(keys, ["A"]);
    folder.borrow_mut().now += 1200;
    let (keys, _) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
    assert!(keys.is_empty(), "{keys:?}");
}

#[test]
fn an_outage_sends_no_mail_away() {
    let folder = Folder::new(0);
    let (_, mut cursor) = poll(&folder, &json!({}), None).expect("polled");
    folder.borrow_mut().is_down = true;
    let mut given = Vec::new();
    for minute in 0..600 {
        folder.borrow_mut().now += 60;
        if minute == 500 {
            assert!(given.is_empty(), "{given:?}");
            folder.borrow_mut().is_down = false;
        }
        if minute % 30 == 0 {
            folder.borrow_mut().comes(&format!("M{minute}"));
        }
        let (keys, next) = poll(&folder, &json!({}), Some(cursor)).expect("polled");
        given.extend(keys);
        cursor = next;
    }
    given.sort();
    let mut expected: Vec<_> = (0..20).map(|n| format!("M{}", n * 30)).collect();
    expected.sort();
    assert_eq!(given, expected);
}

#[test]
fn more_than_can_be_set_aside_is_waited_for() {
    let folder = Folder::new(0);
    let (_, cursor) = poll(&folder, &json!({}), None).expect("polled");
    folder.borrow_mut().is_down = true;
    for number in 0..101 {
        folder.borrow_mut().comes(&format!("M{number}"));
    }
    let failure = poll(&folder, &json!({}), Some(cursor)).expect_err("down");
    assert!(matches!(failure, Failure::Unavailable(_)), "{failure:?}");
}

#[test]
fn a_delta_answer_that_leads_nowhere_or_is_no_json_moves_no_cursor() {
    for body in ["{\"value\": []}", "{\"value\": [", "<html>", ""] {
        let folder = Folder::new(0);
        let input = json!({"mailbox": "invoices@contoso.example", "folder": "Invoices"});
        let test = TestCall::new("new-messages", &input, move |sent| {
            let mut found = folder.borrow_mut().handle(sent);
            if sent.url.contains("/delta?") {
                found.body = Content::Inline(body.into());
            }
            Ok(found)
        });
        let failure = GraphImport::run(test.call()).expect_err("no answer");
        assert!(
            matches!(failure, Failure::Unavailable(_)),
            "{body}: {failure:?}"
        );
    }
}

#[test]
fn a_cursor_of_another_version_is_refused() {
    for cursor in ["", "{}", "{\"version\": 2}", "nonsense"] {
        let failure = poll(&Folder::new(0), &json!({}), Some(cursor.to_owned()));
        let failure = failure.expect_err("refused");
        assert_eq!(failure.problem().code, "UnknownCursor", "{cursor}");
        assert!(failure.problem().remedy.is_some());
    }
}

#[test]
fn only_what_is_wanted_is_given() {
    let folder = Folder::new(0);
    let change = json!({"subject": "invoice b", "from": "@fabrikam.example"});
    let (_, cursor) = poll(&folder, &change, None).expect("polled");
    folder.borrow_mut().now += 30;
    folder.borrow_mut().comes("A");
    folder.borrow_mut().comes("B");
    let (keys, _) = poll(&folder, &change, Some(cursor)).expect("polled");
    assert_eq!(keys, ["B"]);
}
