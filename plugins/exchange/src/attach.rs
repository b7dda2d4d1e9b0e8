//! Attaching documents to a draft: small ones in one request, larger ones by an upload session
//! ("Attach large files to Outlook messages"). No document's bytes enter the plugin.
//!
//! One after the other: the pieces of a session must come in order, and of attaching to one message
//! side by side the documents say nothing but that a message that changes meanwhile is a conflict.

use docket_graph::{Mailbox, text};
use docket_plugin_sdk::{Failure, Part};
use serde_json::json;

use crate::input::invalid;
use crate::mail::File;
use crate::message::{Ended, ended, path};
use crate::upload;

/// From this size on a file goes by an upload session: 3 MB, counted so that its base64 and the
/// JSON around it stay under the 4 MiB that Graph reads in one request.
pub(crate) const SESSION_FROM: u64 = 3_000_000;
/// The largest file that Graph takes at all.
const LARGEST: u64 = 150 * 1024 * 1024;

/// Attaches everything that is not attached yet, and says whether there was nothing to do. `look`
/// says that some of it may be there already.
pub(crate) fn all(
    mailbox: &Mailbox<'_>,
    draft: &str,
    files: &[File],
    look: bool,
) -> Result<Ended<bool>, Failure> {
    let mut was_complete = true;
    let mut attached = if look && !files.is_empty() {
        names(mailbox, draft)?
    } else {
        Vec::new()
    };
    for (number, file) in files.iter().enumerate() {
        if attached.contains(&file.name) {
            continue;
        }
        was_complete = false;
        let total = Some(files.len() as u64);
        mailbox.call().progress(number as u64, total, &file.name);
        let ended = if file.document.size() < SESSION_FROM {
            small(mailbox, draft, file)?
        } else {
            upload::run(mailbox, draft, file)?
        };
        if let Ended::Lost(why) = ended {
            return Ok(Ended::Lost(why));
        }
        attached.push(file.name.clone());
    }
    Ok(Ended::Known(was_complete))
}

/// Refuses what no mailbox takes, before anything is created.
pub(crate) fn check(files: &[File]) -> Result<(), Failure> {
    for file in files {
        let size = file.document.size();
        if size > LARGEST {
            return Err(invalid(
                "AttachmentTooLarge",
                format!(
                    "{} has {size} bytes; a mail takes files of up to 150 MB",
                    file.name
                ),
                "send a link to the document instead",
            ));
        }
    }
    Ok(())
}

/// The names of what is attached to a message, inline pictures included.
pub(crate) fn names(mailbox: &Mailbox<'_>, message: &str) -> Result<Vec<String>, Failure> {
    let attached = mailbox.attachments(message)?;
    let names = attached.iter().filter_map(|one| text(one, "name"));
    Ok(names.map(str::to_owned).collect())
}

/// A file in Graph's form: the JSON's text around the content, which the host puts in as base64.
pub(crate) fn parts(file: &File) -> [Part; 3] {
    let mut head = json!({
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": file.name,
        "contentType": file.document.about().media_type,
    });
    if let Some(cid) = &file.cid {
        head["isInline"] = true.into();
        head["contentId"] = cid.as_str().into();
    }
    let mut head = head.to_string();
    head.truncate(head.len() - 1);
    head.push_str(",\"contentBytes\":\"");
    [
        Part::Bytes(head.into_bytes()),
        Part::Base64(file.document.clone()),
        Part::Bytes(b"\"}".to_vec()),
    ]
}

fn small(mailbox: &Mailbox<'_>, draft: &str, file: &File) -> Result<Ended<()>, Failure> {
    let answer = mailbox
        .request("POST", &format!("{}/attachments", path(draft)))
        .header("content-type", "application/json")
        .parts(parts(file).into())
        // It would hold the whole file once more.
        .without_answer()
        .send();
    let doing = format!("attaching {}", file.name);
    Ok(match ended(mailbox, answer, &[201], &doing)? {
        Ended::Known(_) => Ended::Known(()),
        Ended::Lost(why) => Ended::Lost(why),
    })
}
