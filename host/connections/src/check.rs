//! The connections of `docket.yaml`, held against what can be dialled and signed in with.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use docket_model::{Clock, ConnectionKind, ConnectionSpec};
use url::{Host, Url};

use crate::binding::Connection;
use crate::dial::{Addresses, Authorities, Resolve, Transport, read_ca_file};
use crate::oauth::{Application, Provider, Subject};
use crate::policy::Endpoint;
use crate::vault::Vault;

/// The name of the endpoint that Entra's tokens are issued for; they are sent nowhere else.
const GRAPH: &str = "graph";

/// Everything that is wrong with the connections of a project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct OpenError {
    /// The problems, none left out.
    pub problems: Vec<SpecProblem>,
}

/// What is wrong with one connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("connections.{connection}.{field} in docket.yaml: {problem}")]
pub struct SpecProblem {
    /// The connection.
    pub connection: String,
    /// The key in it.
    pub field: &'static str,
    /// What is wrong, and how it must be.
    pub problem: String,
}

/// What connections are made of, besides what they say of themselves.
pub(crate) struct Parts {
    pub(crate) vault: Vault,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) resolver: Arc<dyn Resolve>,
    /// One client for each trust configuration, shared by the connections that have it.
    pub(crate) transports: HashMap<(Addresses, Authorities), Transport>,
}

impl Parts {
    pub(crate) fn transport(
        &mut self,
        addresses: Addresses,
        authorities: Authorities,
    ) -> Transport {
        let key = (addresses, authorities);
        if let Some(known) = self.transports.get(&key) {
            return known.clone();
        }
        let (addresses, authorities) = key.clone();
        let built = Transport::new(addresses, authorities, Arc::clone(&self.resolver));
        self.transports.insert(key, built.clone());
        built
    }
}

/// Makes the connections, or says everything that is wrong with them.
///
/// # Errors
/// Every problem of every connection.
pub(crate) fn check(
    specs: &BTreeMap<String, ConnectionSpec>,
    parts: &mut Parts,
) -> Result<BTreeMap<String, Arc<Connection>>, OpenError> {
    let mut problems = Vec::new();
    let mut by_name = BTreeMap::new();
    for (name, spec) in specs {
        let mut check = Check {
            name,
            problems: &mut problems,
        };
        if let Some(connection) = check.spec(spec, parts) {
            by_name.insert(name.clone(), Arc::new(connection));
        }
        check.fallback(spec, specs);
    }
    match problems.is_empty() {
        true => Ok(by_name),
        false => Err(OpenError { problems }),
    }
}

/// Checks one connection and collects what is wrong with it.
struct Check<'c> {
    name: &'c str,
    problems: &'c mut Vec<SpecProblem>,
}

impl Check<'_> {
    fn problem(&mut self, field: &'static str, problem: impl Into<String>) {
        let (connection, problem) = (self.name.to_owned(), problem.into());
        self.problems.push(SpecProblem {
            connection,
            field,
            problem,
        });
    }

    /// The connection, where nothing is wrong with it.
    fn spec(&mut self, spec: &ConnectionSpec, parts: &mut Parts) -> Option<Connection> {
        let before = self.problems.len();
        self.texts(spec);
        let provider = self.provider(spec);
        let endpoints = self.endpoints(spec);
        if let Some(uri) = &spec.redirect_uri {
            self.base("redirect-uri", uri);
        }
        let addresses = match Addresses::parse(&spec.allow_addresses) {
            Ok(addresses) => addresses,
            Err(text) => {
                self.problem(
                    "allow-addresses",
                    format!("`{text}` is no range of addresses; write 10.0.0.0/8, or one address"),
                );
                Addresses::default()
            }
        };
        let authorities = match spec.ca_file.as_deref().map(read_ca_file) {
            None => Authorities::new(),
            Some(Ok(found)) => found,
            Some(Err(problem)) => {
                self.problem("ca-file", problem);
                Authorities::new()
            }
        };
        if self.problems.len() > before {
            return None;
        }
        let provider = provider?;
        let authority = match &spec.provider {
            None => spec.authority.trim_end_matches('/').to_owned(),
            Some(other) => other.token_url.clone(),
        };
        let subject = Subject {
            connection: self.name.to_owned(),
            account: String::new(),
            client_id: spec.client_id.clone(),
            tenant: match &spec.provider {
                None => spec.tenant.clone(),
                Some(_) => "the provider".to_owned(),
            },
            authority,
            is_application: false,
            is_per_user: spec.kind == ConnectionKind::PerUser,
            is_entra: spec.provider.is_none(),
        };
        let application = Application::new(
            subject,
            provider,
            parts.transport(addresses, authorities),
            parts.vault.clone(),
            Arc::clone(&parts.clock),
        );
        Some(Connection::new(
            self.name,
            spec.clone(),
            Arc::new(application),
            endpoints,
        ))
    }

    fn texts(&mut self, spec: &ConnectionSpec) {
        if ["common", "organizations", "consumers"].contains(&spec.tenant.as_str()) {
            self.problem(
                "tenant",
                "a connection is to one directory: write its id or domain",
            );
        }
        let account = match (spec.kind, &spec.account) {
            (ConnectionKind::ServiceAccount, account) => {
                Some(("account", account.as_deref().unwrap_or_default()))
            }
            (_, Some(_)) => {
                self.problem("account", "only service accounts have one");
                None
            }
            (_, None) => None,
        };
        let tenant = spec
            .provider
            .is_none()
            .then_some(("tenant", spec.tenant.as_str()));
        let client_id = Some(("client-id", spec.client_id.as_str()));
        for (field, text) in [tenant, client_id, account].into_iter().flatten() {
            if text.is_empty()
                || !text
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"/?#%\\".contains(&byte))
            {
                self.problem(
                    field,
                    "it is empty, or holds characters that do not belong there",
                );
            }
        }
        if spec.kind == ConnectionKind::AppOnly
            && spec.provider.is_none()
            && spec.mailboxes.as_ref().is_none_or(Vec::is_empty)
        {
            self.problem(
                "mailboxes",
                "an application could use every mailbox: list the ones that it may use",
            );
        }
        let limits = spec.limits;
        if limits.at_a_time == 0
            || limits.per_10_minutes == 0
            || limits.upload_mb_per_5_minutes == 0
        {
            self.problem("limits", "a limit is 1 at least");
        }
    }

    fn provider(&mut self, spec: &ConnectionSpec) -> Option<Provider> {
        let Some(other) = &spec.provider else {
            let authority = self.base("authority", &spec.authority)?;
            let authority = authority.as_str().trim_end_matches('/');
            let built = Provider::entra(authority, &spec.tenant, spec.cloud.graph());
            // The tenant's own problem was told.
            return built.ok();
        };
        let before = self.problems.len();
        for (field, url) in [
            ("provider.token-url", Some(&other.token_url)),
            ("provider.authorize-url", other.authorize_url.as_ref()),
            ("provider.device-url", other.device_url.as_ref()),
            ("provider.issuer", other.issuer.as_ref()),
            ("provider.jwks-url", other.jwks_url.as_ref()),
        ] {
            if let Some(url) = url {
                self.base(field, url);
            }
        }
        if spec.kind == ConnectionKind::PerUser && other.issuer.is_none() {
            self.problem(
                "provider.issuer",
                "without an issuer nobody can tell who signed in; add it, or use a service account",
            );
        }
        for name in &other.token_for {
            if !spec.endpoints.contains_key(name) {
                self.problem(
                    "provider.token-for",
                    format!("there is no endpoint `{name}`"),
                );
            }
        }
        (self.problems.len() == before)
            .then(|| Provider::other(other).ok())
            .flatten()
    }

    fn endpoints(&mut self, spec: &ConnectionSpec) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for (name, base) in &spec.endpoints {
            let Some(base) = self.base("endpoints", base) else {
                continue;
            };
            let (takes_token, is_graph) = match &spec.provider {
                None => (name == GRAPH, name == GRAPH),
                Some(provider) => (provider.token_for.contains(name), false),
            };
            endpoints.push(Endpoint::new(name.clone(), base, takes_token, is_graph));
        }
        endpoints
    }

    /// A fallback is a service account, and stands behind a connection of the kind per-user.
    fn fallback(&mut self, spec: &ConnectionSpec, specs: &BTreeMap<String, ConnectionSpec>) {
        let Some(name) = &spec.fallback else {
            return;
        };
        if spec.kind != ConnectionKind::PerUser {
            self.problem("fallback", "only connections of the kind per-user have one");
        } else if specs.get(name).map(|spec| spec.kind) != Some(ConnectionKind::ServiceAccount) {
            self.problem("fallback", format!("`{name}` is no service account"));
        }
    }

    /// A URL: https, or http on loopback where it says so.
    fn base(&mut self, field: &'static str, text: &str) -> Option<Url> {
        let text = text.trim_end_matches('/');
        let url = match crate::policy::url::normalise(text) {
            Ok(url) => url,
            Err(problem) => {
                self.problem(field, problem);
                return None;
            }
        };
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if url.query().is_some() {
            self.problem(field, "the URL has no query");
            return None;
        }
        if url.scheme() != "https" && !is_loopback {
            self.problem(field, "http is for this machine only; write https://…");
            return None;
        }
        Some(url)
    }
}
