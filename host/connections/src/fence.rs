//! What may leave, asked without a network: the policy as plugins' makers meet it in tests.

use std::sync::Arc;

use docket_model::{ConnectionKind, RequestRule};
use url::Url;

use crate::binding::AccountInfo;
use crate::gate::GateError;
use crate::mailboxes::MailboxIds;
use crate::policy::{Endpoint, InvalidGrant, Policy, Scope, headers};

/// The policy of a plugin's grants with an account, or with none. It holds no token and sends nothing.
#[derive(Debug, Clone)]
pub struct Fence(Policy);

impl Fence {
    /// A fence for these grants. The account's endpoints all take its token; the one called `graph` is
    /// Microsoft Graph. Without `mailboxes` the account has its own.
    ///
    /// # Errors
    /// The first grant that is no rule.
    pub fn new(
        plugin: &str,
        grants: &[RequestRule],
        account: Option<&AccountInfo>,
        mailboxes: Option<&[String]>,
    ) -> Result<Self, InvalidGrant> {
        let scope = account.map(|account| {
            let endpoints = account.endpoints.iter().filter_map(|(name, url)| {
                let base = Url::parse(url).ok()?;
                Some(Endpoint::new(name.clone(), base, true, name == "graph"))
            });
            Arc::new(Scope {
                connection: account.connection.clone(),
                endpoints: endpoints.collect(),
                own: (account.kind != ConnectionKind::AppOnly).then(|| account.name.clone()),
                is_per_user: account.kind == ConnectionKind::PerUser,
                mailboxes: mailboxes.map(<[String]>::to_vec),
                ids: Arc::new(MailboxIds::default()),
            })
        });
        Policy::new(plugin, grants, scope).map(Self)
    }

    /// Whether the request may leave.
    ///
    /// # Errors
    /// [`GateError::Denied`] with the remedy, or [`GateError::Invalid`].
    pub fn check(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        with_token: bool,
    ) -> Result<(), GateError> {
        let allowed = self.0.check(method, url)?;
        headers::check(headers)?;
        if with_token && !allowed.takes_token {
            return Err(GateError::Denied {
                what: format!(
                    "the account's token for {}",
                    allowed.url.origin().ascii_serialization()
                ),
                remedy: "tokens go only to the endpoints of their connection: leave the token out"
                    .to_owned(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(account: Option<&AccountInfo>) -> Fence {
        let grants = [
            ("GET", "{graph}/v1.0/users/{mailbox}/**"),
            ("POST", "https://chat.example/hooks/*"),
        ]
        .map(|(method, url)| RequestRule {
            method: method.to_owned(),
            url: url.to_owned(),
        });
        Fence::new("probe", &grants, account, None).unwrap()
    }

    #[test]
    fn lets_out_what_was_asked_for() {
        let account = AccountInfo {
            connection: "case".to_owned(),
            name: "svc@contoso.example".to_owned(),
            kind: ConnectionKind::ServiceAccount,
            endpoints: vec![("graph".to_owned(), "https://graph.test".to_owned())],
        };
        let check = |account: Option<&AccountInfo>, request: &str, with_token, expected: &str| {
            let (method, url) = request.split_once(' ').unwrap();
            let found = match fence(account).check(method, url, &[], with_token) {
                Ok(()) => "ok".to_owned(),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{request}: {found}");
        };
        let own = "GET https://graph.test/v1.0/users/svc@contoso.example/messages";
        check(Some(&account), own, true, "ok");
        check(None, own, false, "not allowed");
        let other = "GET https://graph.test/v1.0/users/boss@contoso.example/messages";
        check(Some(&account), other, true, "mailbox");
        let hook = "POST https://chat.example/hooks/1";
        check(None, hook, false, "ok");
        check(Some(&account), hook, true, "token");
        check(
            None,
            "POST https://chat.example/other/1",
            false,
            "not allowed",
        );
    }

    #[test]
    fn the_hosts_own_headers_are_its_own() {
        let headers = [("Authorization".to_owned(), "Bearer x".to_owned())];
        let found = fence(None).check("POST", "https://chat.example/hooks/1", &headers, false);
        assert!(matches!(found, Err(GateError::Denied { .. })), "{found:?}");
    }
}
