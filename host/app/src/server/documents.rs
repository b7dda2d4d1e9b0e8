//! `POST /api/documents?name=…&media-type=…`: stores a document, and answers how inputs name it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use docket_model::DocumentRef;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::Service;
use super::api::{no_parameter, pairs};
use super::body::{announced, broken_off};
use super::embedded::{is_media_type, is_name};
use super::problem::Problem;

/// The largest document that is taken: more than a mail can carry.
const MAX_DOCUMENT: u64 = 512 << 20;

pub(super) async fn store(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    mut body: Body,
) -> Result<Json<Value>, Problem> {
    let (mut name, mut media_type) = (None, None);
    for (key, value) in pairs(query.as_deref()) {
        match &*key {
            "name" => name = Some(value),
            "media-type" => media_type = Some(value),
            _ => return Err(no_parameter(&key, "name and media-type")),
        }
    }
    let Some(name) = name.filter(|name| is_name(name)) else {
        let what = "the document's file name is missing, is a path, or has more than 255 bytes";
        return Err(Problem::new(StatusCode::BAD_REQUEST, what)
            .with_help("POST /api/documents?name=agreement.pdf"));
    };
    let media_type = match media_type {
        None => crate::inputs::media_type(&name).to_owned(),
        Some(kind) if is_media_type(&kind) => kind,
        Some(_) => {
            let what = "`media-type` is no media type";
            return Err(Problem::new(StatusCode::BAD_REQUEST, what)
                .with_help("POST /api/documents?name=agreement.pdf&media-type=application/pdf"));
        }
    };
    if announced(&headers).is_some_and(|length| length > MAX_DOCUMENT) {
        return Err(too_large());
    }
    let disk = |error: std::io::Error| Problem::of(&error.into());
    let mut writer = service.host.documents.create().map_err(disk)?;
    let mut size = 0_u64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| broken_off())?;
        let Some(bytes) = frame.data_ref() else {
            continue;
        };
        size += bytes.len() as u64;
        if size > MAX_DOCUMENT {
            return Err(too_large());
        }
        tokio::task::block_in_place(|| writer.write(bytes)).map_err(disk)?;
    }
    let (digest, size) = tokio::task::block_in_place(|| writer.finish()).map_err(disk)?;
    Ok(Json(json!(DocumentRef {
        digest,
        name,
        media_type,
        size,
    })))
}

fn too_large() -> Problem {
    let what = "the document has more than 512 MB";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, what)
        .with_help("split it; no mail carries one of this size")
}
