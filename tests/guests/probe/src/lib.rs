//! A guest that misbehaves on request: what the sandbox is tested and measured with.
//!
//! Each action does one thing, most of them things that no plugin should do.

use docket_plugin_sdk::{
    Action, Call, DocumentRef, Failure, HttpError, Manifest, Output, Plugin, Problem, Response,
    export_plugin,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The plugin.
pub struct Probe;

#[derive(Deserialize, Clone)]
struct Fetch {
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    #[serde(default)]
    token: bool,
    #[serde(default)]
    repeatable: bool,
    #[serde(default)]
    seal: Vec<String>,
    document: Option<String>,
    #[serde(default)]
    nowhere: bool,
}

#[derive(Deserialize)]
struct Count {
    count: u64,
}

impl Plugin for Probe {
    fn manifest() -> Manifest {
        let any = || json!({"type": "object"});
        let everything = |action: Action| {
            ["GET", "POST", "PUT", "PATCH", "DELETE"]
                .into_iter()
                .fold(action, |action, method| {
                    action.request(method, "{graph}/**", "Tests send what they like.")
                })
        };
        let actions = [
            Action::new("echo", "Returns its input."),
            Action::new("spin", "Never ends."),
            Action::new("eat-memory", "Takes memory until there is none."),
            Action::new("recurse", "Calls itself until the stack ends."),
            Action::new("trap", "Executes `unreachable`."),
            Action::new("panic", "Panics with the text of `message`."),
            Action::new("index", "Reads past the end of a list."),
            Action::new("wrong-output", "Returns text where its schema says number.")
                .output(json!({"type": "number"})),
            Action::new("nonsense", "Returns what is no JSON."),
            Action::new("forge", "Returns a document that it was never given."),
            Action::new("fail", "Fails with the case that `class` names."),
            Action::new("report", "Reports its progress `count` times."),
            Action::new("log", "Logs `count` lines."),
            Action::new("huge", "Returns `count` bytes of text."),
            everything(Action::new(
                "fetch",
                "Sends the requests in `requests`, one by one.",
            )),
            everything(Action::new(
                "fetch-all",
                "Sends the requests in `requests` side by side.",
            )),
            Action::new("write", "Makes a document of `text`, named `name`."),
            Action::new("read", "Reads the document `document` as text."),
            Action::new(
                "claim",
                "Returns a document by the `digest` and `size` that it was told.",
            ),
            Action::new("raw", "Returns `text`, `count` times, whatever it is."),
            Action::new("clock", "Looks whether time goes on while it computes."),
            Action::new("hoard", "Makes `count` documents and keeps all."),
            Action::new("writers", "Begins `count` documents and finishes none."),
            Action::new("flood", "Writes `count` times 64 KiB into one document."),
            Action::new("scan", "Searches its own memory for the text in `halves`."),
        ];
        actions.into_iter().fold(
            Manifest::new("probe", env!("CARGO_PKG_VERSION"), "Misbehaves on request."),
            |manifest, action| manifest.action(action.input(any())),
        )
    }

    fn run(call: &Call) -> Result<Output, Failure> {
        let output = act(call)?;
        // Whoever listens to the log may look into this memory, with all that was received.
        if call.input::<Value>()?["look"] == true {
            call.log("look");
        }
        Ok(output)
    }
}

fn act(call: &Call) -> Result<Output, Failure> {
    match call.action() {
        "echo" => Output::new(call.input::<Value>()?),
        "spin" => spin(),
        "eat-memory" => eat_memory(),
        "recurse" => Output::new(recurse(call.time())),
        "trap" => trap(),
        "panic" => {
            let input: Value = call.input()?;
            panic!("{}", input["message"].as_str().unwrap_or("no message"))
        }
        "index" => {
            let list: Vec<u64> = Vec::new();
            Output::new(list[usize::try_from(call.time()).unwrap_or(7)])
        }
        "wrong-output" => Output::new("not a number"),
        "nonsense" => Ok(Output::from_json("{\"half\": ")),
        "forge" => Output::new(json!({"document": {
            "$document": format!("sha256:{}", "0".repeat(64)),
            "name": "passwords.txt", "mediaType": "text/plain", "size": 1
        }})),
        "fail" => Err(failure(&call.input::<Value>()?)),
        "report" => {
            let count = call.input::<Count>()?.count;
            for done in 0..count {
                call.progress(done, Some(count), "");
            }
            Output::new(count)
        }
        "log" => {
            for line in 0..call.input::<Count>()?.count {
                call.log(&format!("line {line}"));
            }
            Output::new(())
        }
        "huge" => {
            let count = usize::try_from(call.input::<Count>()?.count).unwrap_or(usize::MAX);
            Output::new("x".repeat(count))
        }
        "fetch" => {
            let requests = requests(call)?;
            Output::new(
                requests
                    .iter()
                    .map(|fetch| seen(build(call, fetch).send()))
                    .collect::<Vec<_>>(),
            )
        }
        "fetch-all" => {
            let requests: Vec<_> = requests(call)?
                .iter()
                .map(|fetch| build(call, fetch).build())
                .collect();
            Output::new(
                call.send_all(&requests)
                    .into_iter()
                    .map(seen)
                    .collect::<Vec<_>>(),
            )
        }
        "write" => {
            let input: Value = call.input()?;
            let text = |name: &str| input[name].as_str().unwrap_or_default();
            let mut writer = call.create_document(text("name"), "text/plain")?;
            writer.write(text("text").as_bytes())?;
            Output::new(json!({"document": writer.finish()?.about()}))
        }
        "read" => {
            let input: Value = call.input()?;
            let about = DocumentRef::deserialize(&input["document"]).map_err(|error| {
                Failure::InvalidInput(Problem::new("InvalidInput", error.to_string()))
            })?;
            let document = call.document(&about)?;
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < document.size() {
                bytes.extend(document.read(bytes.len() as u64, 1 << 16));
            }
            Output::new(json!({"text": String::from_utf8_lossy(&bytes)}))
        }
        "scan" => scan(call),
        "claim" => {
            let input: Value = call.input()?;
            Output::new(json!({"document": {
                "$document": input["digest"], "name": "claimed.pdf",
                "mediaType": "application/pdf", "size": input["size"]
            }}))
        }
        "raw" => {
            let input: Value = call.input()?;
            let count = usize::try_from(input["count"].as_u64().unwrap_or(1)).unwrap_or(1);
            Ok(Output::from_json(
                input["text"].as_str().unwrap_or_default().repeat(count),
            ))
        }
        "clock" => {
            let before = call.time();
            let spun = (0..5_000_000_u64).fold(before, |sum, n| std::hint::black_box(sum ^ n));
            Output::new(json!({"moved": call.time() != before, "spun": spun != 0}))
        }
        "hoard" => {
            let count = call.input::<Count>()?.count;
            let mut held = Vec::new();
            for n in 0..count {
                let mut writer = call.create_document(&format!("{n}.txt"), "text/plain")?;
                writer.write(b"one of many")?;
                held.push(writer.finish()?);
            }
            Output::new(held.len())
        }
        "writers" => {
            let count = call.input::<Count>()?.count;
            let held: Result<Vec<_>, _> = (0..count)
                .map(|n| call.create_document(&format!("{n}.txt"), "text/plain"))
                .collect();
            Output::new(held?.len())
        }
        "flood" => {
            let mut writer = call.create_document("flood.bin", "")?;
            for _ in 0..call.input::<Count>()?.count {
                writer.write(&[7; 1 << 16])?;
            }
            Output::new(json!({"document": writer.finish()?.about()}))
        }
        _ => Err(call.unknown_action()),
    }
}

fn spin() -> ! {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005) + 1);
    }
}

fn eat_memory() -> ! {
    let mut held = Vec::new();
    loop {
        held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

#[allow(unconditional_recursion, reason = "this is what the action is for")]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + frame[usize::try_from(depth % 64).unwrap_or(0)]
}

fn trap() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    std::process::abort();
}

fn failure(input: &Value) -> Failure {
    let problem = Problem::new("Probe", "as asked").remedy("ask for something else");
    match input["class"].as_str().unwrap_or_default() {
        "invalid-input" => Failure::InvalidInput(problem),
        "denied" => Failure::Denied(problem),
        "not-found" => Failure::NotFound(problem),
        "throttled" => Failure::Throttled(problem, Some(std::time::Duration::from_millis(1500))),
        "unavailable" => Failure::Unavailable(problem),
        "sign-in-required" => Failure::SignInRequired(problem),
        "outcome-unknown" => Failure::OutcomeUnknown(problem),
        _ => Failure::Permanent(problem),
    }
}

fn requests(call: &Call) -> Result<Vec<Fetch>, Failure> {
    #[derive(Deserialize)]
    struct Requests {
        requests: Vec<Fetch>,
        /// How often to send them; once where it is not said.
        times: Option<usize>,
    }
    let Requests { requests, times } = call.input()?;
    Ok(vec![requests; times.unwrap_or(1)].concat())
}

fn build<'a>(call: &'a Call, fetch: &Fetch) -> docket_plugin_sdk::RequestBuilder<'a> {
    // The interface for well-behaved plugins takes methods of the source text only.
    let method: &'static str = match &fetch.method {
        Some(method) => method.clone().leak(),
        None => "GET",
    };
    let mut request = call.request(method, fetch.url.clone());
    for (name, value) in &fetch.headers {
        request = request.header(name, value);
    }
    for pointer in &fetch.seal {
        request = request.seal(pointer);
    }
    if let Some(body) = &fetch.body {
        request = request.parts(vec![docket_plugin_sdk::Part::Bytes(
            body.clone().into_bytes(),
        )]);
    }
    if fetch.token {
        request = request.as_account();
    }
    if fetch.repeatable {
        request = request.repeatable();
    }
    match &fetch.document {
        Some(name) => request.into_document(name, None, u64::MAX),
        None if fetch.nowhere => request.without_answer(),
        None => request,
    }
}

fn seen(answer: Result<Response, HttpError>) -> Value {
    match answer {
        Ok(answer) => json!({
            "status": answer.status,
            "headers": answer.headers,
            "text": String::from_utf8_lossy(answer.bytes()),
            "document": answer.document().map(docket_plugin_sdk::Document::about),
        }),
        Err(error) => json!({"error": format!("{error:?}"), "kind": kind(&error)}),
    }
}

fn kind(error: &HttpError) -> &'static str {
    match error {
        HttpError::Denied { .. } => "denied",
        HttpError::Invalid(_) => "invalid",
        HttpError::Unreachable(_) => "unreachable",
        HttpError::Interrupted(_) => "interrupted",
        HttpError::TooLarge(_) => "too-large",
        HttpError::SignInRequired(_) => "sign-in-required",
    }
}

/// Looks through all of the linear memory for a text that the test hands over in two halves, so
/// that the input itself does not hold it.
fn scan(call: &Call) -> Result<Output, Failure> {
    let input: Value = call.input()?;
    let half = |at: usize| input["halves"][at].as_str().unwrap_or_default().as_bytes();
    let (first, second) = (half(0), half(1));
    let mut found = 0_u64;
    #[cfg(target_family = "wasm")]
    {
        let pages = core::arch::wasm32::memory_size(0);
        let end = pages * 65536 - first.len() - second.len();
        for at in 1024..end {
            let is_it = |offset: usize, text: &[u8]| {
                (0..text.len()).all(|index| {
                    // SAFETY: every address up to `end` plus both halves lies in linear memory,
                    // and any byte of it may be read.
                    #[allow(unsafe_code, reason = "the whole memory is looked through")]
                    let byte = unsafe { *((at + offset + index) as *const u8) };
                    byte == text[index]
                })
            };
            if is_it(0, first) && is_it(first.len(), second) {
                found += 1;
            }
        }
    }
    #[cfg(not(target_family = "wasm"))]
    let _ = (first, second, &mut found);
    Output::new(json!({"found": found}))
}

export_plugin!(Probe);
