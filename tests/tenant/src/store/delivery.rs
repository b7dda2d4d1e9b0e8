//! Transport: what happens to a submitted message after the 202
//! (outlook-things-to-know-about-send-mail.md).

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::clock::whole_seconds;
use crate::store::mailbox::folder;
use crate::store::message::{Body, Message, Recipient};
use crate::store::{OutsideMail, World};

/// The time before which a message is not sent, as an extended property (MS-OXOMSG 2.2.3.4, tag 0x3FEF).
const DEFERRED: &str = "SystemTime 0x3FEF";

/// A message that was handed to transport and waits in Drafts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Submission {
    /// The account in whose Drafts it waits.
    pub(crate) account: usize,
    /// The message.
    pub(crate) key: u64,
    /// Whether it ends in Sent Items.
    pub(crate) save: bool,
}

impl World {
    /// Hands a draft to transport; it is delivered once the configured time has passed.
    pub(crate) fn submit(&mut self, submission: Submission, now: Timestamp) {
        let due = now.checked_add(self.timings.delivery).unwrap_or(now);
        let due = self.deferred(submission).map_or(due, |at| at.max(due));
        if due <= now && self.pending.is_empty() {
            self.deliver(submission, now);
            return;
        }
        if let Some(mailbox) = self.accounts[submission.account].mailbox.as_mut() {
            mailbox.update(submission.key, whole_seconds(now), |message| {
                message.in_flight = true
            });
        }
        let turn = self.new_key();
        self.pending.insert((due, turn), submission);
    }

    /// When the message asks to be sent (PidTagDeferredSendTime), if it does.
    fn deferred(&self, submission: Submission) -> Option<Timestamp> {
        let mailbox = self.accounts[submission.account].mailbox.as_ref()?;
        let message = mailbox.messages.get(&submission.key)?;
        message.property(DEFERRED)?.parse().ok()
    }

    /// Delivers everything that is due.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        while let Some((&at, _)) = self.pending.first_key_value() {
            if at.0 > now {
                break;
            }
            if let Some(submission) = self.pending.remove(&at) {
                self.deliver(submission, at.0);
            }
        }
    }

    /// Delivers everything that is under way, due or not.
    pub(crate) fn deliver_all(&mut self, now: Timestamp) {
        while let Some((_, submission)) = self.pending.pop_first() {
            self.deliver(submission, now);
        }
    }

    fn deliver(&mut self, submission: Submission, now: Timestamp) {
        let now = whole_seconds(now);
        let keeps_id = self.policies.sending_keeps_immutable_id;
        let Some(mailbox) = self.accounts[submission.account].mailbox.as_mut() else {
            return;
        };
        let sent = if submission.save {
            mailbox.relocate_with(submission.key, folder::SENT, now, |message| {
                leave_drafts(message, now);
                if !keeps_id {
                    message.immutable_generation += 1;
                }
            })
        } else {
            mailbox.remove(submission.key).map(|message| {
                let mut message = Arc::unwrap_or_clone(message);
                leave_drafts(&mut message, now);
                Arc::new(message)
            })
        };
        let Some(message) = sent else { return };
        self.keep_delegate_copy(submission.account, &message, now);

        let mut seen = HashSet::new();
        let (mut outside, mut failed) = (Vec::new(), Vec::new());
        for recipient in message.recipients() {
            let address = recipient.address.to_ascii_lowercase();
            if !seen.insert(address.clone()) {
                continue;
            }
            let bounces = self
                .policies
                .bouncing
                .iter()
                .any(|bad| bad.eq_ignore_ascii_case(&address));
            match self.find(&address) {
                _ if bounces => failed.push(recipient.clone()),
                Some(account)
                    if self.accounts[account].mailbox.is_some()
                        && self.has_room(account, message.size()) =>
                {
                    self.arrive(account, &message, now)
                }
                _ if self.is_internal(&address) => failed.push(recipient.clone()),
                _ => outside.push(recipient.address.clone()),
            }
        }
        if !failed.is_empty() {
            self.bounce(&message, &failed, now);
        }
        if !outside.is_empty() {
            self.outside.push(OutsideMail {
                at: now,
                recipients: outside,
                message,
            });
        }
    }

    /// The administrator's "always keep a copy" for the mailbox that was sent from.
    fn keep_delegate_copy(&mut self, sent_by: usize, message: &Message, now: Timestamp) {
        let Some(owner) = message
            .from
            .as_ref()
            .and_then(|from| self.find(&from.address))
        else {
            return;
        };
        if owner == sent_by || !self.accounts[owner].user.keeps_delegate_copies {
            return;
        }
        let key = self.new_key();
        if let Some(mailbox) = self.accounts[owner].mailbox.as_mut() {
            mailbox.insert(Message {
                folder: folder::SENT,
                ..copy_of(message, key, now)
            });
        }
    }

    /// Puts a copy into a recipient's Inbox.
    fn arrive(&mut self, account: usize, message: &Message, now: Timestamp) {
        let key = self.new_key();
        let mut copy = Message {
            folder: folder::INBOX,
            is_read: false,
            ..copy_of(message, key, now)
        };
        copy.bcc.clear();
        copy.categories.clear();
        copy.flag = None;
        if !self.policies.properties_travel {
            copy.properties.clear();
            copy.multi_properties.clear();
        }
        if let Some(mailbox) = self.accounts[account].mailbox.as_mut() {
            mailbox.insert(copy);
        }
    }

    /// The non-delivery report, into the Inbox that the message was from.
    fn bounce(&mut self, message: &Message, failed: &[Recipient], now: Timestamp) {
        let Some(owner) = message
            .from
            .as_ref()
            .and_then(|from| self.find(&from.address))
        else {
            return;
        };
        let mut report = self.new_draft(now);
        let lines: String = failed
            .iter()
            .map(|recipient| format!("{0} ({0})\r\n", recipient.address))
            .collect();
        let postmaster = Recipient::named(
            "Microsoft Outlook",
            format!(
                "MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@{}",
                self.domain
            ),
        );
        report.folder = folder::INBOX;
        report.is_draft = false;
        report.is_read = false;
        report.delivery_receipt = None;
        report.subject = Some(format!(
            "Undeliverable: {}",
            message.subject.as_deref().unwrap_or("")
        ));
        report.body = Body {
            is_html: false,
            content: format!(
                "Delivery has failed to these recipients or groups:\r\n\r\n{lines}\
                 Your message couldn't be delivered: the address wasn't found, or its mailbox is full.\r\n"
            ),
        };
        report.conversation_id.clone_from(&message.conversation_id);
        report.headers.push((
            "In-Reply-To".to_owned(),
            message.internet_message_id.clone(),
        ));
        report.from = Some(postmaster.clone());
        report.sender = Some(postmaster);
        report.to = vec![self.accounts[owner].as_recipient()];
        if let Some(mailbox) = self.accounts[owner].mailbox.as_mut() {
            mailbox.insert(report);
        }
    }
}

fn leave_drafts(message: &mut Message, now: Timestamp) {
    message.is_draft = false;
    message.in_flight = false;
    message.is_read = true;
    message.sent = now;
    message.received = now;
}

/// A new item with the same contents.
pub(crate) fn copy_of(message: &Message, key: u64, now: Timestamp) -> Message {
    Message {
        key,
        generation: 0,
        immutable_generation: 0,
        change: 0,
        created: now,
        modified: now,
        ..message.clone()
    }
}
