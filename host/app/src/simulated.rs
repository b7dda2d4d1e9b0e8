//! A project's connections against a simulated tenant: the tenant that they need, the same connections
//! with its addresses, and everybody signed in.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use docket_connections::LoopbackRedirect;
use docket_model::{ConnectionKind, ConnectionSpec, Manifest, Project as Spec};
use docket_tenant::{
    AppConfig, RedirectKind, RedirectUri, Right, RightKind, SecretConfig, Tenant, TenantConfig,
    UserConfig,
};
use secrecy::SecretString;

use crate::host::Host;

/// What every sign-in asks for beside the actions' scopes.
const ALWAYS: [&str; 4] = ["User.Read", "offline_access", "openid", "profile"];

/// The connections of a project that a tenant can simulate: those to Entra ID.
fn connections(spec: &Spec) -> impl Iterator<Item = (&String, &ConnectionSpec)> {
    let all = spec.connections.iter();
    all.filter(|(_, connection)| connection.provider.is_none())
}

/// A tenant with what the connections of a project need: accounts, mailboxes, rights, and app
/// registrations with all permissions that the plugins ask for. `people` may use the mailboxes of the
/// connections of the kind per-user. `base` is what is there anyway.
pub(crate) fn tenant_config<'m>(
    spec: &Spec,
    plugins: impl IntoIterator<Item = &'m Manifest>,
    people: &[String],
    base: TenantConfig,
) -> TenantConfig {
    let mut config = base;
    let scopes: Vec<_> = plugins
        .into_iter()
        .flat_map(|plugin| &plugin.actions)
        .flat_map(|action| &action.scopes)
        .collect();
    let mut delegated: BTreeSet<&str> = ALWAYS.into_iter().collect();
    delegated.extend(scopes.iter().map(|need| need.name.as_str()));
    delegated.extend(scopes.iter().filter_map(|need| need.shared.as_deref()));
    let roles: BTreeSet<&str> = scopes
        .iter()
        .filter_map(|need| need.application.as_deref())
        .collect();
    let names: Vec<&String> = connections(spec)
        .flat_map(|(_, one)| one.account.iter().chain(one.mailboxes.iter().flatten()))
        .collect();
    if let Some((_, domain)) = names.first().and_then(|name| name.split_once('@')) {
        domain.clone_into(&mut config.domain);
    }
    for (_, connection) in connections(spec) {
        if let Some(account) = &connection.account {
            add_user(&mut config, UserConfig::person(account, &spoken(account)));
        }
        for mailbox in connection.mailboxes.iter().flatten() {
            add_user(&mut config, UserConfig::shared(mailbox, &spoken(mailbox)));
        }
    }
    for person in people {
        add_user(&mut config, UserConfig::person(person, &spoken(person)));
    }
    for (_, connection) in connections(spec) {
        let users: Vec<&String> = match connection.kind {
            ConnectionKind::PerUser => people.iter().collect(),
            _ => connection.account.iter().collect(),
        };
        for mailbox in connection.mailboxes.iter().flatten() {
            for user in users.iter().filter(|user| **user != mailbox) {
                for kind in [RightKind::FullAccess, RightKind::SendAs] {
                    let right = Right::new(user, kind, mailbox);
                    if !config.rights.contains(&right) {
                        config.rights.push(right);
                    }
                }
            }
        }
        let is_known = |app: &AppConfig| app.client_id == connection.client_id;
        if config.apps.iter().any(is_known) {
            continue;
        }
        let mut app = AppConfig::new(&connection.client_id, "docket");
        app.redirects = vec![RedirectUri {
            uri: "http://localhost/callback".to_owned(),
            kind: RedirectKind::Web,
        }];
        app.secrets = vec![SecretConfig {
            id: "simulated".to_owned(),
            value: None,
            expires: None,
        }];
        app.delegated = delegated.iter().map(|&scope| scope.to_owned()).collect();
        app.roles = roles.iter().map(|&role| role.to_owned()).collect();
        config.apps.push(app);
    }
    config
}

fn add_user(config: &mut TenantConfig, user: UserConfig) {
    let is_there = |known: &UserConfig| known.upn.eq_ignore_ascii_case(&user.upn);
    if !config.users.iter().any(is_there) {
        config.users.push(user);
    }
}

/// A display name of an address: `anna.berger@…` is Anna Berger.
fn spoken(address: &str) -> String {
    let local = address.split('@').next().unwrap_or(address);
    let words = local
        .split(['.', '-', '_'])
        .filter(|word| !word.is_empty())
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_uppercase().to_string());
            first.unwrap_or_default() + letters.as_str()
        });
    words.collect::<Vec<_>>().join(" ")
}

/// The connections of a project as they are with a tenant, for a project file. `ca_file` holds the
/// tenant's certificate authority.
pub(crate) fn connections_text(spec: &Spec, tenant: &Tenant, ca_file: &str) -> String {
    let mut text = String::from("connections:\n");
    for (name, connection) in connections(spec) {
        // Writing to a string cannot fail.
        let _ = connection_text(&mut text, name, connection, tenant, ca_file);
    }
    text
}

fn connection_text(
    text: &mut String,
    name: &str,
    connection: &ConnectionSpec,
    tenant: &Tenant,
    ca_file: &str,
) -> std::fmt::Result {
    writeln!(text, "  {name}:\n    kind: {}", connection.kind.as_str())?;
    if let Some(account) = &connection.account {
        writeln!(text, "    account: {}", quoted(account))?;
    }
    if let Some(mailboxes) = &connection.mailboxes {
        let all: Vec<String> = mailboxes.iter().map(|mailbox| quoted(mailbox)).collect();
        writeln!(text, "    mailboxes: [{}]", all.join(", "))?;
    }
    if let Some(fallback) = &connection.fallback {
        writeln!(text, "    fallback: {fallback}")?;
    }
    let origin = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
    writeln!(
        text,
        "    tenant: {}
    client-id: {}
    authority: {}
    endpoints:
      graph: {}
      outlook: {}
    # The tenant is simulated on this machine: its CA is its own, its addresses are loopback.
    ca-file: {}
    allow-addresses:
      - 127.0.0.0/8
",
        tenant.state().tenant_id(),
        quoted(&connection.client_id),
        origin(tenant.authority()),
        origin(tenant.graph()),
        origin(tenant.outlook()),
        quoted(ca_file),
    )
}

/// Text as YAML has it whatever is in it: JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Stores each connection's client secret, and signs the service accounts in by the real flow, with
/// the tenant's person at the browser. `users` sign in to each connection of the kind per-user.
pub(crate) async fn sign_everybody_in(
    host: &Host,
    tenant: &Tenant,
    users: &[String],
) -> Result<()> {
    for (name, connection) in connections(&host.project.spec) {
        let secret = tenant
            .state()
            .client_secret(&connection.client_id)
            .context("the tenant has no client secret")?;
        let secret = SecretString::from(secret);
        host.connections.set_client_secret(name, &secret, None)?;
        let people: Vec<(Option<&str>, &str)> = match connection.kind {
            ConnectionKind::PerUser => users
                .iter()
                .map(|user| (Some(user.as_str()), user.as_str()))
                .collect(),
            _ => connection
                .account
                .iter()
                .map(|account| (None, account.as_str()))
                .collect(),
        };
        for (user, account) in people {
            sign_in(host, tenant, (name, user), account).await?;
        }
    }
    Ok(())
}

async fn sign_in(
    host: &Host,
    tenant: &Tenant,
    (connection, user): (&str, Option<&str>),
    account: &str,
) -> Result<()> {
    let redirect = LoopbackRedirect::bind()
        .await
        .context("loopback cannot be listened on")?;
    let (connections, uri) = (&host.connections, redirect.redirect_uri());
    let scopes = host.scopes(connection);
    let begun = connections.begin_sign_in(connection, user, Some(&uri), &scopes)?;
    // Whoever is not let in is not waited for.
    let visited = async { Ok(tenant.sign_in(&begun.authorize_url, account).await?) };
    let answered = async { anyhow::Ok(redirect.wait(&begun.state).await?) };
    let (_, answer) = tokio::try_join!(visited, answered)?;
    connections.finish_sign_in(answer).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use docket_model::{SourceFile, parse_project};

    const PROJECT: &str = "connections:
  main:
    kind: service-account
    tenant: example.com
    client-id: 11111111-2222-3333-4444-555555555555
    account: robot@example.com
    mailboxes: [sales@example.com]
  people:
    kind: per-user
    tenant: example.com
    client-id: 11111111-2222-3333-4444-555555555555
    fallback: main
  other:
    kind: app-only
    client-id: x
    endpoints: {api: https://api.example.com}
    provider: {token-url: https://id.example.com/token, token-for: [api]}
";

    #[tokio::test]
    async fn a_project_keeps_what_it_says_and_goes_to_the_tenant() {
        let (spec, found) = parse_project(&SourceFile::new("docket.yaml", PROJECT));
        let spec = spec.unwrap_or_else(|| panic!("{found}"));
        let people = ["anna@example.com".to_owned()];
        let config = tenant_config(&spec, [], &people, TenantConfig::default());
        assert_eq!(config.domain, "example.com");
        assert_eq!(
            config.apps.len(),
            1,
            "one registration serves both connections"
        );
        let mut users: Vec<&str> = config.users.iter().map(|user| user.upn.as_str()).collect();
        users.sort_unstable();
        assert_eq!(
            users,
            ["anna@example.com", "robot@example.com", "sales@example.com"]
        );
        assert_eq!(config.rights.len(), 2, "{:?}", config.rights);

        let clock = std::sync::Arc::new(docket_tenant::SystemClock);
        let tenant = Tenant::start(config, clock).await.expect("a tenant");
        let text = connections_text(&spec, &tenant, "ca.pem");
        let (local, found) = parse_project(&SourceFile::new("docket.local.yaml", text));
        let local = local.unwrap_or_else(|| panic!("{found}")).connections;
        assert!(
            !local.contains_key("other"),
            "another provider is not simulated"
        );
        let main = &local["main"];
        assert_eq!(main.account.as_deref(), Some("robot@example.com"));
        assert_eq!(main.mailboxes, spec.connections["main"].mailboxes);
        assert!(main.endpoints["graph"].starts_with("https://localhost:"));
        assert_eq!(local["people"].fallback.as_deref(), Some("main"));
    }

    #[test]
    fn names_are_made_of_addresses() {
        assert_eq!(spoken("anna.berger@example.com"), "Anna Berger");
        assert_eq!(spoken("svc-docket@example.com"), "Svc Docket");
        assert_eq!(spoken(""), "");
    }
}
