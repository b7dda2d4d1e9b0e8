//! Users and shared mailboxes by control: made, and what befalls their sign-ins.

use serde::Deserialize;

use crate::config::UserConfig;
use crate::control::Done;
use crate::state::TenantState;
use crate::store::UserState;
use crate::wire::Call;

/// Answers what is below `/_tenant/users`; `None` when nothing is.
pub(super) fn route(state: &TenantState, call: &Call, parts: &[&str]) -> Option<Done> {
    let done = match (call.method.as_str(), parts) {
        ("POST", []) => add(state, &call.body),
        ("PUT", [user, "state"]) => set_state(state, user, &call.body),
        ("POST", [user, "revoke"]) => none(state.revoke_sign_ins(user)),
        ("POST", [user, "change-password"]) => none(state.change_password(user)),
        ("POST", [user, "reset-password"]) => none(state.reset_password(user)),
        _ => return None,
    };
    Some(done)
}

fn none(done: Result<(), crate::error::TenantError>) -> Done {
    Ok(done.map(|()| None)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    upn: String,
    #[serde(default)]
    display_name: String,
    /// The directory object id; derived from the name when absent.
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    shared: bool,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    without_mailbox: bool,
    #[serde(default)]
    folders: Vec<String>,
    #[serde(default)]
    localised: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    keeps_delegate_copies: bool,
    #[serde(default)]
    quota: Option<usize>,
}

fn add(state: &TenantState, body: &[u8]) -> Done {
    let new: NewUser = serde_json::from_slice(body)?;
    let name = if new.display_name.is_empty() {
        &new.upn
    } else {
        &new.display_name
    };
    let plain = UserConfig::person(&new.upn, name);
    state.add_user(UserConfig {
        id: new.id.unwrap_or(plain.id),
        can_sign_in: !new.shared,
        has_mailbox: !new.without_mailbox,
        is_admin: new.admin,
        folders: new.folders,
        localised: new.localised,
        keeps_delegate_copies: new.keeps_delegate_copies,
        quota: new.quota,
        ..plain
    });
    Ok(None)
}

fn set_state(state: &TenantState, user: &str, body: &[u8]) -> Done {
    let wanted: UserState = serde_json::from_slice(body)?;
    Ok(state
        .set_user_state(user, |state| *state = wanted)
        .map(|()| None)?)
}
