//! A project with one connection, its vault in a temporary folder, and a clock that tests move.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use docket_connections::{
    Binding, Body, Callback, Connections, FinishError, GateError, KeySource, Request, Resolve,
    Response, SignedIn, SystemResolver, Vault,
};
use docket_model::{ConnectionKind, ConnectionSpec, ManualClock, RequestRule};
use docket_tenant::{DEMO_CLIENT_ID, Tenant, TenantConfig};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

pub(crate) const NAME: &str = "contracts";
pub(crate) const ACCOUNT: &str = "svc-docket@contoso.example";
pub(crate) const MAILBOX: &str = "contracts@contoso.example";
pub(crate) const REDIRECT: &str = "http://localhost/callback";

/// One clock for host and tenant.
pub(crate) struct SharedClock(pub(crate) Arc<ManualClock>);

impl docket_tenant::Clock for SharedClock {
    fn now(&self) -> Timestamp {
        docket_model::Clock::now(self.0.as_ref())
    }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new("2026-11-21T09:00:00Z".parse().unwrap()))
}

/// A resolver of a few names.
pub(crate) struct Names(pub(crate) &'static [(&'static str, &'static [&'static str])]);

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let known = self.0.iter().find(|(name, _)| *name == host);
        let (_, addresses) = known.ok_or_else(|| io::Error::other("no such name"))?;
        Ok(addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect())
    }
}

/// A connection whose endpoints are on loopback.
pub(crate) fn spec(endpoints: &[(&str, &str)]) -> ConnectionSpec {
    ConnectionSpec {
        account: Some(ACCOUNT.to_owned()),
        authority: "https://login.invalid".to_owned(),
        endpoints: endpoints
            .iter()
            .map(|&(name, url)| (name.to_owned(), url.to_owned()))
            .collect(),
        mailboxes: Some(vec![ACCOUNT.to_owned(), MAILBOX.to_owned()]),
        allow_addresses: vec!["127.0.0.0/8".to_owned()],
        ..ConnectionSpec::new(
            ConnectionKind::ServiceAccount,
            "contoso.example".to_owned(),
            DEMO_CLIENT_ID.to_owned(),
        )
    }
}

/// A project, without a tenant unless it has one.
pub(crate) struct Project {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) connections: Connections,
}

pub(crate) fn vault(folder: &Path) -> Vault {
    Vault::open(
        &folder.join("vault"),
        &KeySource::File(folder.join("vault.key")),
    )
    .unwrap()
}

impl Project {
    pub(crate) fn new(spec: ConnectionSpec) -> Self {
        Self::with(spec, Arc::new(SystemResolver))
    }

    pub(crate) fn with(spec: ConnectionSpec, resolver: Arc<dyn Resolve>) -> Self {
        Self::open(tempfile::tempdir().unwrap(), clock(), spec, resolver)
    }

    fn open(
        folder: TempDir,
        clock: Arc<ManualClock>,
        spec: ConnectionSpec,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        let specs = BTreeMap::from([(NAME.to_owned(), spec)]);
        let vault = vault(folder.path());
        let connections =
            Connections::open_with(&specs, vault, Arc::clone(&clock) as _, resolver).unwrap();
        Self {
            folder,
            clock,
            connections,
        }
    }

    /// A step of the plugin `exchange` with these grants.
    pub(crate) fn binding(&self, grants: &[&str]) -> Binding {
        self.connections
            .binding(Some(NAME), None, "exchange", &rules(grants))
            .unwrap()
    }
}

pub(crate) fn rules(grants: &[&str]) -> Vec<RequestRule> {
    grants
        .iter()
        .map(|grant| {
            let (method, url) = grant.split_once(' ').unwrap();
            RequestRule {
                method: method.to_owned(),
                url: url.to_owned(),
            }
        })
        .collect()
}

/// A tenant, and a project that is connected to it.
pub(crate) struct Office {
    pub(crate) tenant: Tenant,
    pub(crate) project: Project,
    pub(crate) spec: ConnectionSpec,
}

impl Office {
    /// Signed in.
    pub(crate) async fn open() -> Self {
        let office = Self::closed(|_, _| {}).await;
        office.sign_in().await;
        office
    }

    /// Not signed in yet, its client secret known; `change` may change the connection.
    pub(crate) async fn closed(change: impl FnOnce(&mut ConnectionSpec, &Tenant)) -> Self {
        let clock = clock();
        let shared = Arc::new(SharedClock(Arc::clone(&clock)));
        let tenant = Tenant::start(TenantConfig::contoso(), shared)
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, tenant.ca_pem()).unwrap();
        let trim = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
        let mut spec = ConnectionSpec {
            authority: trim(tenant.authority()),
            ca_file: Some(ca_file),
            ..spec(&[
                ("graph", &trim(tenant.graph())),
                ("outlook", &trim(tenant.outlook())),
            ])
        };
        change(&mut spec, &tenant);
        let project = Project::open(folder, clock, spec.clone(), Arc::new(SystemResolver));
        let secret = tenant.state().client_secret(DEMO_CLIENT_ID).unwrap();
        project
            .connections
            .set_client_secret(NAME, &secret.into(), None)
            .unwrap();
        Self {
            tenant,
            project,
            spec,
        }
    }

    /// The same project in a new process.
    pub(crate) fn reopened(self) -> Self {
        let Self {
            tenant,
            project,
            spec,
        } = self;
        let Project {
            folder,
            clock,
            connections,
        } = project;
        drop(connections);
        let project = Project::open(folder, clock, spec.clone(), Arc::new(SystemResolver));
        Self {
            tenant,
            project,
            spec,
        }
    }

    pub(crate) async fn sign_in(&self) -> SignedIn {
        self.sign_in_as(ACCOUNT).await.unwrap()
    }

    /// Somebody signs in by the link that is meant for the connection's account.
    pub(crate) async fn sign_in_as(&self, user: &str) -> Result<SignedIn, FinishError> {
        let connections = &self.project.connections;
        let begun = connections
            .begin_sign_in(NAME, None, Some(REDIRECT), &scopes())
            .unwrap();
        let query = choose(&self.tenant, &begun.authorize_url, user).await;
        connections
            .finish_sign_in(Callback::from_query(&query).unwrap())
            .await
    }

    /// How often the token endpoint was asked.
    pub(crate) fn token_requests(&self) -> usize {
        let requests = self.tenant.state().requests();
        requests
            .iter()
            .filter(|request| request.path.ends_with("/oauth2/v2.0/token"))
            .count()
    }

    pub(crate) fn mailbox_url(&self, path: &str) -> String {
        format!("{}v1.0/users/{MAILBOX}/{path}", self.tenant.graph())
    }
}

pub(crate) fn scopes() -> Vec<String> {
    ["Mail.ReadWrite.Shared", "Mail.Send.Shared"]
        .map(str::to_owned)
        .to_vec()
}

/// Picks an account on the tenant's authorize page (an empty one cancels) and gives the query of the
/// redirect that follows, or the form that is posted there.
pub(crate) async fn choose(tenant: &Tenant, authorize_url: &Url, user: &str) -> String {
    let plain = tenant.plain();
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("choice", user)
        .finish();
    let request = format!(
        "POST {}?{} HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        authorize_url.path(),
        authorize_url.query().unwrap(),
        plain.port().unwrap(),
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", plain.port().unwrap()))
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let location = answer
        .split("\r\n")
        .find_map(|line| line.strip_prefix("location: "));
    match location {
        Some(location) => Url::parse(location).unwrap().query().unwrap().to_owned(),
        // A page that posts itself.
        None => {
            let fields = answer.split("<input type=\"hidden\" name=\"").skip(1);
            let fields = fields.map(|field| {
                let (name, rest) = field.split_once("\" value=\"").unwrap();
                (name, rest.split_once('"').unwrap().0)
            });
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(fields).finish()
        }
    }
}

pub(crate) fn get(url: &str) -> Request {
    request("GET", url)
}

pub(crate) fn request(method: &str, url: &str) -> Request {
    Request {
        method: method.to_owned(),
        url: url.into(),
        headers: Vec::new(),
        body: None,
        with_token: false,
        timeout: Duration::from_secs(20),
    }
}

pub(crate) fn signed(request: Request) -> Request {
    Request {
        with_token: true,
        ..request
    }
}

pub(crate) fn body(chunks: &[&str]) -> Body {
    let chunks: Vec<_> = chunks
        .iter()
        .map(|chunk| Bytes::from((*chunk).to_owned()))
        .collect();
    Body {
        size: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
        chunks: stream::iter(chunks.into_iter().map(Ok)).boxed(),
    }
}

pub(crate) async fn text(response: Response) -> Result<String, GateError> {
    let bytes: Vec<Bytes> = response.body.try_collect().await?;
    Ok(String::from_utf8(bytes.concat()).unwrap())
}

#[track_caller]
pub(crate) fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response
        .headers
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.as_str())
}

/// The error of what must not succeed; answers have no `Debug`.
#[track_caller]
pub(crate) fn refused(result: Result<Response, GateError>) -> GateError {
    match result {
        Ok(response) => panic!("answered {}", response.status),
        Err(error) => error,
    }
}
