//! Who may do what: scopes of the token and rights on the mailbox
//! (permissions-reference.md, outlook-send-mail-from-other-user.md, auth-limit-mailbox-access.md).

use std::sync::Arc;

use crate::config::RightKind;
use crate::error::GraphError;
use crate::store::World;

/// Who makes a request: an app, perhaps for a user.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) client_id: Arc<str>,
    /// The signed-in user; `None` for app-only tokens.
    pub(crate) account: Option<usize>,
    /// Delegated scopes, or roles for app-only tokens.
    pub(crate) scopes: Arc<[String]>,
}

/// What a request wants from a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Folder and message properties without bodies.
    ReadBasic,
    Read,
    Write,
    Send,
}

impl Caller {
    pub(crate) fn has_scope(&self, name: &str) -> bool {
        self.scopes
            .iter()
            .any(|scope| scope.eq_ignore_ascii_case(name))
    }

    fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has_scope(name))
    }
}

/// Checks that `caller` may do `want` with the mailbox of `account`.
pub(crate) fn check_mailbox(
    world: &World,
    caller: &Caller,
    account: usize,
    want: Want,
) -> Result<(), GraphError> {
    match caller.account {
        Some(user) => check_delegated(world, caller, user, account, want),
        None => check_app_only(world, caller, account, want),
    }
}

fn check_delegated(
    world: &World,
    caller: &Caller,
    user: usize,
    account: usize,
    want: Want,
) -> Result<(), GraphError> {
    let scopes: &[&str] = match (want, user == account) {
        (Want::ReadBasic, true) => &[
            "Mail.ReadBasic",
            "Mail.Read",
            "Mail.ReadWrite",
            "Mail.Read.Shared",
            "Mail.ReadWrite.Shared",
        ],
        (Want::Read, true) => &[
            "Mail.Read",
            "Mail.ReadWrite",
            "Mail.Read.Shared",
            "Mail.ReadWrite.Shared",
        ],
        (Want::Write, true) => &["Mail.ReadWrite", "Mail.ReadWrite.Shared"],
        (Want::Send, true) => &["Mail.Send", "Mail.Send.Shared"],
        (Want::ReadBasic, false) => &[
            "Mail.ReadBasic.Shared",
            "Mail.Read.Shared",
            "Mail.ReadWrite.Shared",
        ],
        (Want::Read, false) => &["Mail.Read.Shared", "Mail.ReadWrite.Shared"],
        (Want::Write, false) => &["Mail.ReadWrite.Shared"],
        (Want::Send, false) => &["Mail.Send.Shared"],
    };
    if !caller.has_any(scopes) || !world.has_right(user, account, RightKind::FullAccess) {
        return Err(GraphError::access_denied());
    }
    Ok(())
}

fn check_app_only(
    world: &World,
    caller: &Caller,
    account: usize,
    want: Want,
) -> Result<(), GraphError> {
    let roles: &[&str] = match want {
        Want::ReadBasic => &[
            "Mail.ReadBasic.All",
            "Mail.ReadBasic",
            "Mail.Read",
            "Mail.ReadWrite",
        ],
        Want::Read => &["Mail.Read", "Mail.ReadWrite"],
        Want::Write => &["Mail.ReadWrite"],
        Want::Send => &["Mail.Send"],
    };
    let Some(app) = world.directory.app(&caller.client_id) else {
        return Err(GraphError::access_denied());
    };
    let is_named = |names: &[String]| names.iter().any(|name| world.find(name) == Some(account));
    // RBAC grants add to what Entra granted; the token need not mention them.
    let by_rbac = app.config.rbac.iter().any(|grant| {
        roles
            .iter()
            .any(|role| role.eq_ignore_ascii_case(&grant.role))
            && is_named(&grant.mailboxes)
    });
    if by_rbac {
        return Ok(());
    }
    if !caller.has_any(roles) {
        return Err(GraphError::access_denied());
    }
    if app
        .config
        .access_policy
        .as_ref()
        .is_some_and(|allowed| !is_named(allowed))
    {
        return Err(GraphError {
            message: "Access to OData is disabled.".to_owned(),
            ..GraphError::access_denied()
        });
    }
    Ok(())
}

/// Under whose names a submitted message goes out: `(from, sender)` accounts.
///
/// `from` is the address that the message names, if any; `path` is the mailbox of the URL.
pub(crate) fn check_send(
    world: &World,
    caller: &Caller,
    path: usize,
    from: Option<&str>,
) -> Result<(usize, usize), GraphError> {
    let from = match from {
        None => path,
        Some(address) => world.find(address).ok_or_else(GraphError::send_as_denied)?,
    };
    let acting = caller.account.unwrap_or(path);
    if from == acting {
        return Ok((from, from));
    }
    // The scope for sending as somebody else; app-only tokens have no .Shared variant.
    if caller.account.is_some() && !caller.has_scope("Mail.Send.Shared") {
        return Err(GraphError::access_denied());
    }
    if world.has_right(acting, from, RightKind::SendAs) {
        Ok((from, from))
    } else if world.has_right(acting, from, RightKind::SendOnBehalf) {
        Ok((from, acting))
    } else {
        Err(GraphError::send_as_denied())
    }
}
