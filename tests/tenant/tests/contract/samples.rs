//! Replays Microsoft's documented exchanges: every documented property must be answered.
//!
//! The samples are not part of the repository; without them there is nothing to replay.

use std::collections::BTreeMap;

use docket_tenant::{Recipient, SeedMail};
use reqwest::Method;
use serde_json::Value;

use crate::client::{ANNA, SERVICE, World, mail};
use crate::description::shared;

/// Exchanges that are not replayed as they stand, and why.
const SKIPPED: &[(&str, &str)] = &[
    (
        "s04",
        "its MIME is from another tenant's user, covered by replies_and_mime",
    ),
    (
        "s49",
        "needs a right that only its tenant has, covered by rights_decide_who_is_seen",
    ),
    (
        "s60",
        "asks for groups, covered by batches_answer_each_part",
    ),
    (
        "s12",
        "covered by attachments_of_every_kind: MIME has no JSON shape",
    ),
    ("s17", "destinationId is a placeholder; the answer is s16's"),
    ("s39", "the page's JSON is malformed"),
    ("s44", "subscriptions are not simulated"),
    ("s45", "upload origin, covered by uploads"),
    ("s46", "upload origin, covered by uploads"),
    ("s48", "upload origin, covered by uploads"),
    (
        "s52",
        "token of another tenant, covered by delta_follows_a_folder",
    ),
    (
        "s53",
        "token of another tenant, covered by delta_follows_a_folder",
    ),
    (
        "s54",
        "token of another tenant, covered by delta_follows_a_folder",
    ),
    ("s58", "needs an access policy, covered by app_only"),
    (
        "s59",
        "a throttled answer, covered by refusals_carry_their_headers",
    ),
];

/// Statuses that the page's text, or the field, corrects.
const CORRECTED: &[(&str, u16)] = &[("s37", 201), ("s56", 400)];

fn samples() -> Option<Vec<Value>> {
    let text = shared("samples.jsonl")?;
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

/// Ids of this tenant to put in place of the documented ones.
struct Ids {
    draft: String,
    received: String,
    attachments: BTreeMap<&'static str, String>,
    folder: String,
}

async fn prepare(world: &World) -> Ids {
    let draft = world.post("/me/messages", &mail("sample", ANNA), 201).await;
    let message = draft["id"].as_str().unwrap().replace('=', "%3D");
    let seed = SeedMail::text(
        SERVICE,
        Recipient::of("a@fabrikam.example"),
        "received",
        "text",
    );
    let received = world
        .tenant
        .state()
        .add_message(&seed)
        .unwrap()
        .replace('=', "%3D");
    let property = "String {66f5a359-4659-4830-9070-00047ec6ac6e} Name Color";
    let property =
        serde_json::json!({"singleValueExtendedProperties": [{"id": property, "value": "Green"}]});
    let stamped = world
        .graph(Method::PATCH, &format!("/me/messages/{received}"))
        .json(&property);
    assert_eq!(stamped.send().await.unwrap().status().as_u16(), 200);
    let mut attachments = BTreeMap::new();
    let path = format!("/me/messages/{message}/attachments");
    for (kind, body) in [
        (
            "file",
            serde_json::json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": "a.docx", "contentBytes": "QUJD"}),
        ),
        (
            "item",
            serde_json::json!({"@odata.type": "#microsoft.graph.itemAttachment", "name": "m",
            "item": {"@odata.type": "#microsoft.graph.message", "subject": "inner",
                "from": {"emailAddress": {"address": "a@b.example"}}, "sender": {"emailAddress": {"address": "a@b.example"}},
                "toRecipients": [{"emailAddress": {"address": "a@b.example"}}],
                "attachments": [{"@odata.type": "#microsoft.graph.fileAttachment", "name": "Info.pdf", "contentBytes": "JVBERi0="}]}}),
        ),
        (
            "reference",
            serde_json::json!({"@odata.type": "#microsoft.graph.referenceAttachment", "name": "r.docx", "contentType": "text/plain"}),
        ),
    ] {
        let made = world.post(&path, &body, 201).await;
        attachments.insert(kind, made["id"].as_str().unwrap().replace('=', "%3D"));
    }
    let folder = world.get("/me/mailFolders/inbox").await["id"]
        .as_str()
        .unwrap()
        .replace('=', "%3D");
    Ids {
        draft: message,
        received,
        attachments,
        folder,
    }
}

/// The documented path with this tenant's ids.
fn localise(id: &str, path: &str, ids: &Ids) -> String {
    let path = path
        .strip_prefix("https://graph.microsoft.com")
        .unwrap_or(path);
    let path = path.replace("/api/v1.0", "").replace("/v1.0", "");
    let (path, query) = path
        .split_once('?')
        .map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
    let kind = match id {
        "s27" | "s28" => "item",
        "s29" => "reference",
        _ => "file",
    };
    let path = path.replace("('", "/").replace("')", "");
    let mut out = Vec::new();
    let mut before = String::new();
    for part in path.split('/') {
        let part = match before.to_ascii_lowercase().as_str() {
            "messages" if part != "delta" && wants_received(id, &path) => ids.received.clone(),
            "messages" if part != "delta" => ids.draft.clone(),
            "attachments" if part != "createUploadSession" => ids.attachments[kind].clone(),
            "mailfolders"
                if part.len() > 3 && part != "delta" && !part.eq_ignore_ascii_case("inbox") =>
            {
                ids.folder.clone()
            }
            "users" => ANNA.to_owned(),
            _ => part.to_owned(),
        };
        before.clone_from(&part);
        out.push(part);
    }
    let path = out
        .join("/")
        .replace("/Users/anna@contoso.example", "/me")
        .trim_end_matches('/')
        .to_owned();
    query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"))
}

/// Whether the exchange is about mail that arrived, as against a draft.
fn wants_received(id: &str, path: &str) -> bool {
    !matches!(id, "s13" | "s15") && !path.to_ascii_lowercase().contains("/attachments")
}

/// Documented properties that are missing from the answer.
fn missing(documented: &Value, answered: &Value, at: &str, out: &mut Vec<String>) {
    match (documented, answered) {
        (Value::Object(documented), Value::Object(answered)) => {
            for (name, value) in documented {
                // Annotations of other services, and links that only full pages have.
                if name.contains("@odata.id")
                    || name.contains("@odata.nextLink")
                    || name.contains("Link")
                    || (name.ends_with("@odata.context") && name != "@odata.context")
                {
                    continue;
                }
                match answered.get(name) {
                    Some(other) => missing(value, other, &format!("{at}/{name}"), out),
                    None => out.push(format!("{at}/{name}")),
                }
            }
        }
        (Value::Array(documented), Value::Array(answered)) => {
            if let (Some(documented), Some(answered)) = (documented.first(), answered.first()) {
                missing(documented, answered, &format!("{at}[]"), out);
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn documented_exchanges_are_answered_in_shape() {
    let Some(samples) = samples() else { return };
    let mut problems = Vec::new();
    for sample in samples {
        let id = sample["id"].as_str().unwrap();
        if SKIPPED.iter().any(|(skipped, _)| *skipped == id) {
            continue;
        }
        let mut world = World::contoso().await;
        world.token = world.token_for(
            Some(SERVICE),
            &[
                "Mail.ReadWrite",
                "Mail.Send",
                "Mail.ReadWrite.Shared",
                "Mail.Send.Shared",
                "User.Read.All",
            ],
        );
        let ids = prepare(&world).await;
        let method: Method = sample["method"].as_str().unwrap().parse().unwrap();
        let path = localise(id, sample["path"].as_str().unwrap(), &ids);
        let mut request = world.graph(method, &path);
        for (name, value) in sample["request_headers"].as_object().into_iter().flatten() {
            if !name.eq_ignore_ascii_case("content-length") {
                request = request.header(name, value.as_str().unwrap());
            }
        }
        request = match &sample["request_body"] {
            // The documentation cuts its MIME short; base64 comes in fours.
            Value::String(text) => {
                let whole: String = text
                    .chars()
                    .filter(|letter| !letter.is_whitespace() && *letter != '.')
                    .collect();
                let is_mime =
                    sample["request_headers"].to_string().contains("text/plain") && id != "s55";
                request.body(if is_mime {
                    whole[..whole.len() / 4 * 4].to_owned()
                } else {
                    text.clone()
                })
            }
            Value::Null => request,
            json => request.json(json),
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let corrected = CORRECTED
            .iter()
            .find(|(other, _)| *other == id)
            .map(|(_, status)| *status);
        let expected = corrected
            .or(sample["response_status"]
                .as_u64()
                .map(|status| status as u16))
            .unwrap_or(200);
        let text = answer.text().await.unwrap();
        if status != expected {
            problems.push(format!(
                "{id} {path}: {status} instead of {expected}: {text}"
            ));
            continue;
        }
        if sample["response_body"].is_object() && corrected.is_none_or(|status| status < 400) {
            let answered = serde_json::from_str(&text).unwrap_or(Value::Null);
            let mut lost = Vec::new();
            missing(&sample["response_body"], &answered, "", &mut lost);
            if !lost.is_empty() {
                problems.push(format!("{id} {path}: missing {lost:?}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
