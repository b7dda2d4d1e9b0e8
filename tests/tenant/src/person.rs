//! A person at a browser: follows a sign-in link, picks an account, consents, and lands where the
//! application waits. For demos and tests, where nobody sits at the screen.

use http::header::LOCATION;
use reqwest::redirect::Policy;
use serde_json::Value;
use url::Url;

use crate::Tenant;
use crate::error::TenantError;

impl Tenant {
    /// Opens `link` (an authorize URL of this tenant) as `user` would in a browser, over TLS, and
    /// follows the redirect back to the application. Returns the status that the application
    /// answered with.
    ///
    /// # Errors
    /// [`TenantError::SignIn`], with what the page said, where the tenant does not let `user` in,
    /// or the application does not answer.
    pub async fn sign_in(&self, link: &Url, user: &str) -> Result<u16, TenantError> {
        let browser = self.browser()?;
        let mut page = browser.get(link.clone()).send().await.map_err(failed)?;
        // The account, and, where the application asks for more than before, the consent.
        for form in [
            vec![("choice", user)],
            vec![("choice", user), ("consent", "accept")],
        ] {
            if page.status().is_redirection() {
                break;
            }
            page = browser
                .post(link.clone())
                .form(&form)
                .send()
                .await
                .map_err(failed)?;
        }
        let status = page.status();
        let target = page
            .headers()
            .get(LOCATION)
            .and_then(|target| target.to_str().ok())
            .and_then(|target| link.join(target).ok());
        let Some(target) = target else {
            let text = page.text().await.map_err(failed)?;
            let said = text
                .split("<pre>")
                .nth(1)
                .and_then(|rest| rest.split("</pre>").next());
            return Err(TenantError::SignIn(format!(
                "{user} was not let in (status {status}): {}",
                said.unwrap_or("the page says nothing")
            )));
        };
        let landed = browser.get(target).send().await.map_err(failed)?;
        Ok(landed.status().as_u16())
    }

    /// Asks the tenant's own API, over TLS as anybody outside would: a path such as
    /// `/_tenant/mailboxes`.
    ///
    /// # Errors
    /// [`TenantError::Ask`] where there is no answer, or it is no JSON.
    pub async fn ask(&self, path: &str) -> Result<Value, TenantError> {
        let asked = |error: reqwest::Error| TenantError::Ask(error.to_string());
        let answer = self
            .browser()?
            .get(self.graph().join(path)?)
            .send()
            .await
            .map_err(asked)?;
        answer
            .error_for_status()
            .map_err(asked)?
            .json()
            .await
            .map_err(asked)
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a browser is not the host, and has a way of its own to the network"
    )]
    fn browser(&self) -> Result<reqwest::Client, TenantError> {
        // Whoever installed another provider before is welcome to it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trusted = reqwest::Certificate::from_pem(self.ca_pem().as_bytes()).map_err(failed)?;
        reqwest::Client::builder()
            .tls_certs_only([trusted])
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(failed)
    }
}

fn failed(error: reqwest::Error) -> TenantError {
    TenantError::SignIn(error.to_string())
}
