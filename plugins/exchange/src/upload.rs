//! Upload sessions ("Attach large files to Outlook messages").
//!
//! A piece whose reply is missing is sent again: either the server takes it, or it refuses a range
//! that it has, and the next piece is its turn. There is no documented way to ask an Outlook session
//! how far it came. Where that does not help, the session is left to lapse and a new one begun; a
//! file that was completed shows in the list of attachments.

use docket_graph::{Mailbox, unexpected};
use docket_plugin_sdk::{Failure, HttpError, Part, Problem, Response};
use serde_json::{Value, json};

use crate::attach::names;
use crate::mail::File;
use crate::message::{Ended, path};

/// The size of an upload's pieces: under the 4 MB that the documents ask for, and a multiple of
/// 320 KiB, which other Graph uploads insist on.
const PIECE: u64 = 12 * 320 * 1024;
/// How many sessions are begun for one file before the attempt gives up.
const SESSIONS: usize = 3;
/// How often one piece is sent before its session is given up.
const TRIES: u64 = 4;

/// Uploads a file to a draft.
pub(crate) fn run(mailbox: &Mailbox<'_>, draft: &str, file: &File) -> Result<Ended<()>, Failure> {
    let mut why = String::new();
    for session in 0..SESSIONS {
        if session > 0 && names(mailbox, draft)?.contains(&file.name) {
            return Ok(Ended::Known(()));
        }
        let url = begin(mailbox, draft, file)?;
        match upload(mailbox, &url, file)? {
            Ended::Known(()) => return Ok(Ended::Known(())),
            Ended::Lost(reason) => why = reason,
        }
    }
    Err(Failure::Unavailable(Problem::new(
        "UploadInterrupted",
        format!(
            "the upload of {} broke off {SESSIONS} times: {why}",
            file.name
        ),
    )))
}

/// Begins a session, and gives the sealed URL to upload to. Beginning two does no harm: the one
/// that is not used lapses.
fn begin(mailbox: &Mailbox<'_>, draft: &str, file: &File) -> Result<String, Failure> {
    let mut item = json!({
        "attachmentType": "file",
        "name": file.name,
        "size": file.document.size(),
        "contentType": file.document.about().media_type,
    });
    if let Some(cid) = &file.cid {
        item["isInline"] = true.into();
        item["contentId"] = cid.as_str().into();
    }
    let doing = format!("beginning the upload of {}", file.name);
    let answer = mailbox
        .request(
            "POST",
            &format!("{}/attachments/createUploadSession", path(draft)),
        )
        .repeatable()
        .seal("/uploadUrl")
        .json(&json!({"AttachmentItem": item}))
        .send()
        .map_err(HttpError::into_failure)?;
    let session: Value = match mailbox.success(&answer, &doing) {
        Ok(answer) => answer.json()?,
        Err(Failure::Denied(problem)) => return Err(Failure::Denied(elsewhere(mailbox, problem))),
        Err(failure) => return Err(failure),
    };
    let url = session["uploadUrl"].as_str().map(str::to_owned);
    url.ok_or_else(|| unexpected(&answer, &doing))
}

/// Graph has refused upload sessions in mailboxes other than the signed-in user's own ("Known issues
/// with Microsoft Graph").
fn elsewhere(mailbox: &Mailbox<'_>, problem: Problem) -> Problem {
    let remedy = problem.remedy.clone().unwrap_or_default();
    problem.remedy(format!(
        "{remedy}. Where smaller attachments work and only files of 3 MB and more are refused in {}: \
         give the step `sent-items: account`, which creates the mail in the account's own mailbox, \
         or use an app-only connection",
        mailbox.address()
    ))
}

fn upload(mailbox: &Mailbox<'_>, url: &str, file: &File) -> Result<Ended<()>, Failure> {
    let size = file.document.size();
    let doing = format!("uploading {}", file.name);
    let mut offset = 0;
    let mut tries = 0;
    // A server that goes back and forth is not followed without end.
    for _ in 0..2 * size.div_ceil(PIECE) + TRIES {
        if offset >= size || tries >= TRIES {
            break;
        }
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
            .parts(vec![Part::Range(file.document.clone(), offset, length)])
            .send();
        tries += 1;
        let answer = match answer {
            Ok(answer) => answer,
            Err(HttpError::Interrupted(_) | HttpError::TooLarge(_)) => continue,
            Err(error) => return Err(error.into_failure()),
        };
        let next = match answer.status {
            201 => {
                mailbox.call().progress(size, Some(size), &file.name);
                return Ok(Ended::Known(()));
            }
            200 | 202 => next_offset(&answer).unwrap_or(end),
            // It refuses what it has: an earlier try arrived, and its reply was lost.
            400 | 409 | 416 if tries > 1 && end < size => end,
            // The host sits out the pause that the service asks for, before the next request.
            408 | 500 | 502 | 503 | 504 => continue,
            429 if tries < TRIES => continue,
            status => {
                let failure = mailbox.failure(&answer, &doing);
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
        };
        if next > size {
            return Ok(Ended::Lost(format!(
                "the server wants byte {next} of {size}"
            )));
        }
        if next > offset {
            tries = 0;
        }
        offset = next;
        mailbox.call().progress(offset, Some(size), &file.name);
    }
    Ok(Ended::Lost("the server did not confirm a piece".to_owned()))
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
