//! The least that a connection must be allowed: permissions derived from what actions need.

use std::collections::BTreeSet;

use docket_model::{ConnectionKind, ScopeNeed};

use crate::registry::{Connections, UnknownConnection};

/// What a connection of this kind must be granted for actions with these needs: delegated scopes, or
/// application permissions where it is app-only. The `.Shared` ones stand in the place of the others
/// where `reaches_others` says that another mailbox than the account's own is used; they cover the own
/// one, too (Graph: permissions-reference.md).
#[must_use]
pub fn scopes<'n>(
    kind: ConnectionKind,
    reaches_others: bool,
    needs: impl IntoIterator<Item = &'n ScopeNeed>,
) -> Vec<String> {
    let all: BTreeSet<&str> = needs
        .into_iter()
        .filter_map(|need| match kind {
            ConnectionKind::AppOnly => need.application.as_deref(),
            _ if reaches_others => Some(need.shared.as_deref().unwrap_or(&need.name)),
            _ => Some(need.name.as_str()),
        })
        .collect();
    all.into_iter().map(str::to_owned).collect()
}

impl Connections {
    /// [`scopes`] for a connection as it is in `docket.yaml`.
    ///
    /// # Errors
    /// When there is no connection of that name.
    pub fn scopes<'n>(
        &self,
        connection: &str,
        needs: impl IntoIterator<Item = &'n ScopeNeed>,
    ) -> Result<Vec<String>, UnknownConnection> {
        let spec = &self.get(connection)?.spec;
        Ok(scopes(spec.kind, spec.reaches_other_mailboxes(), needs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_only_where_another_mailbox_is_used() {
        let need = |name: &str, shared: Option<&str>, application: Option<&str>| ScopeNeed {
            name: name.to_owned(),
            shared: shared.map(str::to_owned),
            application: application.map(str::to_owned),
            reason: String::new(),
        };
        let needs = [
            need("Mail.Send", Some("Mail.Send.Shared"), Some("Mail.Send")),
            need(
                "Mail.ReadWrite",
                Some("Mail.ReadWrite.Shared"),
                Some("Mail.ReadWrite"),
            ),
            need("Mail.Send", Some("Mail.Send.Shared"), Some("Mail.Send")),
            need("User.Read", None, None),
        ];
        let check = |kind, others, expected: &[&str]| {
            assert_eq!(scopes(kind, others, &needs), expected, "{kind:?} {others}");
        };
        use ConnectionKind::*;
        check(
            ServiceAccount,
            false,
            &["Mail.ReadWrite", "Mail.Send", "User.Read"],
        );
        check(
            PerUser,
            true,
            &["Mail.ReadWrite.Shared", "Mail.Send.Shared", "User.Read"],
        );
        check(AppOnly, true, &["Mail.ReadWrite", "Mail.Send"]);
        check(AppOnly, false, &["Mail.ReadWrite", "Mail.Send"]);
    }
}
