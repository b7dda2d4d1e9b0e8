//! Components in OCI registries (OCI Distribution Specification 1.1), in the layout that the component
//! ecosystem's `wkg` writes and reads: one layer `application/wasm`, and a configuration that lists the
//! component's imports and exports.
//!
//! Whatever a registry says is held against digests: a manifest by the digest that its reference or the
//! lock gives, a blob by the manifest.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use docket_connections::{Fetch, FetchError, Fetched, Fetcher};
use docket_model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::source::Reference;

/// Media types of `wkg`'s layout.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";
/// The most bytes of a manifest, as registries limit them.
const MANIFEST_AT_MOST: u64 = 4 << 20;
/// The most bytes of a component that is fetched.
pub const COMPONENT_AT_MOST: u64 = 64 << 20;
/// The most layers of an image of signatures.
const SIGNATURES_AT_MOST: usize = 64;

/// A registry as somebody who may have to sign in.
pub struct Registry {
    fetcher: Fetcher,
    credentials: Option<Credentials>,
}

/// Who somebody is at one registry. Shown to no other.
#[derive(Clone)]
pub struct Credentials {
    /// Host and port.
    pub registry: String,
    /// The user.
    pub user: String,
    /// The password, or a token in its place.
    pub password: String,
}

/// Why a registry did not do what it should.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    /// It was not reached, or broke off.
    #[error("{registry}: {source}")]
    Fetch {
        /// Host and port.
        registry: String,
        /// Why.
        source: FetchError,
    },
    /// It does not let the user in.
    #[error("{0} does not let you in")]
    Unauthorized(String),
    /// There is no such image.
    #[error("{0} is not there")]
    NotFound(String),
    /// It answered with what it should not.
    #[error("{registry}: {problem}")]
    Unexpected {
        /// Host and port.
        registry: String,
        /// What it answered.
        problem: String,
    },
}

impl RegistryError {
    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Fetch { .. } => "check the registry's name, and that this machine reaches it",
            Self::Unauthorized(_) => {
                "set DOCKET_REGISTRY to its name, and DOCKET_REGISTRY_USER and \
                 DOCKET_REGISTRY_PASSWORD to an account that may do this"
            }
            Self::NotFound(_) => "check the repository and the tag",
            Self::Unexpected { .. } => {
                "it may be no OCI registry, or the image no component in the layout of `wkg`"
            }
        }
    }
}

/// A component that was pulled.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The component.
    pub component: Vec<u8>,
    /// The digest of its manifest, which is what signatures are about.
    pub manifest: Digest,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    annotations: Value,
}

impl Descriptor {
    fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            annotations: Value::Null,
        }
    }
}

impl Registry {
    /// A client for registries.
    #[must_use]
    pub const fn new(fetcher: Fetcher, credentials: Option<Credentials>) -> Self {
        Self {
            fetcher,
            credentials,
        }
    }

    /// Pulls a component.
    ///
    /// # Errors
    /// [`RegistryError`]; nothing is given whose digest is not what was asked for.
    pub async fn pull(&self, reference: &Reference) -> Result<Pulled, RegistryError> {
        let (bytes, manifest) = self.manifest(reference, &reference.manifest()).await?;
        if reference.digest.is_some_and(|wanted| wanted != manifest) {
            return Err(unexpected(reference, "its manifest has another digest"));
        }
        let read: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| unexpected(reference, format!("its manifest: {error}")))?;
        let layer = match read.layers.as_slice() {
            [layer] if layer.media_type == LAYER => layer,
            _ => {
                let problem = format!("the image is no component: it has not one layer of {LAYER}");
                return Err(unexpected(reference, problem));
            }
        };
        let component = self.blob(reference, layer, COMPONENT_AT_MOST).await?;
        Ok(Pulled {
            component,
            manifest,
        })
    }

    /// Pushes a component under the reference's tag, and gives its manifest's digest. `imports` and
    /// `exports` are the names of the component's own; `created` is a time by RFC 3339.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn push(
        &self,
        reference: &Reference,
        component: Vec<u8>,
        imports: &[String],
        exports: &[String],
        created: &str,
    ) -> Result<Digest, RegistryError> {
        let layer = Descriptor::of(LAYER, &component);
        let config = json!({
            "created": created,
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [layer.digest],
            "component": {"exports": exports, "imports": imports, "target": null},
        });
        let config = config.to_string().into_bytes();
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: Descriptor::of(CONFIG, &config),
            layers: vec![layer],
        };
        self.upload(reference, component).await?;
        self.upload(reference, config).await?;
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|error| unexpected(reference, error.to_string()))?;
        self.put_manifest(reference, &reference.manifest(), bytes)
            .await
    }

    /// The layers of the image that a tag names, each with its annotations; `None` where there is no
    /// such image. Signatures are kept so.
    pub(super) async fn layers(
        &self,
        reference: &Reference,
        tag: &str,
        limit: u64,
    ) -> Result<Option<Vec<(Vec<u8>, Value)>>, RegistryError> {
        let (bytes, _) = match self.manifest(reference, tag).await {
            Ok(found) => found,
            Err(RegistryError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let read: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| unexpected(reference, format!("its manifest: {error}")))?;
        if read.layers.len() > SIGNATURES_AT_MOST {
            let problem = format!("{tag} has more than {SIGNATURES_AT_MOST} layers");
            return Err(unexpected(reference, problem));
        }
        let mut layers = Vec::new();
        for layer in &read.layers {
            let bytes = self.blob(reference, layer, limit).await?;
            layers.push((bytes, layer.annotations.clone()));
        }
        Ok(Some(layers))
    }

    async fn manifest(
        &self,
        reference: &Reference,
        name: &str,
    ) -> Result<(Bytes, Digest), RegistryError> {
        let fetch = Fetch {
            headers: vec![("accept".to_owned(), MANIFEST.to_owned())],
            limit: MANIFEST_AT_MOST,
            ..Fetch::default()
        };
        let url = self.url(reference, &format!("manifests/{name}"))?;
        let answer = self.ask(reference, "GET", &url, fetch, "pull").await?;
        let digest = Digest::of(&answer.body);
        Ok((answer.body, digest))
    }

    async fn blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        if blob.size > limit {
            let problem = format!("a blob of {} bytes; {limit} are allowed", blob.size);
            return Err(unexpected(reference, problem));
        }
        let fetch = Fetch {
            limit: blob.size,
            ..Fetch::default()
        };
        let url = self.url(reference, &format!("blobs/{}", blob.digest))?;
        let answer = self.ask(reference, "GET", &url, fetch, "pull").await?;
        if Digest::of(&answer.body) != blob.digest {
            return Err(unexpected(
                reference,
                format!("the blob {} has other bytes", blob.digest),
            ));
        }
        Ok(answer.body.into())
    }

    async fn upload(&self, reference: &Reference, bytes: Vec<u8>) -> Result<(), RegistryError> {
        let digest = Digest::of(&bytes);
        let start = self.url(reference, "blobs/uploads/")?;
        let begun = self
            .ask(reference, "POST", &start, Fetch::default(), "pull,push")
            .await?;
        let place = begun.header("location").and_then(|to| start.join(to).ok());
        let Some(mut place) = place.filter(|place| place.origin() == start.origin()) else {
            return Err(unexpected(reference, "it names no place for the upload"));
        };
        place
            .query_pairs_mut()
            .append_pair("digest", &digest.to_string());
        let fetch = Fetch {
            headers: vec![(
                "content-type".to_owned(),
                "application/octet-stream".to_owned(),
            )],
            body: bytes.into(),
            ..Fetch::default()
        };
        self.ask(reference, "PUT", &place, fetch, "pull,push")
            .await?;
        Ok(())
    }

    async fn put_manifest(
        &self,
        reference: &Reference,
        name: &str,
        bytes: Vec<u8>,
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::of(&bytes);
        let fetch = Fetch {
            headers: vec![("content-type".to_owned(), MANIFEST.to_owned())],
            body: bytes.into(),
            ..Fetch::default()
        };
        let url = self.url(reference, &format!("manifests/{name}"))?;
        self.ask(reference, "PUT", &url, fetch, "pull,push").await?;
        Ok(digest)
    }

    /// Registries on this machine speak plain HTTP, as container tools have it.
    fn url(&self, reference: &Reference, rest: &str) -> Result<Url, RegistryError> {
        let host = reference
            .registry
            .rsplit_once(':')
            .map_or(reference.registry.as_str(), |(host, _)| host);
        let address = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        let scheme = if is_here { "http" } else { "https" };
        let text = format!(
            "{scheme}://{}/v2/{}/{rest}",
            reference.registry, reference.repository
        );
        Url::parse(&text).map_err(|error| unexpected(reference, format!("{text}: {error}")))
    }

    /// Sends a request; where the registry wants to know who asks, once more with credentials.
    async fn ask(
        &self,
        reference: &Reference,
        method: &str,
        url: &Url,
        fetch: Fetch,
        access: &str,
    ) -> Result<Fetched, RegistryError> {
        let failed = |source| RegistryError::Fetch {
            registry: reference.registry.clone(),
            source,
        };
        // A small answer in any case, so that its words can be shown.
        let limit = fetch.limit.max(64 << 10);
        let fetch = Fetch { limit, ..fetch };
        let mut answer = self
            .fetcher
            .send(method, url, fetch.clone())
            .await
            .map_err(failed)?;
        if answer.status == 401 {
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            let authorization = self.authorize(reference, challenge, access).await?;
            let mut fetch = fetch;
            fetch
                .headers
                .push(("authorization".to_owned(), authorization));
            answer = self
                .fetcher
                .send(method, url, fetch)
                .await
                .map_err(failed)?;
        }
        match answer.status {
            200..=299 => Ok(answer),
            401 | 403 => Err(RegistryError::Unauthorized(reference.registry.clone())),
            404 => Err(RegistryError::NotFound(reference.to_string())),
            status => {
                let text = String::from_utf8_lossy(&answer.body);
                let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
                Err(unexpected(
                    reference,
                    format!("it answered {status}: {text}"),
                ))
            }
        }
    }

    /// The header for a challenge: `Basic`, or a token (Distribution's token authentication).
    async fn authorize(
        &self,
        reference: &Reference,
        challenge: &str,
        access: &str,
    ) -> Result<String, RegistryError> {
        let refused = || RegistryError::Unauthorized(reference.registry.clone());
        let own = self.credentials.as_ref();
        let own = own.filter(|own| own.registry == reference.registry);
        let basic = own.map(|Credentials { user, password, .. }| {
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        });
        let (scheme, parameters) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return basic.ok_or_else(refused);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        let parameter = |name: &str| parameter(parameters, name);
        let realm = parameter("realm").ok_or_else(refused)?;
        let mut url = Url::parse(&realm).map_err(|_| refused())?;
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = parameter("service") {
                query.append_pair("service", &service);
            }
            let scope = format!("repository:{}:{access}", reference.repository);
            query.append_pair("scope", &scope);
        }
        let fetch = Fetch {
            headers: basic
                .map(|basic| ("authorization".to_owned(), basic))
                .into_iter()
                .collect(),
            limit: 64 << 10,
            is_found: url.origin() != self.url(reference, "")?.origin(),
            ..Fetch::default()
        };
        let answer = self
            .fetcher
            .send("GET", &url, fetch)
            .await
            .map_err(|source| RegistryError::Fetch {
                registry: reference.registry.clone(),
                source,
            })?;
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let token = said["token"].as_str().or(said["access_token"].as_str());
        match token {
            Some(token) if answer.status == 200 => Ok(format!("Bearer {token}")),
            _ => Err(refused()),
        }
    }
}

/// A parameter of a challenge: `realm="https://a.example/token",service="a"`.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut rest = parameters;
    while let Some((key, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim().trim_start_matches(',').trim() == name {
            return Some(value.to_owned());
        }
        rest = next;
    }
    None
}

fn unexpected(reference: &Reference, problem: impl Into<String>) -> RegistryError {
    RegistryError::Unexpected {
        registry: reference.registry.clone(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::parameter;

    #[test]
    fn challenges() {
        let text =
            r#"realm="https://auth.example/token?a=b,c",service=registry.example, scope="x""#;
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(parameter(text, name).as_deref(), expected, "{name}");
        };
        check("realm", Some("https://auth.example/token?a=b,c"));
        check("service", Some("registry.example"));
        check("scope", Some("x"));
        check("other", None);
    }
}
