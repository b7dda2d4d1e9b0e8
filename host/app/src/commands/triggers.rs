//! `docket triggers`: what starts by itself. Where a serving process owns the data folder, it is asked.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use docket_connections::HookSecret;
use docket_engine::Triggers;
use docket_model::parse_duration;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::answers;
use crate::cli::{Global, TriggersCommand};
use crate::exit::{Exit, Failed};
use crate::host::{Host, engine_failed};
use crate::project::Project;
use crate::render::{self, note};
use crate::server::Watch;
use crate::server::client::Serving;
use crate::workflows::Workflows;

/// The longest secret that is read, in bytes.
const MOST: u64 = 4 << 10;

pub(crate) async fn run(global: &Global, command: TriggersCommand) -> Result<Exit> {
    let project = Project::load(global)?;
    let serving = Serving::find(&project.data).await;
    match command {
        TriggersCommand::List => {
            let found = match serving {
                Some(serving) => serving.get("/api/triggers").await?,
                None => Quiet::open(project, global).await?.list().await?,
            };
            match global.json {
                true => render::line(&found.to_string()),
                false => show(&found),
            }
        }
        TriggersCommand::SetSecret {
            workflow,
            secret_file,
            overlap,
        } => {
            let given = secret_file.as_deref().map(read).transpose()?;
            let made = match serving {
                Some(serving) => {
                    let given = given.as_ref().map(|secret| secret.text().expose_secret());
                    let order = json!({
                        "workflow": workflow, "secret": given, "overlap": overlap,
                    });
                    let told = serving.post("/api/triggers/secret", &order).await?;
                    told["secret"].as_str().map(SecretString::from)
                }
                None => {
                    let quiet = Quiet::open(project, global).await?;
                    quiet.set_secret(&workflow, given, &overlap)?
                }
            };
            told_secret(&workflow, made.as_ref(), global.json);
        }
        TriggersCommand::Reset { name } => {
            let was_set = match serving {
                Some(serving) => {
                    let order = json!({"trigger": name});
                    let told = serving.post("/api/triggers/reset", &order).await?;
                    told["was-set"].as_bool().unwrap_or(false)
                }
                None => {
                    let quiet = Quiet::open(project, global).await?;
                    let reset = quiet.triggers.reset(&name).await;
                    reset.map_err(|error| engine_failed(&error))?
                }
            };
            match (global.json, was_set) {
                (true, _) => {
                    render::line(&json!({"trigger": name, "was-set": was_set}).to_string());
                }
                (false, true) => note!("{name} begins anew"),
                (false, false) => {
                    note!("nothing is known of {name}; docket triggers list names those there are");
                }
            }
        }
    }
    Ok(Exit::Success)
}

/// The triggers while nobody serves.
struct Quiet {
    host: Arc<Host>,
    triggers: Arc<Triggers>,
}

impl Quiet {
    async fn open(project: Project, global: &Global) -> Result<Self> {
        let host = Arc::new(Host::open(project, global).await?);
        let watch = Arc::new(Watch::new());
        let triggers = Arc::new(Triggers::new(Arc::clone(&host.engine), watch));
        Workflows::new(Arc::clone(&host), Arc::clone(&triggers)).look();
        Ok(Self { host, triggers })
    }

    async fn list(&self) -> Result<Value> {
        let triggers = self.triggers.list().await;
        let triggers = triggers.map_err(|error| engine_failed(&error))?;
        let connections = &self.host.connections;
        let url = self.host.project.spec.public_url.as_deref();
        let url = url.unwrap_or_default().trim_end_matches('/');
        let found = answers::triggers(&triggers, connections, url);
        Ok(found.map_err(|error| Failed::new(Exit::Storage, error.to_string()))?)
    }

    fn set_secret(
        &self,
        workflow: &str,
        given: Option<HookSecret>,
        overlap: &str,
    ) -> Result<Option<SecretString>> {
        if self.triggers.webhook(workflow).is_none() {
            let what = format!("there is no workflow {workflow} with a webhook");
            return Err(Failed::new(Exit::Invalid, what)
                .with_help("give it one with `on: webhook`")
                .into());
        }
        let overlap = parse_duration(overlap).ok_or_else(|| {
            Failed::new(Exit::Usage, format!("`{overlap}` is no duration"))
                .with_help("write it as `24h`")
        })?;
        let made = answers::set_secret(&self.host.connections, workflow, given, overlap);
        let made = made.map_err(|error| Failed::new(Exit::Storage, error.to_string()))?;
        Ok(made.map(|secret| secret.text().clone()))
    }
}

fn read(path: &Path) -> Result<HookSecret> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST).read_to_string(&mut text))
        .map_err(|error| Failed::new(Exit::Invalid, format!("{}: {error}", path.display())))?;
    let secret = HookSecret::parse(&SecretString::from(text));
    Ok(secret.map_err(|error| {
        Failed::new(Exit::Invalid, format!("{}: {error}", path.display()))
            .with_help("leave --secret-file out, and one is made")
    })?)
}

fn told_secret(workflow: &str, made: Option<&SecretString>, as_json: bool) {
    let path = answers::hook_path(workflow);
    let text = made.map(|secret| secret.expose_secret());
    match (as_json, text) {
        (true, _) => {
            let about = json!({"workflow": workflow, "path": path, "secret": text});
            render::line(&about.to_string());
        }
        (false, Some(text)) => {
            render::line(text);
            note!("give it to the sender of POST {path}; it is shown this once");
        }
        (false, None) => note!("stored; requests to POST {path} are signed with it"),
    }
}

fn show(found: &Value) {
    let list = found["triggers"].as_array();
    let list = list.map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() {
        note!("no workflow has a trigger");
    }
    for one in list {
        let text = |name: &str| one[name].as_str().unwrap_or("–").to_owned();
        render::line(&format!(
            "{}  {}  {} runs, last {}, next {}",
            text("name"),
            text("state"),
            one["started"],
            text("last-started-at"),
            text("next-at"),
        ));
        if let Some(message) = one["message"].as_str() {
            render::line(&format!("    since {}: {message}", text("since")));
        }
        if let Some(help) = one["help"].as_str() {
            render::line(&format!("    help: {help}"));
        }
        if one["kind"] == "webhook" {
            let secrets = one["secrets"].as_array().map_or(0, Vec::len);
            let help = match secrets {
                0 => format!(
                    "no secret; docket triggers set-secret {} makes one",
                    text("workflow")
                ),
                1 => "one secret".to_owned(),
                more => format!("{more} secrets"),
            };
            render::line(&format!("    POST {}  {help}", text("url")));
        }
    }
}
