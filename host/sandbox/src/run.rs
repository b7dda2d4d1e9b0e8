//! Runs one attempt of a step in a fresh instance.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use docket_connections::AccountInfo;
use docket_engine::{Documents, Journal, Reporter, StepCall, StepRunner, Stop};
use docket_model::{
    ActionKind, ConnectionKind, Digest, DocumentRef, Failure, FailureClass, StepOutput, StepResult,
};
use serde_json::Value;
use tokio::sync::mpsc;
use wasmtime::Store;

use crate::allowance::Allowance;
use crate::attempt::{Attempt, off_thread, started_at};
use crate::bindings::actions::{self, Call};
use crate::effects::{Effect, desk};
use crate::handles::{Client, ReporterHandle, Store as StoreHandle, Token};
use crate::manifest::Schemas;
use crate::meter::Limit;
use crate::{Plugin, Sandbox, Usage, failure, trap};

/// How many documents are looked for without leaving the thread.
const FEW: usize = 8;
/// The longest cursor of a source, in bytes.
const CURSOR_AT_MOST: usize = 64 << 10;

#[async_trait]
impl StepRunner for Sandbox {
    async fn run(
        &self,
        call: StepCall,
        journal: &mut dyn Journal,
        reporter: Arc<dyn Reporter>,
    ) -> Result<StepResult, Stop> {
        self.measure(call, journal, reporter, &mut Usage::default())
            .await
    }
}

/// How an attempt ends without an output.
enum End {
    Failed(Box<Failure>),
    Stopped(Stop),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl Sandbox {
    /// Runs an attempt as [`StepRunner::run`] does, and says what it used up; of an attempt that did
    /// not get as far as the guest, nothing.
    ///
    /// # Errors
    /// [`Stop`], from the journal or from the host itself.
    pub async fn measure(
        &self,
        call: StepCall,
        journal: &mut dyn Journal,
        reporter: Arc<dyn Reporter>,
        usage: &mut Usage,
    ) -> Result<StepResult, Stop> {
        match self.attempt(call, journal, reporter, usage).await {
            Ok(output) => Ok(StepResult::Done(output)),
            Err(End::Failed(failure)) => Ok(StepResult::Failed {
                failure: *failure,
                retry_at: None,
            }),
            Err(End::Stopped(stop)) => Err(stop),
        }
    }

    async fn attempt(
        &self,
        call: StepCall,
        journal: &mut dyn Journal,
        reporter: Arc<dyn Reporter>,
        usage: &mut Usage,
    ) -> Result<StepOutput, End> {
        let plugin = self
            .plugin(call.pinned.component)
            .await
            .map_err(|error| Stop::Fault(format!("{error}; {}", error.help())))?;
        let (schemas, kind) = action(&plugin, &call)?;
        schemas.input.check(&call.input).map_err(|problem| {
            Failure::new(
                FailureClass::InvalidInput,
                "input-schema",
                format!(
                    "the input does not fit {}/{}: {problem}",
                    call.plugin, call.action
                ),
            )
            .with_remedy("correct the step's `with`")
        })?;
        let given = given(&call.input, &self.documents).await?;
        let channel = self.egress.channel(&call)?;

        let slot = self.slots.acquire().await.map_err(|_| Stop::Cancelled)?;
        let (desk, effects) = desk();
        let time = Allowance::new(call.timeout);
        let attempt = Attempt::of_step(
            &call,
            time.clone(),
            &self.limits,
            &self.documents,
            channel,
            reporter,
            desk,
        );
        let mut store = self.store(attempt);
        let returned = {
            let guest = guest(&plugin, &mut store, &call, given);
            let attempt = serve(guest, effects, journal);
            match time.limit(attempt).await {
                Some(returned) => returned?,
                None => Err(wasmtime::Error::new(Limit::Time(call.timeout))),
            }
        };
        // Asking an engine that does not count is an error, which looks at the stack.
        let fuel_left = self.limits.fuel.and_then(|_| store.get_fuel().ok());
        let mut ended = store.into_data().end();
        drop(slot);
        *usage = Usage {
            fuel: self
                .limits
                .fuel
                .zip(fuel_left)
                .map(|(given, left)| given.saturating_sub(left)),
            ..ended.meter.usage()
        };
        let known = ended.work.take().map(|work| {
            work.close_log();
            work.known
        });
        match returned {
            Ok(Ok(output)) => Ok(output_of(
                output,
                schemas,
                kind,
                &known.unwrap_or_default(),
            )?),
            Ok(Err(failure)) => Err(failure::failure_of(failure).into()),
            Err(error) => Err(trap::failure_of(error, ended, &self.limits)?.into()),
        }
    }
}

type Returned = wasmtime::Result<Result<actions::Output, actions::Failure>>;

/// Polls the guest, and has the journal make or answer each effect that it waits for.
///
/// # Errors
/// The journal's [`Stop`]; the guest is dropped without hearing of it.
async fn serve(
    guest: impl Future<Output = Returned>,
    mut effects: mpsc::Receiver<Effect>,
    journal: &mut dyn Journal,
) -> Result<Returned, Stop> {
    tokio::pin!(guest);
    loop {
        tokio::select! {
            biased;
            returned = &mut guest => return Ok(returned),
            Some(Effect { call, ready, exec, reply }) = effects.recv() => {
                let outcomes = journal.effect_when(call, ready, exec).await?;
                // The guest waits for the reply, unless it is being dropped.
                let _ = reply.send(outcomes);
            }
        }
    }
}

/// Makes the instance and the handles, and calls the action.
async fn guest(
    plugin: &Plugin,
    store: &mut Store<Attempt>,
    call: &StepCall,
    given: Vec<DocumentRef>,
) -> Returned {
    let instance = plugin.pre.instantiate_async(&mut *store).await?;
    let attempt = store.data_mut();
    let account = attempt.work()?.account.clone();
    let documents = given
        .into_iter()
        .map(|document| attempt.adopt(document))
        .collect::<Result<_, _>>()?;
    let call = Call {
        action: call.action.clone(),
        input: call.input.to_string(),
        documents,
        store: attempt.push(StoreHandle)?,
        http: attempt.push(Client)?,
        token: account.as_ref().map(|_| attempt.push(Token)).transpose()?,
        account: account.map(account_of).transpose()?,
        idempotency_key: call.idempotency_key.clone(),
        attempt: call.attempt,
        time: started_at(call),
        cursor: call.cursor.clone(),
        reporter: attempt.push(ReporterHandle)?,
    };
    instance
        .docket_processor_actions()
        .call_run(store, &call)
        .await
}

fn account_of(account: AccountInfo) -> wasmtime::Result<actions::Account> {
    let kind = match account.kind {
        ConnectionKind::ServiceAccount => actions::AccountKind::ServiceAccount,
        ConnectionKind::PerUser => actions::AccountKind::User,
        ConnectionKind::AppOnly => actions::AccountKind::Application,
        other => {
            let problem = format!("plugins cannot be given {} accounts", other.as_str());
            return Err(wasmtime::Error::new(Stop::Fault(problem)));
        }
    };
    Ok(actions::Account {
        name: account.name,
        kind,
        endpoints: account.endpoints,
    })
}

fn action<'a>(plugin: &'a Plugin, call: &StepCall) -> Result<(&'a Schemas, ActionKind), Failure> {
    let spec = plugin.manifest.action(&call.action);
    match (spec, plugin.schemas.get(&call.action)) {
        (Some(spec), Some(schemas)) => Ok((schemas, spec.kind)),
        _ => Err(Failure::new(
            FailureClass::InvalidInput,
            "unknown-action",
            format!(
                "{} {} has no action `{}`",
                call.plugin, plugin.manifest.version, call.action
            ),
        )
        .with_remedy("correct the step's `uses`")),
    }
}

/// The documents that the input refers to, each once, after a look whether they are there.
async fn given(input: &Value, documents: &Arc<dyn Documents>) -> Result<Vec<DocumentRef>, End> {
    let mut seen = HashSet::new();
    let mut given = DocumentRef::all_in(input);
    given.retain(|document| seen.insert(document.clone()));
    if given.is_empty() {
        return Ok(given);
    }
    let problem = if given.len() <= FEW {
        missing_of(&given, documents.as_ref()).map_err(Stop::from)?
    } else {
        let (documents, given) = (Arc::clone(documents), given.clone());
        off_thread(move || missing_of(&given, documents.as_ref())).await?
    };
    match problem {
        None => Ok(given),
        Some(problem) => Err(
            Failure::new(FailureClass::NotFound, "document-missing", problem)
                .with_remedy("start the run again with the document")
                .into(),
        ),
    }
}

/// What is wrong with the first of the documents that is not there. Blocks on the disk.
fn missing_of(given: &[DocumentRef], documents: &dyn Documents) -> std::io::Result<Option<String>> {
    for document in given {
        let problem = match documents.open(document.digest)? {
            None => "is not in the store",
            Some(reader) if reader.size() != document.size => "has another size in the store",
            Some(_) => continue,
        };
        return Ok(Some(format!(
            "the document `{}` ({}) {problem}",
            document.name, document.digest
        )));
    }
    Ok(None)
}

/// The output, if it is what the action promised and refers only to documents of this step.
fn output_of(
    output: actions::Output,
    schemas: &Schemas,
    kind: ActionKind,
    known: &HashMap<Digest, u64>,
) -> Result<StepOutput, Failure> {
    let value: Value = serde_json::from_str(&output.json)
        .map_err(|error| nonsense(format!("its output is not JSON: {error}")))?;
    schemas.output.check(&value).map_err(|problem| {
        nonsense(format!("its output does not fit its own schema: {problem}"))
    })?;
    check_documents(&value, known)?;
    if output.cursor.is_some() && kind != ActionKind::Source {
        return Err(nonsense(
            "a cursor from an action that is no source".to_owned(),
        ));
    }
    if output
        .cursor
        .as_ref()
        .is_some_and(|cursor| cursor.len() > CURSOR_AT_MOST)
    {
        return Err(nonsense(format!(
            "a cursor of more than {CURSOR_AT_MOST} bytes"
        )));
    }
    Ok(StepOutput {
        value,
        cursor: output.cursor,
    })
}

fn check_documents(value: &Value, known: &HashMap<Digest, u64>) -> Result<(), Failure> {
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| check_documents(item, known)),
        Value::Object(fields) if fields.contains_key("$document") => {
            match DocumentRef::from_value(value) {
                Some(document) if known.get(&document.digest) == Some(&document.size) => Ok(()),
                Some(document) => Err(nonsense(format!(
                    "the document {} in its output was not given to this step, nor made or \
                     received by it",
                    document.digest
                ))),
                None => Err(nonsense("a malformed document in its output".to_owned())),
            }
        }
        Value::Object(fields) => fields
            .values()
            .try_for_each(|field| check_documents(field, known)),
        _ => Ok(()),
    }
}

fn nonsense(problem: String) -> Failure {
    Failure::new(
        FailureClass::Crashed,
        "nonsense",
        format!("the plugin returned nonsense: {problem}"),
    )
    .with_remedy("this is an error of the plugin: tell its author")
}
