//! The `http` interface: requests become effects, and outcomes become answers.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use docket_engine::{LogLevel, Stop};
use docket_model::{Answer, AnswerBody, EffectCall, HttpFailure, Outcome};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasmtime::component::Resource;

use crate::attempt::Attempt;
use crate::bindings::http::{self, Content, Denial, HttpError, Receive, Request, Response};
use crate::content::Part;
use crate::delivery::{Delivery, deliver};
use crate::documents::read_exact;
use crate::handles::{Client, Token};
use crate::meter::Limit;
use crate::request::{Prepared, Slot, is_repeatable, prepare};
use crate::seal::Place;

/// Requests of one `send-all`, and how many of them are under way at once.
const REQUESTS_AT_MOST: usize = 16;
const SIDE_BY_SIDE: usize = 8;
/// After how long a wait for a turn is told.
const LONG_WAIT: Duration = Duration::from_secs(3);

impl http::Host for Attempt {}

impl http::HostToken for Attempt {
    fn drop(&mut self, token: Resource<Token>) -> wasmtime::Result<()> {
        self.table.delete(token)?;
        Ok(())
    }
}

impl http::HostClient for Attempt {
    async fn send(
        &mut self,
        client: Resource<Client>,
        request: Request,
    ) -> wasmtime::Result<Result<Response, HttpError>> {
        self.meter.host_call()?;
        self.table.get(&client)?;
        let mut answers = exchange(self, vec![request]).await?;
        answers
            .pop()
            .ok_or_else(|| wasmtime::format_err!("one request has one answer"))
    }

    async fn send_all(
        &mut self,
        client: Resource<Client>,
        requests: Vec<Request>,
    ) -> wasmtime::Result<Vec<Result<Response, HttpError>>> {
        self.meter.host_call()?;
        self.table.get(&client)?;
        let problem = if requests.len() > REQUESTS_AT_MOST {
            format!("more than {REQUESTS_AT_MOST} requests at once")
        } else if requests.iter().any(|request| !is_repeatable(request)) {
            "only repeatable requests can be sent side by side".to_owned()
        } else {
            return exchange(self, requests).await;
        };
        Ok(requests
            .iter()
            .map(|_| Err(HttpError::Invalid(problem.clone())))
            .collect())
    }

    fn drop(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        self.table.delete(client)?;
        Ok(())
    }
}

/// Makes one effect of the requests that are well formed, and answers all in order.
async fn exchange(
    attempt: &mut Attempt,
    requests: Vec<Request>,
) -> wasmtime::Result<Vec<Result<Response, HttpError>>> {
    let documents = requests
        .iter()
        .filter(|r| matches!(r.receive, Receive::Document(_)))
        .count();
    let work = attempt.work()?;
    let effect = work.effects;
    let document_bytes = work.document_bytes_left / (documents as u64).max(1);

    let mut answers = Vec::with_capacity(requests.len());
    let mut records = Vec::with_capacity(requests.len());
    let mut deliveries = Vec::with_capacity(requests.len());
    for (request, value) in requests.into_iter().enumerate() {
        let slot = Slot {
            effect,
            request,
            document_bytes,
        };
        answers.push(match prepare(attempt, value, &slot)? {
            Ok(Prepared { record, delivery }) => {
                records.push(record);
                deliveries.push(delivery);
                None
            }
            Err(error) => Some(Err(error)),
        });
    }
    if !records.is_empty() {
        let urls: Vec<Arc<str>> = deliveries.iter().map(|one| Arc::clone(&one.url)).collect();
        let outcomes = perform(attempt, EffectCall { requests: records }, deliveries).await?;
        let mut outcomes = urls.into_iter().zip(outcomes);
        for (request, answer) in answers.iter_mut().enumerate().filter(|(_, a)| a.is_none()) {
            let (asked, outcome) = outcomes.next().ok_or_else(too_few_outcomes)?;
            let asked = Asked {
                effect,
                request,
                url: &asked,
            };
            *answer = Some(answer_of(attempt, outcome, asked).await?);
        }
    }
    answers
        .into_iter()
        .map(|answer| answer.ok_or_else(too_few_outcomes))
        .collect()
}

fn too_few_outcomes() -> wasmtime::Error {
    wasmtime::Error::new(Stop::Fault(
        "the journal holds fewer outcomes than requests".to_owned(),
    ))
}

/// Has the journal answer the effect, or make it.
async fn perform(
    attempt: &mut Attempt,
    call: EffectCall,
    deliveries: Vec<Delivery>,
) -> wasmtime::Result<Vec<Outcome>> {
    let work = attempt.work()?;
    if work.effects >= work.limits.effects {
        return Err(wasmtime::Error::new(Limit::Effects(work.limits.effects)));
    }
    work.effects += 1;
    let (channel, documents) = (Arc::clone(&work.channel), Arc::clone(&work.documents));
    // A request has its turn before it is journaled as intended, and before its time begins.
    let (give, turn) = oneshot::channel();
    let alone = match deliveries.as_slice() {
        [alone] => Some((
            alone.method.clone(),
            Arc::clone(&alone.url),
            alone.body.iter().map(Part::size).sum::<u64>(),
            alone.deadline,
        )),
        _ => None,
    };
    let (gate, time) = (Arc::clone(&channel), work.time.clone());
    let tell = {
        let (reporter, run, path) = (
            Arc::clone(&work.reporter),
            work.run.clone(),
            work.path.clone(),
        );
        move |line: &str| reporter.log(&run, &path, LogLevel::Info, line)
    };
    let ready = async move {
        let Some((method, url, size, deadline)) = alone else {
            return;
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        let turn = async {
            let mut turn = pin!(gate.turn(&method, &url, size, patience));
            if let Ok(turn) = tokio::time::timeout(LONG_WAIT, &mut turn).await {
                return turn;
            }
            tell(&format!(
                "the mailbox is at its limits: a {method} of {size} bytes waits for its turn, and \
                 the step's time stands still"
            ));
            turn.await
        };
        if let (Some(turn), took) = time.standing_still(turn).await {
            // Whoever would take it may be gone, and the turn goes to the next one.
            let _ = give.send((turn, took));
        }
    };
    let exec = async move {
        let mut held = turn.await.ok();
        stream::iter(deliveries)
            .map(|mut delivery| {
                let (channel, documents) = (Arc::clone(&channel), Arc::clone(&documents));
                let turn = held.take().map(|(turn, took)| {
                    delivery.deadline += took;
                    turn
                });
                deliver(delivery, turn, channel, documents)
            })
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await
    };
    let desk = work.desk.clone();
    attempt.meter.pause();
    let outcomes = desk.effect(call, Box::pin(ready), Box::pin(exec)).await;
    attempt.meter.resume();
    outcomes.ok_or_else(|| wasmtime::format_err!("the attempt is over"))
}

/// Which request an answer belongs to.
struct Asked<'u> {
    effect: u32,
    request: usize,
    url: &'u str,
}

async fn answer_of(
    attempt: &mut Attempt,
    outcome: Outcome,
    asked: Asked<'_>,
) -> wasmtime::Result<Result<Response, HttpError>> {
    Ok(match outcome {
        Outcome::Answered(answer) => Ok(response_of(attempt, answer, asked).await?),
        Outcome::Failed(failure) => Err(error_of(failure)),
        Outcome::InDoubt => Err(HttpError::Interrupted(
            "the host ended while the request was under way".to_owned(),
        )),
    })
}

async fn response_of(
    attempt: &mut Attempt,
    answer: Answer,
    asked: Asked<'_>,
) -> wasmtime::Result<Response> {
    let work = attempt.work()?;
    work.answer_bytes_left = work
        .answer_bytes_left
        .checked_sub(size_of(&answer))
        .ok_or_else(|| wasmtime::Error::new(Limit::Answers(work.limits.answer_bytes)))?;
    let idempotency_key = work.idempotency_key.clone();
    let place = Place {
        idempotency_key,
        effect: asked.effect,
        request: asked.request,
    };
    for (n, ciphertext) in answer.sealed.iter().enumerate() {
        let url = work
            .channel
            .open(&place.context(n), ciphertext)
            .map_err(|problem| wasmtime::Error::new(Stop::Fault(problem)))?;
        // Whether the answer is fresh or from the journal: an upload counts for its mailbox.
        work.channel.relate(&url, asked.url);
        work.sealed.insert(place.name(n), url);
    }
    let body = match answer.body {
        AnswerBody::Text(text) => Content::Inline(text.into_bytes()),
        AnswerBody::Inline(document) => {
            let documents = Arc::clone(&work.documents);
            let (digest, size) = (document.digest, document.size);
            let bytes = attempt.blocking(move || read_exact(documents.as_ref(), digest, 0, size));
            Content::Inline(bytes.await?)
        }
        AnswerBody::Document(document) => {
            work.document_bytes_left = work.document_bytes_left.saturating_sub(document.size);
            Content::Document(attempt.adopt(document)?)
        }
    };
    Ok(Response {
        status: answer.status,
        headers: answer.headers,
        body,
    })
}

/// What an answer takes of the guest's memory and of the journal.
fn size_of(answer: &Answer) -> u64 {
    let body = match &answer.body {
        AnswerBody::Text(text) => text.len() as u64,
        AnswerBody::Inline(document) => document.size,
        AnswerBody::Document(_) => 0,
    };
    let headers = answer.headers.iter();
    headers.fold(body, |sum, (name, value)| {
        sum.saturating_add((name.len() + value.len()) as u64)
    })
}

fn error_of(failure: HttpFailure) -> HttpError {
    match failure {
        HttpFailure::Denied { what, remedy } => HttpError::Denied(Denial { what, remedy }),
        HttpFailure::Invalid(problem) => HttpError::Invalid(problem),
        HttpFailure::Unreachable(problem) => HttpError::Unreachable(problem),
        HttpFailure::Interrupted(problem) => HttpError::Interrupted(problem),
        HttpFailure::TooLarge(limit) => HttpError::TooLarge(limit),
        HttpFailure::SignInRequired(problem) => HttpError::SignInRequired(problem),
    }
}
