//! Creating a stamped draft effectively once, and knowing what became of it.
//!
//! Graph offers no idempotency of its own. So each message carries a stamp, and this is the rule
//! that everything here follows: *whenever a reply is missing, look*. What is found decides:
//!
//! | found | it means | next |
//! |---|---|---|
//! | nothing | nothing was created | create the draft |
//! | a draft that lacks an attachment | created, not submitted | attach what is missing, send |
//! | a complete draft | perhaps submitted | wait until it cannot be on its way any more, send |
//! | no draft any more | submitted | done |
//!
//! The third line is the delicate one. Exchange moves a submitted message to Sent Items only after
//! transport has taken it ("Understand the process of sending Outlook mail"); until then it looks
//! like a draft, and what sending it again does is not documented. So a draft that may have been
//! submitted is sent again only once it has lain unchanged for [`SETTLED_AFTER`], and as long after a
//! request to send it whose reply was lost: that may have waited for its turn, and left long after the
//! last change. One that was to be held back is sent again only once its time has come.
//!
//! A draft that appears after it was looked for, since the request that created it was slow, makes two
//! of them. Then either may have been submitted, whatever the other one lacks.
//!
//! A reply, a forwarded mail and a MIME message get their stamp by a request of its own, since only
//! "Create message" and "Update message" are documented to take one. Where the reply to their
//! creation is lost, an unsent draft may be left behind; nothing is sent that has no stamp.

use std::cell::Cell;
use std::time::Duration;

use docket_graph::{Mailbox, json_time};
use docket_plugin_sdk::{Failure, Problem};
use serde_json::json;

use crate::attach;
use crate::mail::{Mail, deferral};
use crate::message::{CREATED, Ended, Message, Stamp, ended, interrupted, path, update};

/// After how many seconds without a change a draft is not on its way any more. Transport takes
/// seconds as a rule; the wait is only ever needed after a break in the one request that sends.
const SETTLED_AFTER: i64 = 60;
/// The same as a wait.
const SETTLED: Duration = Duration::from_secs(60);

/// How many times a missing reply is followed by a look before the attempt gives up. The engine's
/// next attempt looks again.
const ROUNDS: usize = 4;

/// How often the sent copy is looked for. It appears with a delay, and the step does not depend on
/// it: once Exchange has taken the mail, it is sent.
const LOOKS: usize = 2;

/// The last thing to do to a draft; it is told whether it may have been done already.
type Finish<'f> = dyn Fn(&Message, bool) -> Result<Ended<Message>, Failure> + 'f;

/// The stamped message, created where it is not there, with everything attached. Then `finish` does
/// the last thing to it, if it is still a draft.
pub(crate) fn deliver(
    mailbox: &Mailbox<'_>,
    mail: &Mail,
    finish: &Finish<'_>,
) -> Result<Message, Failure> {
    attach::check(&mail.files)?;
    let mut lost = String::new();
    let mut look = mailbox.call().attempt() > 1;
    let mut may_be_finished = look;
    for _ in 0..ROUNDS {
        let found = if look { find(mailbox, mail)? } else { None };
        let (draft, created) = match found {
            Some((message, _)) if !message.is_draft => return Ok(message),
            Some((draft, is_only)) => (draft, Created::Before { is_only }),
            None => match create(mailbox, mail)? {
                Ended::Known(draft) => (draft, Created::Now),
                Ended::Lost(why) => {
                    (lost, look) = (why, true);
                    continue;
                }
            },
        };
        look = true;
        let is_found = created != Created::Now;
        match attach::all(mailbox, &draft.id, &mail.files, is_found)? {
            Ended::Known(was_complete) => {
                may_be_finished &= match created {
                    Created::Now => false,
                    // What was incomplete was not finished before.
                    Created::Before { is_only: true } => was_complete,
                    // The other one may have been.
                    Created::Before { is_only: false } => true,
                };
            }
            Ended::Lost(why) => {
                lost = why;
                continue;
            }
        }
        match finish(&draft, may_be_finished)? {
            Ended::Known(done) => return Ok(done),
            Ended::Lost(why) => lost = why,
        }
        may_be_finished = true;
    }
    Err(interrupted(&lost))
}

/// When a draft was created.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Created {
    /// By the request just made.
    Now,
    /// By an earlier one, which may have been made twice.
    Before { is_only: bool },
}

/// What an earlier request created, and whether it is all that carries the stamp. Of several drafts the
/// first has the time at which any of them last changed.
fn find(mailbox: &Mailbox<'_>, mail: &Mail) -> Result<Option<(Message, bool)>, Failure> {
    let all = CREATED.find(mailbox)?;
    let is_only = all.len() == 1;
    let modified = all.iter().map(|one| one.modified.clone());
    // A draft whose age is not known is as young as can be.
    let latest = modified.reduce(|a, b| Some(a?.max(b?))).flatten();
    if let Some(mut found) = all.into_iter().next() {
        found.modified = latest;
        return Ok(Some((found, is_only)));
    }
    let Some(id) = &mail.mime_id else {
        return Ok(None);
    };
    let found = match Message::by_internet_id(mailbox, id)? {
        Some(draft) if draft.is_draft => Some(stamp(mailbox, mail, &draft)?),
        found => found,
    };
    Ok(found.map(|found| (found, true)))
}

fn create(mailbox: &Mailbox<'_>, mail: &Mail) -> Result<Ended<Message>, Failure> {
    let (media_type, body) = &mail.body;
    let answer = mailbox
        .request("POST", &mail.create)
        .header("content-type", media_type)
        .parts(body.clone())
        .send();
    // createReply is documented with 201 and shown with 200.
    let documented: &[u16] = if mail.mime_id.is_none() && mail.needs_stamp {
        &[200, 201]
    } else {
        &[201]
    };
    let draft = match ended(mailbox, answer, documented, "creating the draft")? {
        Ended::Known(answer) => Message::read(&answer.json()?)?,
        Ended::Lost(why) => return Ok(Ended::Lost(why)),
    };
    if mail.needs_stamp {
        return stamp(mailbox, mail, &draft).map(Ended::Known);
    }
    Ok(Ended::Known(draft))
}

fn stamp(mailbox: &Mailbox<'_>, mail: &Mail, draft: &Message) -> Result<Message, Failure> {
    let mut properties = vec![CREATED.of(mailbox)];
    properties.extend(deferral(mail.deferred));
    let change = json!({"singleValueExtendedProperties": properties});
    update(mailbox, &draft.id, &change, "marking the draft")
}

/// The last request of a mail.
pub(crate) struct Submission<'m, 'c> {
    pub(crate) mailbox: &'m Mailbox<'c>,
    /// What the message can be found by.
    pub(crate) stamp: Stamp,
    /// When it is to go out, in seconds since the epoch.
    pub(crate) deferred: Option<i64>,
    /// When it was submitted without a reply.
    lost_at: Cell<Option<i64>>,
}

impl<'m, 'c> Submission<'m, 'c> {
    pub(crate) const fn new(mailbox: &'m Mailbox<'c>, stamp: Stamp, deferred: Option<i64>) -> Self {
        Self {
            mailbox,
            stamp,
            deferred,
            lost_at: Cell::new(None),
        }
    }

    /// Submits the draft. Only 202 means that Exchange took it ("message: send"). `again` says that
    /// it may have been submitted before.
    pub(crate) fn send(&self, draft: &Message, again: bool) -> Result<Ended<Message>, Failure> {
        if again && let Some(wait) = self.unsettled(draft) {
            return Err(Failure::Throttled(
                Problem::new(
                    "SendUnsettled",
                    "the mail may be on its way already: the reply to an earlier request was lost",
                )
                .remedy("nothing: the step looks again, and sends it if it is still a draft"),
                Some(wait),
            ));
        }
        let send = format!("{}/send", path(&draft.id));
        let answer = self.mailbox.request("POST", &send).send();
        let lost = match ended(self.mailbox, answer, &[202], "sending") {
            Ok(Ended::Known(_)) => return Ok(Ended::Known(self.sent_copy(draft))),
            Ok(Ended::Lost(why)) => why,
            // Another attempt's request, thought lost, may have sent the draft away.
            Err(Failure::NotFound(problem)) => problem.message,
            Err(failure) => return Err(failure),
        };
        // Whether a draft that is still one was submitted, only time tells: the next round looks.
        match draft.after_sending(self.mailbox, self.stamp) {
            Ok(Some(message)) if !message.is_draft => Ok(Ended::Known(message)),
            Ok(Some(_)) => {
                self.lost_at.set(Some(self.mailbox.server_time()));
                Ok(Ended::Lost(lost))
            }
            Ok(None) => Err(Failure::OutcomeUnknown(
                Problem::new(
                    "SendOutcomeUnknown",
                    format!(
                        "the draft is gone and no sent copy is to be found in {}: {lost}",
                        self.mailbox.address()
                    ),
                )
                .remedy(
                    "look for the mail at its recipients; rules or an administrator may have \
                     moved the sent copy",
                ),
            )),
            // The next attempt knows no more than the draft's age, and must not come too soon.
            Err(Failure::Unavailable(problem)) => Err(Failure::Throttled(problem, Some(SETTLED))),
            Err(Failure::Throttled(problem, after)) => {
                let after = after.unwrap_or_default().max(SETTLED);
                Err(Failure::Throttled(problem, Some(after)))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether the mail waits for its time.
    pub(crate) fn is_held(&self) -> bool {
        self.deferred
            .is_some_and(|until| until > self.mailbox.server_time())
    }

    /// The sent copy of a mail that Exchange took, or the draft where the copy is not there yet. The
    /// mail is out, so no failure to find the copy may fail the step: somebody would send it again.
    fn sent_copy(&self, draft: &Message) -> Message {
        let looks = if self.is_held() { 0 } else { LOOKS };
        for _ in 0..looks {
            match draft.after_sending(self.mailbox, self.stamp) {
                Ok(Some(message)) if !message.is_draft => return message,
                Ok(_) => {}
                Err(failure) => {
                    let why = &failure.problem().message;
                    let call = self.mailbox.call();
                    call.log(&format!("the mail is sent; its copy was not found: {why}"));
                    break;
                }
            }
        }
        draft.clone()
    }

    /// How long a draft that may have been submitted must still be left alone; `None` where it can
    /// be sent. A draft whose age is not known is as young as can be.
    fn unsettled(&self, draft: &Message) -> Option<Duration> {
        let now = self.mailbox.server_time();
        let changed = draft.modified.as_deref().and_then(json_time);
        let settled = changed.map_or(now, |changed| changed.min(now));
        let settled = settled
            .max(self.deferred.unwrap_or(i64::MIN))
            .max(self.lost_at.get().unwrap_or(i64::MIN));
        let left = settled.saturating_add(SETTLED_AFTER).saturating_sub(now);
        u64::try_from(left)
            .ok()
            .filter(|left| *left > 0)
            .map(Duration::from_secs)
    }
}
