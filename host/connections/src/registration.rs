//! The app registration that a connection needs in Entra ID, field by field
//! (Entra: quickstart-register-app.md, reply-url.md).

use docket_model::{Cloud, ConnectionKind};
use serde::Serialize;
use url::Url;

use crate::registry::{ConnectionError, Connections};

/// Where sign-ins on this machine come back to; Entra takes no notice of the port of `localhost`.
const LOOPBACK: &str = "http://localhost/callback";

/// An app registration: what to enter where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AppRegistration {
    /// The connection that it is for.
    pub connection: String,
    /// The page that begins it.
    pub portal: Url,
    /// Name.
    pub name: String,
    /// Application (client) ID, as `docket.yaml` has it.
    pub client_id: String,
    /// The directory that it is made in.
    pub tenant: String,
    /// Supported account types.
    pub account_types: &'static str,
    /// Authentication, Add a platform; `None` where nobody signs in.
    pub platform: Option<&'static str>,
    /// Redirect URIs of that platform.
    pub redirect_uris: Vec<String>,
    /// Authentication, Allow public client flows: needed for device codes without a client secret.
    pub allow_public_client_flows: bool,
    /// API permissions, Microsoft Graph.
    pub permissions: Vec<Permission>,
    /// The page where an administrator agrees to the permissions for everybody.
    pub admin_consent: Url,
    /// Certificates & secrets.
    pub credential: &'static str,
    /// What else is to be done, in order.
    pub then: Vec<String>,
}

/// A permission of an app registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Permission {
    /// Its name, such as `Mail.Send`.
    pub name: String,
    /// Under which heading.
    pub kind: PermissionKind,
}

/// Who a permission is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermissionKind {
    /// The application on behalf of whoever signed in.
    Delegated,
    /// The application by itself.
    Application,
}

impl Connections {
    /// The app registration that a connection needs, with the permissions that
    /// [`Connections::scopes`] gives.
    ///
    /// # Errors
    /// When there is no connection of that name, or it is not to Entra ID.
    pub fn registration(
        &self,
        connection: &str,
        scopes: &[String],
    ) -> Result<AppRegistration, ConnectionError> {
        let held = self.get(connection)?;
        let (spec, subject) = (&held.spec, &held.application.subject);
        let misconfigured = |problem: &str| ConnectionError::Auth(subject.misconfigured(problem));
        if spec.provider.is_some() {
            return Err(misconfigured(
                "the connection has a provider of its own; register the application there",
            ));
        }
        let is_application = spec.kind == ConnectionKind::AppOnly;
        let kind = match is_application {
            true => PermissionKind::Application,
            false => PermissionKind::Delegated,
        };
        let mut names: Vec<String> = scopes.to_vec();
        if !is_application {
            names.extend(["offline_access", "openid", "profile"].map(str::to_owned));
        }
        names.sort();
        names.dedup();
        let permissions = names.into_iter().map(|name| Permission { name, kind });
        let redirect_uris: Vec<String> = match is_application {
            true => Vec::new(),
            false => std::iter::once(LOOPBACK.to_owned())
                .chain(spec.redirect_uri.clone())
                .collect(),
        };
        let mut admin_consent = Url::parse(&spec.authority)
            .and_then(|authority| authority.join(&format!("/{}/adminconsent", spec.tenant)))
            .map_err(|_| misconfigured("the authority is no URL"))?;
        admin_consent
            .query_pairs_mut()
            .append_pair("client_id", &spec.client_id);
        if let Some(uri) = redirect_uris.last() {
            admin_consent
                .query_pairs_mut()
                .append_pair("redirect_uri", uri);
        }
        let portal =
            Url::parse(portal(spec.cloud)).map_err(|_| misconfigured("the cloud has no portal"))?;
        Ok(AppRegistration {
            connection: connection.to_owned(),
            portal,
            name: format!("Docket {connection}"),
            client_id: spec.client_id.clone(),
            tenant: spec.tenant.clone(),
            account_types: "Accounts in this organizational directory only (Single tenant)",
            platform: (!is_application).then_some("Web"),
            redirect_uris,
            allow_public_client_flows: false,
            permissions: permissions.collect(),
            admin_consent,
            credential: match is_application {
                true => {
                    "Certificates, Upload certificate (better), or Client secrets, New client secret"
                }
                false => "Client secrets, New client secret, or Certificates, Upload certificate",
            },
            then: then(connection, spec.kind, spec.account.as_deref()),
        })
    }
}

fn then(connection: &str, kind: ConnectionKind, account: Option<&str>) -> Vec<String> {
    let mut steps = vec![
        format!(
            "copy the Application (client) ID to connections.{connection}.client-id in docket.yaml"
        ),
        format!(
            "give the client secret's Value, or the certificate with its key, to `docket connections add {connection}`"
        ),
    ];
    match (kind, account) {
        (ConnectionKind::AppOnly, _) => steps.push(
            "limit the application to its mailboxes with RBAC for Applications in Exchange, and then remove its Mail permissions in Entra ID: an unlimited one would count as well"
                .to_owned(),
        ),
        (_, Some(account)) => steps.push(format!(
            "run `docket connections authorize {connection}` and sign in as {account}"
        )),
        (_, None) => steps.push("each user signs in when a run first needs them".to_owned()),
    }
    steps
}

/// Where applications are registered (Entra: authentication-national-cloud.md).
const fn portal(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Global => "https://entra.microsoft.com/#view/Microsoft_AAD_RegisteredApps",
        Cloud::UsGov | Cloud::UsGovDod => {
            "https://entra.microsoft.us/#view/Microsoft_AAD_RegisteredApps"
        }
        Cloud::China => "https://entra.microsoftonline.cn/#view/Microsoft_AAD_RegisteredApps",
    }
}
