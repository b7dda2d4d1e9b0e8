//! Many GETs, a few at a time.

use docket_graph::Mailbox;
use docket_plugin_sdk::{HttpError, Request, Response};

/// How many requests go out side by side: what Exchange Online allows an app on one mailbox
/// ("Microsoft Graph service-specific throttling limits").
const SIDE_BY_SIDE: usize = 4;

/// How often a request is sent before its failure counts. One lost reply among hundreds must not
/// cost the whole attempt.
const TRIES: usize = 3;

/// The answer to a request, or why there is none.
pub(crate) type Answered = Result<Response, HttpError>;

/// Sends GETs, and answers in their order. What fails in passing is sent again.
pub(crate) fn get_all(mailbox: &Mailbox<'_>, requests: &[Request]) -> Vec<Answered> {
    let mut answers = Vec::with_capacity(requests.len());
    for group in requests.chunks(SIDE_BY_SIDE) {
        let start = answers.len();
        answers.extend(mailbox.call().send_all(group));
        for _ in 1..TRIES {
            let failed: Vec<usize> = (0..group.len())
                .filter(|at| answers.get(start + at).is_none_or(is_passing))
                .collect();
            if failed.is_empty() {
                break;
            }
            let again: Vec<Request> = failed.iter().map(|at| group[*at].clone()).collect();
            for (at, answer) in failed.into_iter().zip(mailbox.call().send_all(&again)) {
                if let Some(place) = answers.get_mut(start + at) {
                    *place = answer;
                }
            }
        }
    }
    answers
}

/// Whether the next try may go better at once. A server that says how long to wait is not asked
/// again before: the engine waits.
fn is_passing(answer: &Answered) -> bool {
    match answer {
        Ok(answer) => {
            matches!(answer.status, 408 | 500 | 502 | 503 | 504)
                && answer.header("retry-after").is_none()
        }
        Err(error) => matches!(error, HttpError::Interrupted(_) | HttpError::Unreachable(_)),
    }
}
