//! Where a connection's accounts sign in: Entra ID's endpoints, or a provider's own.

use jsonwebtoken::jwk::JwkSet;
use oauth2::{AuthUrl, DeviceAuthorizationUrl, TokenUrl};
use serde::Deserialize;
use url::Url;

use super::exchange::{NoAnswer, Service};
use crate::policy::url::same_origin;

/// A sign-in service.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(super) authorize: Option<AuthUrl>,
    pub(crate) token: TokenUrl,
    pub(super) device: Option<DeviceAuthorizationUrl>,
    /// Who vouches for those who sign in; `None` where nobody does.
    pub(super) issuer: Option<Issuer>,
    /// What client credentials ask for.
    pub(super) app_scopes: Vec<String>,
    /// Whether it is Entra ID.
    pub(crate) is_entra: bool,
}

/// Who issues id tokens, and with which keys.
#[derive(Debug, Clone)]
pub(super) enum Issuer {
    /// Entra ID: whatever its discovery document says, with the keys on the same host.
    Entra(Url),
    /// The issuer of that name; its keys are there, or where its discovery document says.
    Named(String, Option<Url>),
}

/// What of the discovery document counts.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: Url,
}

impl Provider {
    /// Entra ID (Entra: v2-oauth2-auth-code-flow.md). `resource` is what application tokens are for.
    ///
    /// # Errors
    /// When the authority is no URL.
    pub(crate) fn entra(
        authority: &str,
        tenant: &str,
        resource: &str,
    ) -> Result<Self, url::ParseError> {
        let base = format!("{authority}/{tenant}/oauth2/v2.0");
        let discovery = format!("{authority}/{tenant}/v2.0/.well-known/openid-configuration");
        Ok(Self {
            authorize: Some(AuthUrl::new(format!("{base}/authorize"))?),
            token: TokenUrl::new(format!("{base}/token"))?,
            device: Some(DeviceAuthorizationUrl::new(format!("{base}/devicecode"))?),
            issuer: Some(Issuer::Entra(Url::parse(&discovery)?)),
            app_scopes: vec![format!("{resource}/.default")],
            is_entra: true,
        })
    }

    /// Another provider; the URLs were checked.
    ///
    /// # Errors
    /// When one of its URLs is none.
    pub(crate) fn other(spec: &docket_model::ProviderSpec) -> Result<Self, url::ParseError> {
        let jwks = spec.jwks_url.as_deref().map(Url::parse).transpose()?;
        Ok(Self {
            authorize: spec.authorize_url.clone().map(AuthUrl::new).transpose()?,
            token: TokenUrl::new(spec.token_url.clone())?,
            device: spec
                .device_url
                .clone()
                .map(DeviceAuthorizationUrl::new)
                .transpose()?,
            issuer: spec
                .issuer
                .clone()
                .map(|issuer| Issuer::Named(issuer, jwks)),
            app_scopes: spec.scopes.clone(),
            is_entra: false,
        })
    }

    /// What every sign-in asks for besides the workflows' needs: a refresh token, and who signed in.
    pub(super) fn always(&self) -> &'static [&'static str] {
        match (self.is_entra, &self.issuer) {
            (true, _) => &["offline_access", "openid", "profile"],
            (false, Some(_)) => &["email", "offline_access", "openid", "profile"],
            (false, None) => &[],
        }
    }

    /// The scopes, and those that every sign-in needs.
    pub(super) fn with_always(&self, scopes: &[String]) -> Vec<String> {
        let always = self.always().iter().map(|&scope| scope.to_owned());
        let mut all: Vec<String> = scopes.iter().cloned().chain(always).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The issuer's name, where it is known without asking.
    pub(super) fn issuer_name(&self) -> Option<&str> {
        match &self.issuer {
            Some(Issuer::Named(name, _)) => Some(name),
            _ => None,
        }
    }

    /// The issuer and its keys.
    ///
    /// # Errors
    /// Why they cannot be had; [`NoAnswer::Denied`] where the service is not to be trusted.
    pub(super) async fn keys(&self, service: &Service) -> Result<(String, JwkSet), NoAnswer> {
        let (issuer, jwks) = match &self.issuer {
            None => {
                return Err(NoAnswer::Denied(
                    "the provider has no issuer of id tokens".to_owned(),
                ));
            }
            Some(Issuer::Entra(at)) => {
                let found: Discovery = service.get_json(at).await?;
                if !same_origin(&found.jwks_uri, at) {
                    return Err(NoAnswer::Denied(
                        "the authority keeps its keys on another host".to_owned(),
                    ));
                }
                (found.issuer, found.jwks_uri)
            }
            Some(Issuer::Named(name, Some(jwks))) => (name.clone(), jwks.clone()),
            Some(Issuer::Named(name, None)) => {
                // OpenID Connect Discovery section 4.
                let at = format!(
                    "{}/.well-known/openid-configuration",
                    name.trim_end_matches('/')
                );
                let at = Url::parse(&at)
                    .map_err(|_| NoAnswer::Denied("the issuer is no URL".to_owned()))?;
                let found: Discovery = service.get_json(&at).await?;
                if found.issuer != *name {
                    return Err(NoAnswer::Denied(
                        "the issuer's own document names another issuer".to_owned(),
                    ));
                }
                if found.jwks_uri.scheme() != "https" && !same_origin(&found.jwks_uri, &at) {
                    return Err(NoAnswer::Denied(
                        "the issuer's keys are not https".to_owned(),
                    ));
                }
                (found.issuer, found.jwks_uri)
            }
        };
        let keys: JwkSet = service.get_json(&jwks).await?;
        Ok((issuer, keys))
    }
}
