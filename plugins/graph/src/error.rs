//! Graph's errors as failures: what the engine should do, and what a person should.
//!
//! Codes are those of Graph's "Error responses and resource types" and of Exchange Online; a code
//! decides where there is one, the status where there is none, and the message never.

use std::time::Duration;

use docket_plugin_sdk::{Failure, Problem, Response};
use serde::Deserialize;

use crate::{http_time, sent_at};

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    error: Error,
}

#[derive(Deserialize, Default)]
struct Error {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The failure that an answer means. `doing` says what was tried, as in "creating the draft", and
/// `mailbox` whose mailbox it was.
#[must_use]
pub fn failure(response: &Response, doing: &str, mailbox: &str) -> Failure {
    let body: Body = serde_json::from_slice(response.bytes()).unwrap_or_default();
    let Error { code, message } = body.error;
    let status = response.status;
    let said = if message.is_empty() {
        format!("status {status}")
    } else {
        message
    };
    let code = if code.is_empty() {
        format!("Status{status}")
    } else {
        code
    };
    let problem = Problem::new(&code, format!("{doing} failed: {said}"));
    match code.as_str() {
        "ErrorSendAsDenied" => Failure::Denied(problem.remedy(format!(
            "give the account Send As (or Send on behalf) on the mailbox in the mail's `from`, which \
             is {mailbox} unless the step says otherwise: Exchange admin center > Recipients > \
             Mailboxes > {mailbox} > Delegation > Send as; or Add-RecipientPermission -Identity \
             {mailbox} -Trustee <account> -AccessRights SendAs"
        ))),
        "ErrorAccessDenied" => Failure::Denied(problem.remedy(format!(
            "give the account Full Access on {mailbox} (Exchange admin center > Recipients > \
             Mailboxes > {mailbox} > Delegation > Read and manage), and check that the \
             connection's sign-in granted the Mail scopes"
        ))),
        "ErrorItemNotFound" | "ErrorInvalidIdMalformed" | "ErrorFolderNotFound" => {
            Failure::NotFound(problem.remedy(
                "it was moved, deleted, or belongs to another mailbox; look at the message or \
                 folder that the step names",
            ))
        }
        "ErrorInvalidUser"
        | "ErrorNonExistentMailbox"
        | "ResourceNotFound"
        | "Request_ResourceNotFound" => {
            Failure::NotFound(problem.remedy(format!("check the address {mailbox}")))
        }
        "MailboxNotEnabledForRESTAPI" | "MailboxNotSupportedForRESTAPI" => Failure::NotFound(problem.remedy(format!(
            "{mailbox} has no mailbox in Exchange Online: it has no licence, or is on premises"
        ))),
        "ErrorInvalidRecipients" => {
            Failure::InvalidInput(problem.remedy("check the recipients: one complete address each"))
        }
        "ErrorMimeContentInvalidBase64String" | "ErrorMimeContentInvalid" => {
            Failure::InvalidInput(problem.remedy("give a complete MIME message (RFC 5322)"))
        }
        "ErrorMessageSizeExceeded" | "ErrorAttachmentSizeLimitExceeded" => Failure::InvalidInput(problem.remedy(
            "send a smaller attachment, or have the mailbox's message limit raised (35 MB unless \
             an administrator set it higher, 150 MB at most)",
        )),
        // Waiting does not empty a mailbox.
        "ErrorQuotaExceeded" | "ErrorMessageSubmissionBlocked" => {
            Failure::Permanent(problem.remedy(format!(
                "{mailbox} is full, or an administrator blocked it from sending: have it cleared \
                 or unblocked, then run the step again"
            )))
        }
        // The tenant's limits of recipients and messages by the day ("Exchange Online limits").
        "ErrorSubmissionQuotaExceeded" | "ErrorExceededMessageLimit" => {
            Failure::Throttled(problem, retry_after(response))
        }
        "InefficientFilter" => Failure::InvalidInput(
            problem.remedy("the service will not search for all of that at once: ask for less"),
        ),
        "InvalidInternetMessageHeader" | "InvalidInternetMessageHeaderCollection" => {
            Failure::InvalidInput(
                problem.remedy("headers begin with `x-`, and there may be at most five"),
            )
        }
        _ => by_status(response, problem),
    }
}

/// The failure of a 2xx answer other than the documented one; Graph has answered 200 to mail that
/// it did not send.
#[must_use]
pub fn unexpected(response: &Response, doing: &str) -> Failure {
    Failure::OutcomeUnknown(
        Problem::new(
            "UnexpectedStatus",
            format!(
                "{doing} was answered with the undocumented status {}",
                response.status
            ),
        )
        .remedy("look into the mailbox before you run the step again"),
    )
}

fn by_status(response: &Response, problem: Problem) -> Failure {
    match response.status {
        401 => Failure::SignInRequired(
            problem.remedy("sign the account in again: docket connections authorize"),
        ),
        403 => Failure::Denied(problem.remedy("check the account's rights and scopes")),
        404 | 410 => Failure::NotFound(problem),
        413 => Failure::InvalidInput(problem.remedy("send less in one request")),
        429 => Failure::Throttled(problem, retry_after(response)),
        // Those say how long to wait, too ("Microsoft Graph error responses").
        503 | 504 | 509 if response.header("retry-after").is_some() => {
            Failure::Throttled(problem, retry_after(response))
        }
        // Somebody else changed it at the same moment.
        409 | 412 | 423 => Failure::Unavailable(problem),
        408 | 500..=599 => Failure::Unavailable(problem),
        400..=499 => Failure::InvalidInput(problem),
        _ => Failure::Permanent(problem),
    }
}

/// Retry-After: seconds, which Graph may give with a fraction ("Microsoft Graph throttling
/// guidance"), or a date (RFC 9110 section 10.2.3), which is taken against the server's own clock.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.header("retry-after")?.trim();
    if let Ok(seconds) = value.parse() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let wait = http_time(value)?.checked_sub(sent_at(response)?)?;
    u64::try_from(wait).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use docket_plugin_sdk::testing::answer;
    use serde_json::json;

    use super::*;

    fn check(status: u16, code: &str, is_expected: impl Fn(&Failure) -> bool) {
        let body = json!({"error": {"code": code, "message": "m"}});
        let found = failure(&answer(status, &body), "sending", "a@contoso.example");
        assert!(is_expected(&found), "{status} {code} became {found:?}");
        assert!(found.problem().message.contains("sending failed: m"));
    }

    #[test]
    fn a_code_decides_before_the_status() {
        check(403, "ErrorSendAsDenied", |f| {
            matches!(f, Failure::Denied(p)
            if p.remedy.as_deref().is_some_and(|r| r.contains("Send as") && r.contains("a@contoso.example")))
        });
        check(403, "ErrorAccessDenied", |f| {
            matches!(f, Failure::Denied(_))
        });
        check(404, "ErrorItemNotFound", |f| {
            matches!(f, Failure::NotFound(_))
        });
        check(400, "ErrorInvalidIdMalformed", |f| {
            matches!(f, Failure::NotFound(_))
        });
        check(400, "ErrorInvalidRecipients", |f| {
            matches!(f, Failure::InvalidInput(_))
        });
        for code in ["ErrorQuotaExceeded", "ErrorMessageSubmissionBlocked"] {
            check(507, code, |f| {
                matches!(f, Failure::Permanent(p)
                if p.remedy.as_deref().is_some_and(|r| r.contains("full")))
            });
        }
        check(400, "ErrorExceededMessageLimit", |f| {
            matches!(f, Failure::Throttled(_, None))
        });
        check(404, "MailboxNotEnabledForRESTAPI", |f| {
            matches!(f, Failure::NotFound(p)
            if p.remedy.as_deref().is_some_and(|r| r.contains("licence")))
        });
        check(
            400,
            "ErrorMessageSizeExceeded",
            |f| matches!(f, Failure::InvalidInput(p) if p.remedy.is_some()),
        );
        check(
            400,
            "ErrorInvalidRecipients",
            |f| matches!(f, Failure::InvalidInput(p) if p.remedy.is_some()),
        );
        check(412, "ErrorIrresolvableConflict", |f| {
            matches!(f, Failure::Unavailable(_))
        });
        check(400, "SomethingNew", |f| {
            matches!(f, Failure::InvalidInput(_))
        });
        check(503, "SomethingNew", |f| {
            matches!(f, Failure::Unavailable(_))
        });
        check(401, "InvalidAuthenticationToken", |f| {
            matches!(f, Failure::SignInRequired(_))
        });
    }

    #[test]
    fn a_throttle_says_how_long() {
        for (value, expected) in [
            (Some("7"), Some(Duration::from_secs(7))),
            (Some("2.128"), Some(Duration::from_millis(2128))),
            (Some("-1"), None),
            (
                Some("Wed, 21 Oct 2026 07:28:30 GMT"),
                Some(Duration::from_secs(30)),
            ),
            (Some("Wed, 21 Oct 2026 07:27:00 GMT"), None),
            (Some("soon"), None),
            (None, None),
        ] {
            let mut response = answer(429, &json!({"error": {"code": "ApplicationThrottled"}}));
            let date = "Wed, 21 Oct 2026 07:28:00 GMT".to_owned();
            response.headers.push(("date".to_owned(), date));
            response
                .headers
                .extend(value.map(|v| ("retry-after".to_owned(), v.to_owned())));
            let found = failure(&response, "sending", "a@contoso.example");
            assert!(
                matches!(&found, Failure::Throttled(_, after) if *after == expected),
                "{value:?} became {found:?}"
            );
        }
    }

    #[test]
    fn a_server_that_is_busy_may_say_how_long() {
        let mut response = answer(503, &json!({"error": {"code": "ErrorServerBusy"}}));
        let found = failure(&response, "sending", "a@contoso.example");
        assert!(matches!(found, Failure::Unavailable(_)), "{found:?}");
        response
            .headers
            .push(("retry-after".to_owned(), "4".to_owned()));
        let found = failure(&response, "sending", "a@contoso.example");
        let four = Some(Duration::from_secs(4));
        assert!(
            matches!(&found, Failure::Throttled(_, after) if *after == four),
            "{found:?}"
        );
    }

    #[test]
    fn an_answer_that_is_no_json_still_says_its_status() {
        let mut response = answer(502, &json!(null));
        response.body = docket_plugin_sdk::Content::Inline(b"<html>Bad gateway".to_vec());
        let found = failure(&response, "sending", "a@contoso.example");
        assert!(matches!(&found, Failure::Unavailable(p) if p.message.contains("status 502")));
    }
}
