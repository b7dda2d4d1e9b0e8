//! `docket demo --sign-in`: runs park while a person has not signed in, who gets one mail that says so,
//! and while a client secret has expired; and they go on by themselves.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use docket_connections::{ConnectionError, LoopbackRedirect};
use docket_engine::{LogLevel, Reporter, Scheduler, SchedulerSettings, WaitFilter};
use docket_model::{Event, EventKind, RunId, RunResult, StepPath, resolve_inputs};
use docket_sign_ins::{Need, link};
use docket_tenant::DEMO_CLIENT_ID;
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{CONNECTION, Seen, Stage, contract_inputs, ended};
use crate::asking;
use crate::host::Host;
use crate::inputs;
use crate::render::note;
use crate::waking;

/// The connection that everybody signs in to for themselves.
pub(super) const PEOPLE: &str = "people";
const ANNA: &str = "anna@contoso.example";
const BEN: &str = "ben@contoso.example";

/// Adds to the project how people are told.
pub(super) fn add_hook(project: &Path) -> Result<()> {
    let file = project.join("docket.yaml");
    let mut text = std::fs::read_to_string(&file)?;
    text += "
public-url: http://localhost:8080
sign-in-hook:
  mail:
    connection: contoso
    from: contracts@contoso.example
";
    Ok(std::fs::write(file, text)?)
}

/// Plays both acts, and gives the runs.
pub(super) async fn play(stage: &Stage) -> Result<Vec<Value>> {
    let mut runs = person(stage).await?;
    runs.extend(secret(stage).await?);
    Ok(runs)
}

/// Two runs need Anna, who has not signed in.
async fn person(stage: &Stage) -> Result<Vec<Value>> {
    let mut show = Show::open(stage, true).await?;
    note!("\nTwo runs act as {ANNA}, who has not signed in:");
    for title in ["Lease 2026-118", "Service contract 2026-119"] {
        let given = [
            format!("owner={ANNA}"),
            format!("title={title}"),
            "to=ben.keller@fabrikam.example".to_owned(),
            format!(
                "document=@{}",
                stage
                    .project()
                    .join("documents/signature-certificate-2026-117.pdf")
                    .display()
            ),
        ];
        show.start(stage, "personal-confirmation.yaml", &given)
            .await?;
    }
    show.until_all_wait().await?;

    note!("\nOne mail tells {ANNA}:");
    show.until_told(stage).await?;

    note!("\nSomebody else answers the request:");
    let refusal = show.sign_in(stage, BEN).await.err();
    note!(
        "  refused: {}",
        refusal.context("another person was let in")?
    );

    note!("\n{ANNA} signs in, once for both runs:");
    show.sign_in(stage, ANNA).await?;
    show.until_all_end().await
}

/// The client secret expires, which nobody noticed.
async fn secret(stage: &Stage) -> Result<Vec<Value>> {
    // A new process has no access token, and needs the secret to get one.
    let mut show = Show::open(stage, false).await?;
    let tenant = stage.tenant.state();
    tenant.expire_secret(DEMO_CLIENT_ID, None)?;
    note!("\nThe client secret has expired:");
    show.start(
        stage,
        "signed-contract-confirmation.yaml",
        &contract_inputs(&stage.project()),
    )
    .await?;
    show.until_all_wait().await?;

    note!("\nA wrong secret is tried, and not taken:");
    let connections = &show.host.connections;
    let wrong = SecretString::from("not-the-secret");
    let refusal = connections.rotate_secret(CONNECTION, &wrong, None).await;
    note!(
        "  refused: {}",
        refusal.err().context("a wrong secret was taken")?
    );

    note!("\nThe new secret is tried, and takes the old one's place:");
    let expires = show.host.now() + SignedDuration::from_hours(24 * 180);
    let new = tenant.add_secret(DEMO_CLIENT_ID, expires)?;
    let new = SecretString::from(new.value);
    connections
        .rotate_secret(CONNECTION, &new, Some(expires))
        .await?;
    show.until_all_end().await
}

/// A host that drives its runs, and what became of them.
struct Show {
    host: Arc<Host>,
    under_way: Vec<RunId>,
    news: mpsc::UnboundedReceiver<(RunId, News)>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    waking: JoinHandle<()>,
    asking: JoinHandle<()>,
}

/// What the show waits for.
enum News {
    Waits,
    Ended(RunResult),
}

impl Show {
    /// `tells` is whether people are told of needed sign-ins.
    async fn open(stage: &Stage, tells: bool) -> Result<Self> {
        let host = Arc::new(stage.open().await?);
        let (tell, news) = mpsc::unbounded_channel();
        let (needs, needed) = mpsc::unbounded_channel();
        let base = host.project.spec.public_url.clone().unwrap_or_default();
        let asking = asking::open(&host, &base)?.filter(|_| tells);
        let asking = tokio::spawn(async move {
            if let Some(asking) = asking {
                asking.run(needed).await;
            }
        });
        let scheduler = Scheduler::new(
            Arc::clone(&host.engine),
            Arc::new(Watch { tell, needs }),
            SchedulerSettings::default(),
        );
        let shutdown = CancellationToken::new();
        let until = shutdown.clone();
        let serving = tokio::spawn(async move {
            if let Err(error) = scheduler.serve(until).await {
                note!("error: {error}");
            }
        });
        let waking = tokio::spawn(waking::wake(
            Arc::clone(&host.connections),
            Arc::clone(&host.store),
            Arc::clone(&host.engine),
        ));
        Ok(Self {
            host,
            under_way: Vec::new(),
            news,
            shutdown,
            serving,
            waking,
            asking,
        })
    }

    async fn start(&mut self, stage: &Stage, file: &str, given: &[String]) -> Result<()> {
        let plan = self.host.plan(&stage.project().join(file))?;
        let read = inputs::read(&plan, None, given, self.host.documents.as_ref())?;
        let inputs = resolve_inputs(&plan, read)
            .map_err(|problems| anyhow::anyhow!("{file}: {problems:?}"))?;
        let id = self.host.new_run_id()?;
        note!("  {id}  {}", plan.workflow);
        self.host.engine.start(&id, &plan, inputs).await?;
        self.under_way.push(id);
        Ok(())
    }

    /// The real flow, with this person at the browser.
    async fn sign_in(&self, stage: &Stage, person: &str) -> Result<()> {
        let redirect = LoopbackRedirect::bind().await?;
        let connections = &self.host.connections;
        let scopes = self.host.scopes(PEOPLE);
        let uri = redirect.redirect_uri();
        let begun = connections.begin_sign_in(PEOPLE, Some(ANNA), Some(&uri), &scopes)?;
        let (landed, answer) = tokio::join!(
            stage.tenant.sign_in(&begun.authorize_url, person),
            redirect.wait(&begun.state)
        );
        landed?;
        let signed_in = connections
            .finish_sign_in(answer?)
            .await
            .map_err(|error| match error {
                docket_connections::FinishError::Auth(error) => {
                    anyhow::Error::from(ConnectionError::Auth(error))
                }
                other => other.into(),
            })?;
        note!("  signed in as {}", signed_in.principal.account);
        Ok(())
    }

    async fn until_all_wait(&mut self) -> Result<()> {
        let mut left = self.under_way.clone();
        while !left.is_empty() {
            match self.next().await? {
                (run, News::Waits) => left.retain(|one| *one != run),
                (run, News::Ended(result)) => {
                    anyhow::bail!("{run} ended, and should wait: {result:?}")
                }
            }
        }
        let filter = WaitFilter {
            kind: Some("sign-in".to_owned()),
            ..WaitFilter::default()
        };
        let waiting = self.host.store.waiting(filter).await?;
        if let Some(docket_model::WaitFor::SignIn { failure, .. }) =
            waiting.first().map(|waiting| &waiting.step.wait.on)
        {
            note!("  {}", failure.message);
            if let Some(remedy) = &failure.remedy {
                note!("  help: {remedy}");
            }
        }
        Ok(())
    }

    /// Waits for the run of the mail that asks for the sign-in, and shows what it says.
    async fn until_told(&mut self, stage: &Stage) -> Result<()> {
        loop {
            if let (run, News::Ended(result)) = self.next().await? {
                anyhow::ensure!(
                    !self.under_way.contains(&run) && matches!(result, RunResult::Succeeded { .. }),
                    "{run} ended, and the mail should be sent: {result:?}"
                );
                break;
            }
        }
        for mail in &Seen::ask(&stage.tenant).await?.sent {
            let text = |name: &str| mail[name].as_str().unwrap_or_default().to_owned();
            note!("  {}, to {}", text("subject"), mail["to"]);
        }
        let anna = docket_model::Account::new(PEOPLE, Some(ANNA));
        let base = self.host.project.spec.public_url.clone();
        note!("  with the link {}", link(&base.unwrap_or_default(), &anna));
        Ok(())
    }

    /// Waits for the ends of all runs, and closes the host.
    async fn until_all_end(mut self) -> Result<Vec<Value>> {
        let mut runs = Vec::new();
        while runs.len() < self.under_way.len() {
            if let (run, News::Ended(result)) = self.next().await?
                && self.under_way.contains(&run)
            {
                let about = self.host.store.run(&run).await?;
                let workflow = about.map(|about| about.workflow).unwrap_or_default();
                runs.push(ended(&run, &workflow, &result));
            }
        }
        self.shutdown.cancel();
        self.serving.await?;
        for task in [self.waking, self.asking] {
            task.abort();
            let _ = task.await;
        }
        Ok(runs)
    }

    async fn next(&mut self) -> Result<(RunId, News)> {
        self.news.recv().await.context("the scheduler has stopped")
    }
}

/// Shows what happens, and tells the show.
struct Watch {
    tell: mpsc::UnboundedSender<(RunId, News)>,
    needs: mpsc::UnboundedSender<Need>,
}

impl Reporter for Watch {
    fn event(&self, run: &RunId, event: &Event) {
        let news = match &event.kind {
            EventKind::StepWaiting { path, wait, .. } => {
                note!("  … {run}  {path} waits for {}", wait.on);
                if let Some(need) = Need::of(run, event) {
                    let _ = self.needs.send(need);
                }
                News::Waits
            }
            EventKind::RunFinished { result } => {
                let (mark, how) = match result {
                    RunResult::Succeeded { .. } => ("✓", "succeeded".to_owned()),
                    RunResult::Failed { failure, .. } => ("✗", failure.message.clone()),
                    RunResult::Cancelled => ("✗", "cancelled".to_owned()),
                };
                note!("  {mark} {run}  {how}");
                News::Ended(result.clone())
            }
            _ => return,
        };
        // Nobody listens once the show is over.
        let _ = self.tell.send((run.clone(), news));
    }

    fn log(&self, _run: &RunId, _path: &StepPath, _level: LogLevel, _message: &str) {}

    fn progress(&self, _: &RunId, _: &StepPath, _: u64, _: Option<u64>, _: &str) {}
}
