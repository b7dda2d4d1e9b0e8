//! `docket serve`: starts runs by their triggers, drives all runs, wakes them, keeps sign-ins alive,
//! warns of what ends, and answers HTTP requests, until it is told to end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use docket_connections::Severity;
use docket_engine::{Scheduler, SchedulerSettings, Triggers};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::asking;
use crate::cli::{Global, ServeArgs};
use crate::exit::{Exit, Failed};
use crate::host::{Host, engine_failed};
use crate::project::Project;
use crate::render::{self, note};
use crate::server::contact::Contact;
use crate::server::{Service, Watch, router};
use crate::waking;
use crate::workflows::Workflows;

/// How often idle sign-ins are refreshed, and what ends soon is told.
const DAILY: Duration = Duration::from_secs(86_400);
/// How long answers may take that are under way when the order to end comes.
const ANSWERS: Duration = Duration::from_secs(5);

pub(crate) async fn run(global: &Global, arguments: &ServeArgs) -> Result<Exit> {
    let listen = arguments.listen;
    if !listen.ip().is_loopback() {
        return Err(Failed::new(
            Exit::Usage,
            format!("{listen} can be reached by other machines"),
        )
        .with_help("listen on 127.0.0.1, and put a reverse proxy with TLS before it")
        .into());
    }
    let host = Arc::new(Host::open(Project::load(global)?, global).await?);
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| Failed::new(Exit::Usage, format!("{listen}: {error}")))?;
    let contact = Contact::new(listener.local_addr()?)?;
    let shutdown = CancellationToken::new();
    let public = host.project.spec.public_url.clone();
    let public = public.unwrap_or_else(|| format!("http://localhost:{}", contact.address.port()));
    let asking = asking::open(&host, &public)?;
    let (needs, needed) = mpsc::unbounded_channel();
    let watch = Watch::new();
    let watch = Arc::new(match asking {
        Some(_) => watch.with_needs(needs),
        None => watch,
    });
    // Whoever is told the address may end it at once.
    let ended = ended()?;

    let waking = tokio::spawn(waking::wake(
        Arc::clone(&host.connections),
        Arc::clone(&host.store),
        Arc::clone(&host.engine),
    ));
    // Somebody may have signed in while nobody served. Asking takes as long as the network does.
    let looked_at = Arc::clone(&host);
    let looking_back = tokio::spawn(async move {
        let Host {
            connections,
            store,
            engine,
            ..
        } = &*looked_at;
        if let Err(error) = waking::look(connections, store.as_ref(), engine).await {
            tracing::error!(%error, "runs that wait for a sign-in were not looked at");
        }
    });
    let upkeep = tokio::spawn(upkeep(Arc::clone(&host)));
    let settings = SchedulerSettings {
        at_once: arguments.at_once.into(),
        ..SchedulerSettings::default()
    };
    let scheduler = Scheduler::new(Arc::clone(&host.engine), Arc::clone(&watch) as _, settings);
    let until = shutdown.clone();
    let mut driving = tokio::spawn(async move { scheduler.serve(until).await });
    let triggers = Arc::new(Triggers::new(
        Arc::clone(&host.engine),
        Arc::clone(&watch) as _,
    ));
    let workflows = Arc::new(Workflows::new(Arc::clone(&host), Arc::clone(&triggers)));
    // Whoever is told the address finds its webhooks there.
    workflows.look_again().await;
    let (starting, until) = (Arc::clone(&triggers), shutdown.clone());
    let starting = tokio::spawn(async move { starting.serve(until).await });
    let sources = Arc::clone(&triggers);
    let asking = tokio::spawn(async move {
        if let Some(asking) = asking {
            asking.with_triggers(sources).run(needed).await;
        }
    });
    let looking = Arc::clone(&workflows).watch(shutdown.clone())?;
    let looking = tokio::spawn(looking);
    let service = Service::new(
        Arc::clone(&host),
        watch,
        workflows,
        &contact,
        shutdown.clone(),
    );
    let router = router(Arc::new(service));
    let until = shutdown.clone().cancelled_owned();
    let answering = axum::serve(listener, router).with_graceful_shutdown(until);
    let answering = tokio::spawn(answering.into_future());

    let published = contact.publish(&host.project.data)?;
    let url = format!("http://{}", contact.address);
    if global.json {
        render::line(&json!({"address": contact.address.to_string(), "url": url}).to_string());
    } else {
        render::line(&url);
        note!("drives all runs until Ctrl-C; the token is in serve.json, in the data folder");
    }
    let served = tokio::select! {
        served = &mut driving => Some(served),
        () = ended => None,
    };
    if served.is_none() {
        note!("ending what is under way …");
    }
    // Nobody finds the way here any more, and whoever was here gets an answer.
    drop(published);
    shutdown.cancel();
    let served = match served {
        Some(served) => served,
        None => driving.await,
    };
    let _ = tokio::time::timeout(ANSWERS, answering).await;
    for task in [starting, looking, looking_back, waking, upkeep, asking] {
        task.abort();
        let _ = task.await;
    }
    served?.map_err(|error| engine_failed(&error))?;
    Ok(Exit::Success)
}

/// Done when the process is told to end.
fn ended() -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        let told = term.recv();
        #[cfg(not(unix))]
        let told = std::future::pending::<Option<()>>();
        tokio::select! {
            _ = told => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    })
}

/// What is done once a day, and first at the start.
async fn upkeep(host: Arc<Host>) {
    let mut days = tokio::time::interval(DAILY);
    days.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        days.tick().await;
        match host.connections.keep_alive(host.now()).await {
            Ok(kept) => {
                let failed = kept.iter().filter(|one| one.error.is_some()).count();
                let refreshed = kept.len() - failed;
                tracing::info!(refreshed, failed, "idle sign-ins were refreshed");
            }
            Err(error) => tracing::error!(%error, "idle sign-ins were not refreshed"),
        }
        let asked = Arc::clone(&host);
        let asked =
            tokio::task::spawn_blocking(move || asked.connections.forecast(asked.now())).await;
        match asked {
            Ok(Ok(lapses)) => {
                for lapse in lapses {
                    let (what, help) = (&lapse.message, &lapse.remedy);
                    match lapse.severity {
                        Severity::Critical | Severity::Expired => {
                            tracing::error!("{what}; help: {help}");
                        }
                        _ => tracing::warn!("{what}; help: {help}"),
                    }
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "what ends soon is not known"),
            // The host is shutting down.
            Err(_) => return,
        }
    }
}
