//! Components from elsewhere: fetched from files, web servers and registries, held against digests and
//! signatures, and published.

use std::path::Path;

use anyhow::Result;
use docket_connections::{Fetch, FetchError, Fetcher};
use docket_model::{Clock as _, Digest, SignaturePolicy};
use docket_plugins::pin::{
    COMPONENT_AT_MOST, Credentials, InvalidSource, PublicKey, Reference, Registry, RegistryError,
    Source, is_signed,
};
use docket_sandbox::{LoadError, Sandbox};
use serde_json::json;
use url::Url;

use super::{component_file, load, quiet_sandbox, read};
use crate::cli::Global;
use crate::clock::SystemClock;
use crate::exit::{Exit, Failed};
use crate::host;
use crate::pins;
use crate::project::Project;
use crate::render::{self, note};

/// A component from its source. It has the digest, where one is given, and the signature that the
/// project's policy asks for.
pub(super) async fn component(
    project: &Project,
    source: &Source,
    digest: Option<Digest>,
) -> Result<Vec<u8>> {
    let bytes = match source {
        Source::File(path) => {
            unsigned(project, source)?;
            read(path)?
        }
        Source::Https(url) => {
            if digest.is_none() {
                return Err(Failed::new(
                    Exit::Usage,
                    "a component from a web server needs its digest",
                )
                .with_help("add --digest sha256:…, as the plugin's maker announced it")
                .into());
            }
            unsigned(project, source)?;
            download(url).await?
        }
        Source::Oci(reference) => pull(project, reference).await?,
    };
    let found = Digest::of(&bytes);
    match digest {
        Some(wanted) if wanted != found => Err(Failed::new(
            Exit::Invalid,
            format!("{source} has {found}, and not {wanted}"),
        )
        .with_help("get the component again; if its digest was announced, somebody changed it")
        .into()),
        _ => Ok(bytes),
    }
}

/// What carries no signature is refused where one is required.
fn unsigned(project: &Project, source: &Source) -> Result<()> {
    signed(project, &source.to_string(), false)
}

fn signed(project: &Project, source: &str, is_signed: bool) -> Result<()> {
    let problem = format!("{source} has no signature by a key of `signatures` in docket.yaml");
    match project.spec.signatures.policy {
        SignaturePolicy::Require if !is_signed => Err(Failed::new(Exit::Invalid, problem)
            .with_help(
                "have it signed in its registry: cosign sign --key cosign.key REFERENCE; or change \
                 the policy in docket.yaml",
            )
            .into()),
        SignaturePolicy::Warn if !is_signed => {
            note!("warning: {problem}");
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn download(url: &str) -> Result<Vec<u8>> {
    let parsed = Url::parse(url)
        .map_err(|error| Failed::new(Exit::Usage, format!("{url} is no URL: {error}")))?;
    let fetch = Fetch {
        limit: COMPONENT_AT_MOST,
        ..Fetch::default()
    };
    let failed = |error: FetchError| Failed::new(Exit::Invalid, format!("{url}: {error}"));
    let answer = Fetcher::new()
        .send("GET", &parsed, fetch)
        .await
        .map_err(failed)?;
    if answer.status == 200 {
        return Ok(answer.body.into());
    }
    Err(Failed::new(
        Exit::Invalid,
        format!("{url}: the server answered {}", answer.status),
    )
    .with_help("check the URL")
    .into())
}

/// The registry, as the user of the environment where there is one.
fn registry() -> Registry {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let credentials = || {
        Some(Credentials {
            registry: variable("DOCKET_REGISTRY")?,
            user: variable("DOCKET_REGISTRY_USER")?,
            password: variable("DOCKET_REGISTRY_PASSWORD")?,
        })
    };
    Registry::new(Fetcher::new(), credentials())
}

async fn pull(project: &Project, reference: &Reference) -> Result<Vec<u8>> {
    let registry = registry();
    let pulled = registry.pull(reference).await;
    let pulled = pulled.map_err(|error| failed(&error))?;
    let policy = &project.spec.signatures;
    if policy.policy != SignaturePolicy::Off {
        let keys = keys(project)?;
        let is_signed = is_signed(&registry, reference, pulled.manifest, &keys).await;
        let is_signed = is_signed.map_err(|error| failed(&error))?;
        signed(project, &format!("oci://{reference}"), is_signed)?;
    }
    Ok(pulled.component)
}

fn keys(project: &Project) -> Result<Vec<PublicKey>> {
    let files = project.spec.signatures.keys.iter();
    files
        .map(|file| {
            let path = project.root.join(file);
            let invalid = |problem: String| {
                Failed::new(Exit::Invalid, format!("{}: {problem}", path.display()))
                    .with_help("check `signatures.keys` in docket.yaml")
            };
            let text =
                std::fs::read_to_string(&path).map_err(|error| invalid(error.to_string()))?;
            Ok(PublicKey::read(&text).map_err(|error| invalid(error.to_string()))?)
        })
        .collect()
}

fn failed(error: &RegistryError) -> Failed {
    Failed::new(Exit::Invalid, error.to_string()).with_help(error.help())
}

/// The sandbox that keeps a project's fetched components.
pub(super) fn keeper(project: &Project) -> Result<Sandbox> {
    host::make_private(&project.shared_data).map_err(|error| {
        Failed::new(
            Exit::Storage,
            format!("{}: {error}", project.shared_data.display()),
        )
    })?;
    quiet_sandbox(&project.shared_data)
}

/// `docket plugins fetch`.
pub(super) async fn run(global: &Global) -> Result<Exit> {
    let project = Project::load(global)?;
    let lock = pins::read(&project)?;
    let sandbox = keeper(&project)?;
    let mut fetched = Vec::new();
    for (name, spec) in &project.spec.plugins {
        let (Some(remote), Some(pin)) = (spec.remote(), lock.plugins.get(name)) else {
            continue;
        };
        match sandbox.plugin(pin.digest).await {
            Ok(_) => continue,
            Err(LoadError::Missing(_) | LoadError::Damaged { .. }) => {}
            Err(error) => return Err(host::load_failed(name, &error).into()),
        }
        note!("fetching {name} from {remote} …");
        let source: Source = remote
            .parse()
            .map_err(|error: InvalidSource| Failed::new(Exit::Invalid, error.to_string()))?;
        let bytes = component(&project, &source, Some(pin.digest)).await?;
        let added = sandbox.add(bytes).await;
        added.map_err(|error| host::load_failed(name, &error))?;
        fetched.push(name.clone());
    }
    if global.json {
        render::line(&json!({"fetched": fetched}).to_string());
    } else {
        note!("{} fetched", fetched.len());
    }
    Ok(Exit::Success)
}

/// `docket plugins push`. Only what is a plugin is published.
pub(super) async fn push(global: &Global, plugin: &Path, reference: &str) -> Result<Exit> {
    let reference = match reference.parse() {
        Ok(Source::Oci(reference)) if reference.digest.is_none() => reference,
        _ => {
            return Err(Failed::new(
                Exit::Usage,
                format!("`{reference}` is no place in a registry"),
            )
            .with_help("write it as oci://registry.example/team/plugin:1.0.0")
            .into());
        }
    };
    let file = component_file(plugin)?;
    let bytes = read(&file)?;
    let folder = tempfile::tempdir()?;
    let name = file.display().to_string();
    let loaded = load(&quiet_sandbox(folder.path())?, &name, bytes.clone()).await?;
    let exports = [format!("docket:processor/actions@{}", loaded.interface())];
    let created = SystemClock.now().to_string();
    let manifest = registry()
        .push(&reference, bytes, loaded.imports(), &exports, &created)
        .await
        .map_err(|error| failed(&error))?;
    let component = loaded.digest();
    if global.json {
        let about = json!({"reference": format!("oci://{reference}"), "manifest": manifest, "component": component});
        render::line(&about.to_string());
    } else {
        render::line(&format!("oci://{reference}"));
        render::line(&format!("  manifest   {manifest}"));
        render::line(&format!("  component  {component}"));
    }
    Ok(Exit::Success)
}
