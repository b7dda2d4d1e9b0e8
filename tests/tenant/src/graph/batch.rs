//! `/$batch`: up to 20 requests in one (json-batching.md).

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::error::GraphError;
use crate::faults::FaultAction;
use crate::graph::{Answer, handle, input};
use crate::state::TenantState;
use crate::wire::{Call, Reply};

/// The most requests in a batch.
const MAX: usize = 20;

struct Part {
    id: String,
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
    depends_on: Vec<String>,
}

/// `POST /$batch`
pub(crate) fn run(state: &TenantState, call: &Call) -> Answer {
    if call.method != Method::POST {
        return Err(GraphError::method_not_allowed());
    }
    let map = input::object(&call.body)?;
    let list = input::member(&map, "requests").and_then(Value::as_array);
    let list =
        list.ok_or_else(|| GraphError::bad_request("BadRequest", "Invalid batch payload format."))?;
    if list.len() > MAX {
        return Err(GraphError::bad_request(
            "MaximumRequestsPerBatchExceeded",
            format!("Number of batch request steps exceeds the maximum value of {MAX}."),
        ));
    }
    let parts: Vec<Part> = list
        .iter()
        .map(|one| part(call, one))
        .collect::<Result<_, _>>()?;
    let mut ids = HashSet::new();
    if !parts.iter().all(|part| ids.insert(part.id.as_str())) {
        return Err(GraphError::bad_request(
            "BadRequest",
            "Request Id has to be unique in a batch.",
        ));
    }
    let mut statuses: HashMap<String, u16> = HashMap::new();
    let mut responses = Vec::new();
    for part in &parts {
        let failed = part
            .depends_on
            .iter()
            .any(|id| statuses.get(id).is_none_or(|status| *status >= 400));
        let reply = if failed {
            let error = GraphError::new(
                StatusCode::FAILED_DEPENDENCY,
                "FailedDependency",
                "The request could not be performed because a request that it depends on failed.",
            );
            Reply::refusal(&error, call)
        } else {
            one(state, call, part)
        };
        statuses.insert(part.id.clone(), reply.status.as_u16());
        responses.push(response(&part.id, &reply));
    }
    // Answers come in any order; those without dependencies are turned round.
    if parts.iter().all(|part| part.depends_on.is_empty()) {
        responses.reverse();
    }
    Ok(Reply::graph_json(
        StatusCode::OK,
        &json!({"responses": responses}),
    ))
}

fn part(call: &Call, value: &Value) -> Result<Part, GraphError> {
    let bad = |what: &str| {
        GraphError::bad_request(
            "BadRequest",
            format!("Invalid batch payload format: {what}."),
        )
    };
    let map = value
        .as_object()
        .ok_or_else(|| bad("a request is not an object"))?;
    let text = |name: &str| input::member(map, name).and_then(Value::as_str);
    let id = text("id")
        .ok_or_else(|| bad("a request has no id"))?
        .to_owned();
    let method = text("method")
        .and_then(|name| Method::from_bytes(name.to_ascii_uppercase().as_bytes()).ok());
    let method = method.ok_or_else(|| bad("a request has no method"))?;
    let url = text("url").ok_or_else(|| bad("a request has no url"))?;
    if url.contains("://") {
        return Err(bad("urls must be relative"));
    }
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let path = format!(
        "/v1.0/{}",
        path.trim_start_matches('/').trim_start_matches("v1.0/")
    );
    let mut headers = HeaderMap::new();
    if let Some(authorization) = call.headers.get("authorization") {
        headers.insert("authorization", authorization.clone());
    }
    if let Some(Value::Object(given)) = input::member(map, "headers") {
        for (name, value) in given {
            let name = HeaderName::try_from(name.as_str());
            let value = value.as_str().map(HeaderValue::try_from);
            if let (Ok(name), Some(Ok(value))) = (name, value) {
                headers.append(name, value);
            }
        }
    }
    let body = match input::member(map, "body") {
        None | Some(Value::Null) => Bytes::new(),
        Some(_) if !headers.contains_key("content-type") => {
            return Err(bad("a request with a body needs a Content-Type header"));
        }
        Some(Value::String(text)) => Bytes::from(text.clone()),
        Some(value) => serde_json::to_vec(value).unwrap_or_default().into(),
    };
    let depends_on = input::member(map, "dependsOn").and_then(Value::as_array);
    let depends_on = depends_on.map_or_else(Vec::new, |list| {
        list.iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    });
    Ok(Part {
        id,
        method,
        path,
        query: query.to_owned(),
        headers,
        body,
        depends_on,
    })
}

fn one(state: &TenantState, call: &Call, part: &Part) -> Reply {
    let inner = Call {
        method: part.method.clone(),
        path: part.path.clone(),
        query: part.query.clone(),
        headers: part.headers.clone(),
        body: part.body.clone(),
        request_id: Call::new_request_id(),
        ..call.clone()
    };
    let reply = answer(state, &inner);
    state.record(&inner, Some(&reply));
    reply
}

fn answer(state: &TenantState, inner: &Call) -> Reply {
    let refuse = |error: GraphError| Reply::refusal(&error, inner).with_graph_headers(inner);
    for fault in state.strike(inner.method.as_str(), &inner.path) {
        match fault {
            FaultAction::Throttle { .. }
            | FaultAction::Unavailable { .. }
            | FaultAction::GatewayTimeout
            | FaultAction::Refuse { .. } => {
                if let Some(error) = crate::server::refusal_of(&fault) {
                    return refuse(error);
                }
            }
            _ => state.apply_fault(&fault),
        }
    }
    let admission = match super::admit(state, inner) {
        Ok(admission) => admission,
        Err(error) => return refuse(error),
    };
    if admission
        .segments
        .first()
        .is_some_and(|segment| segment.name == "$batch")
    {
        return refuse(GraphError::bad_request(
            "BadRequest",
            "Batches cannot be nested.",
        ));
    }
    match state.enter_throttle(admission.throttle_key(), 0, inner.now) {
        Ok(_permit) => handle(state, inner, &admission),
        Err(error) => refuse(error),
    }
}

fn response(id: &str, reply: &Reply) -> Value {
    let mut headers = Map::new();
    for (name, value) in &reply.headers {
        if let Ok(value) = value.to_str() {
            let shown = match name.as_str() {
                "content-type" => "Content-Type",
                "retry-after" => "Retry-After",
                "cache-control" => "Cache-Control",
                "location" => "Location",
                "request-id" | "client-request-id" | "preference-applied" => name.as_str(),
                _ => continue,
            };
            headers.insert(shown.to_owned(), value.into());
        }
    }
    let is_json = reply
        .headers
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.contains("json"));
    let mut out = Map::new();
    out.insert("id".into(), id.into());
    out.insert("status".into(), reply.status.as_u16().into());
    out.insert("headers".into(), Value::Object(headers));
    if is_json {
        out.insert(
            "body".into(),
            serde_json::from_slice(&reply.body).unwrap_or(Value::Null),
        );
    } else if !reply.body.is_empty() {
        use base64::Engine as _;
        out.insert(
            "body".into(),
            base64::engine::general_purpose::STANDARD
                .encode(&reply.body)
                .into(),
        );
    }
    Value::Object(out)
}
