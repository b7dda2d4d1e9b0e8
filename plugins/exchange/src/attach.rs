//! Attaching documents to a draft: small ones in one request, larger ones by an upload session
//! ("Attach large files to Outlook messages"). No document's bytes enter the plugin.

use docket_graph::{Mailbox, encode, unexpected};
use docket_plugin_sdk::{Document, Failure, HttpError, Part, Problem, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::delivery::{Ended, leaves_open, lost_or_failed};

/// From this size on a file goes by an upload session: 3 MB, counted so that its base64 and the
/// JSON around it stay under the 4 MiB that Graph reads in one request.
const SESSION_FROM: u64 = 3_000_000;
/// The largest file that Graph takes at all.
const LARGEST: u64 = 150 * 1024 * 1024;
/// The size of an upload's pieces: under the 4 MB that the documents ask for, and a multiple of
/// 320 KiB, which other Graph uploads insist on.
const PIECE: u64 = 12 * 320 * 1024;
/// How many sessions are begun for one file before the attempt gives up.
const SESSIONS: usize = 3;

#[derive(Deserialize)]
struct Attached {
    value: Vec<AttachedFile>,
}

#[derive(Deserialize)]
struct AttachedFile {
    name: Option<String>,
}

/// Attaches everything that is not attached yet, and says whether there was nothing to do. `look`
/// says that some of it may be there already.
pub(crate) fn all(
    mailbox: &Mailbox<'_>,
    draft: &str,
    documents: &[(String, Document)],
    look: bool,
) -> Result<Ended<bool>, Failure> {
    let mut was_complete = true;
    let mut attached = if look && !documents.is_empty() {
        names(mailbox, draft)?
    } else {
        Vec::new()
    };
    for (number, (name, document)) in documents.iter().enumerate() {
        if attached.contains(name) {
            continue;
        }
        was_complete = false;
        mailbox
            .call()
            .progress(number as u64, Some(documents.len() as u64), name);
        let ended = match document.size() {
            size if size > LARGEST => {
                return Err(Failure::InvalidInput(
                    Problem::new(
                        "AttachmentTooLarge",
                        format!("{name} has {size} bytes; a mail takes files of up to 150 MB"),
                    )
                    .remedy("send a link to the document instead"),
                ));
            }
            size if size < SESSION_FROM => small(mailbox, draft, name, document)?,
            _ => large(mailbox, draft, name, document)?,
        };
        if let Ended::Lost(why) = ended {
            return Ok(Ended::Lost(why));
        }
        attached.push(name.clone());
    }
    Ok(Ended::Known(was_complete))
}

fn names(mailbox: &Mailbox<'_>, draft: &str) -> Result<Vec<String>, Failure> {
    let path = format!(
        "/messages/{}/attachments?$select=id,name,size,isInline",
        encode(draft)
    );
    let list: Attached = mailbox.get(&path, "listing the attachments")?;
    Ok(list
        .value
        .into_iter()
        .filter_map(|file| file.name)
        .collect())
}

fn small(
    mailbox: &Mailbox<'_>,
    draft: &str,
    name: &str,
    document: &Document,
) -> Result<Ended<()>, Failure> {
    let head = json!({
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": name,
        "contentType": document.about().media_type,
    });
    // The JSON's text around the content, which the host puts in as base64.
    let mut head = head.to_string();
    head.truncate(head.len() - 1);
    head.push_str(",\"contentBytes\":\"");
    let doing = format!("attaching {name}");
    let answer = mailbox
        .request("POST", &format!("/messages/{}/attachments", encode(draft)))
        .header("content-type", "application/json")
        .parts(vec![
            Part::Bytes(head.into_bytes()),
            Part::Base64(document.clone()),
            Part::Bytes(b"\"}".to_vec()),
        ])
        .send();
    match answer {
        Ok(answer) if answer.status == 201 => Ok(Ended::Known(())),
        Ok(answer) if leaves_open(&answer) => Ok(Ended::Lost(format!("status {}", answer.status))),
        Ok(answer) if answer.is_success() => Err(unexpected(&answer, &doing)),
        Ok(answer) => Err(mailbox.failure(&answer, &doing)),
        Err(error) => lost_or_failed(error),
    }
}

/// Uploads a file. A session that broke is left to lapse, and a new one begun: there is no
/// documented way to ask an Outlook session how far it came, and an upload that was completed shows
/// in the list of attachments.
fn large(
    mailbox: &Mailbox<'_>,
    draft: &str,
    name: &str,
    document: &Document,
) -> Result<Ended<()>, Failure> {
    let mut why = String::new();
    for session in 0..SESSIONS {
        if session > 0
            && names(mailbox, draft)?
                .iter()
                .any(|attached| attached == name)
        {
            return Ok(Ended::Known(()));
        }
        let url = begin(mailbox, draft, name, document)?;
        match upload(mailbox, &url, name, document)? {
            Ended::Known(()) => return Ok(Ended::Known(())),
            Ended::Lost(reason) => why = reason,
        }
    }
    Err(Failure::Unavailable(Problem::new(
        "UploadInterrupted",
        format!("the upload of {name} broke off {SESSIONS} times: {why}"),
    )))
}

/// Begins a session, and gives the sealed URL to upload to. Beginning two does no harm: the one
/// that is not used lapses.
fn begin(
    mailbox: &Mailbox<'_>,
    draft: &str,
    name: &str,
    document: &Document,
) -> Result<String, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Session {
        upload_url: String,
    }
    let doing = format!("beginning the upload of {name}");
    let answer = mailbox
        .request(
            "POST",
            &format!(
                "/messages/{}/attachments/createUploadSession",
                encode(draft)
            ),
        )
        .repeatable()
        .seal("/uploadUrl")
        .json(&json!({"AttachmentItem": {
            "attachmentType": "file",
            "name": name,
            "size": document.size(),
            "contentType": document.about().media_type,
        }}))
        .send()
        .map_err(HttpError::into_failure)?;
    let session: Session = mailbox.success(&answer, &doing)?.json()?;
    Ok(session.upload_url)
}

fn upload(
    mailbox: &Mailbox<'_>,
    url: &str,
    name: &str,
    document: &Document,
) -> Result<Ended<()>, Failure> {
    let size = document.size();
    let mut offset = 0;
    while offset < size {
        let length = PIECE.min(size - offset);
        let end = offset + length;
        // Not as the account: the URL carries its own authorisation and must not be given more.
        let answer = mailbox
            .call()
            .request("PUT", url)
            .repeatable()
            .header("content-type", "application/octet-stream")
            .header(
                "content-range",
                &format!("bytes {offset}-{}/{size}", end - 1),
            )
            .parts(vec![Part::Range(document.clone(), offset, length)])
            .send();
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return lost_or_failed(error),
        };
        mailbox.call().progress(end, Some(size), name);
        match answer.status {
            201 => return Ok(Ended::Known(())),
            200 | 202 => match next_offset(&answer) {
                Some(next) if next > offset && next <= size => offset = next,
                Some(next) => {
                    return Ok(Ended::Lost(format!(
                        "the server wants byte {next} after {end}"
                    )));
                }
                None => offset = end,
            },
            status => {
                let failure = mailbox.failure(&answer, &format!("uploading {name}"));
                // Another session would hear the same.
                let is_final = matches!(
                    failure.problem().code.as_str(),
                    "ErrorMessageSizeExceeded" | "ErrorQuotaExceeded" | "ErrorAccessDenied"
                );
                if is_final || matches!(status, 413 | 429) {
                    return Err(failure);
                }
                return Ok(Ended::Lost(format!("status {status}")));
            }
        }
    }
    Ok(Ended::Lost(
        "the server did not confirm the last piece".to_owned(),
    ))
}

/// The offset that the server wants next. It is written `"n"`, `"n-"` or `"n-m"`, and the
/// property's first letter in either case.
fn next_offset(answer: &Response) -> Option<u64> {
    let body: Value = serde_json::from_slice(answer.bytes()).ok()?;
    let ranges = body
        .get("nextExpectedRanges")
        .or_else(|| body.get("NextExpectedRanges"))?;
    let first = ranges.get(0)?.as_str()?;
    first.split('-').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use docket_plugin_sdk::testing::answer;

    use super::*;

    #[test]
    fn every_way_to_write_the_next_range_is_read() {
        for (body, expected) in [
            (json!({"nextExpectedRanges": ["2097152"]}), Some(2_097_152)),
            (json!({"NextExpectedRanges": ["2097152-"]}), Some(2_097_152)),
            (json!({"nextExpectedRanges": ["0-99"]}), Some(0)),
            (json!({"nextExpectedRanges": []}), None),
            (json!({}), None),
            (json!({"nextExpectedRanges": ["x"]}), None),
        ] {
            assert_eq!(next_offset(&answer(200, &body)), expected, "{body}");
        }
    }
}
