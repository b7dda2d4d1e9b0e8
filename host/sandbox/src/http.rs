//! The `http` interface: requests become effects, and outcomes become answers.

use std::sync::Arc;
use std::time::Duration;

use docket_engine::Stop;
use docket_model::{Answer, AnswerBody, EffectCall, HttpFailure, Outcome};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasmtime::component::Resource;

use crate::attempt::Attempt;
use crate::bindings::http::{self, Content, Denial, HttpError, Receive, Request, Response};
use crate::delivery::{Delivery, deliver};
use crate::documents::read_exact;
use crate::handles::{Client, Token};
use crate::meter::Limit;
use crate::request::{Prepared, Slot, is_repeatable, prepare};
use crate::seal::Place;

/// Requests of one `send-all`, and how many of them are under way at once.
const REQUESTS_AT_MOST: usize = 16;
const SIDE_BY_SIDE: usize = 8;
/// What is left of a request's time for the sending itself, when the wait for its turn ends: one that has
/// hardly begun when its time is over is in doubt.
const RESERVE: Duration = Duration::from_secs(10);

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
        let outcomes = perform(attempt, EffectCall { requests: records }, deliveries).await?;
        let mut outcomes = outcomes.into_iter();
        for (request, answer) in answers.iter_mut().enumerate().filter(|(_, a)| a.is_none()) {
            let outcome = outcomes.next().ok_or_else(too_few_outcomes)?;
            *answer = Some(answer_of(attempt, outcome, effect, request).await?);
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
    // What may not be repeated waits for its turn before it is journaled as intended.
    let (give, turn) = oneshot::channel();
    let waits = deliveries
        .first()
        .filter(|_| !call.is_repeatable())
        .map(|one| (one.method.clone(), Arc::clone(&one.url), one.deadline));
    let gate = Arc::clone(&channel);
    let ready = async move {
        if let Some((method, url, deadline)) = waits
            && let left = deadline.saturating_duration_since(Instant::now())
            && let wait = left.saturating_sub(RESERVE.min(left / 2))
            && let Some(turn) = gate.turn(&method, &url, wait).await
        {
            // Whoever would take it may be gone, and the turn goes to the next one.
            let _ = give.send(turn);
        }
    };
    let exec = async move {
        let mut turn = turn.await.ok();
        stream::iter(deliveries)
            .map(|delivery| {
                let (channel, documents) = (Arc::clone(&channel), Arc::clone(&documents));
                deliver(delivery, turn.take(), channel, documents)
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

async fn answer_of(
    attempt: &mut Attempt,
    outcome: Outcome,
    effect: u32,
    request: usize,
) -> wasmtime::Result<Result<Response, HttpError>> {
    Ok(match outcome {
        Outcome::Answered(answer) => Ok(response_of(attempt, answer, effect, request).await?),
        Outcome::Failed(failure) => Err(error_of(failure)),
        Outcome::InDoubt => Err(HttpError::Interrupted(
            "the host ended while the request was under way".to_owned(),
        )),
    })
}

async fn response_of(
    attempt: &mut Attempt,
    answer: Answer,
    effect: u32,
    request: usize,
) -> wasmtime::Result<Response> {
    let work = attempt.work()?;
    work.answer_bytes_left = work
        .answer_bytes_left
        .checked_sub(size_of(&answer))
        .ok_or_else(|| wasmtime::Error::new(Limit::Answers(work.limits.answer_bytes)))?;
    let idempotency_key = work.idempotency_key.clone();
    let place = Place {
        idempotency_key,
        effect,
        request,
    };
    for (n, ciphertext) in answer.sealed.iter().enumerate() {
        let url = work
            .channel
            .open(&place.context(n), ciphertext)
            .map_err(|problem| wasmtime::Error::new(Stop::Fault(problem)))?;
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
