//! The cases, by what they attack.

mod abi;
mod answers;
mod components;
mod limits;
mod requests;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::case::{Attack, Case, Expect};
use crate::guest::Guest;

/// Every case.
///
/// # Errors
/// Where a guest that is written as text makes no component.
pub fn all() -> Result<Vec<Case>> {
    let mut all = limits::cases()?;
    all.extend(requests::cases());
    all.extend(answers::cases());
    all.extend(abi::cases()?);
    all.extend(components::cases()?);
    Ok(all)
}

/// A case of an action of the probe.
fn act(
    name: &'static str,
    tries: &'static str,
    (action, input): (&'static str, Value),
    expect: Expect,
) -> Case {
    Case {
        name,
        tries,
        attack: Attack::Probe("echo", action, input),
        expect,
    }
}

/// A case of a guest that is written as text.
fn guest(name: &'static str, tries: &'static str, guest: &Guest, expect: Expect) -> Result<Case> {
    Ok(Case {
        name,
        tries,
        attack: Attack::Guest(guest.component().context(name)?),
        expect,
    })
}

/// A case of requests that the probe sends one by one.
fn ask(name: &'static str, tries: &'static str, requests: Vec<Value>, expect: Expect) -> Case {
    act(
        name,
        tries,
        ("fetch", json!({"requests": requests})),
        expect,
    )
}

/// The same at the tenant.
fn ask_tenant(
    name: &'static str,
    tries: &'static str,
    requests: Vec<Value>,
    expect: Expect,
) -> Case {
    Case {
        name,
        tries,
        attack: Attack::Probe("contoso", "fetch", json!({"requests": requests})),
        expect,
    }
}

/// Plain requests with the account's token.
fn signed(urls: &[&str]) -> Vec<Value> {
    urls.iter()
        .map(|url| json!({"url": url, "token": true}))
        .collect()
}

/// Plain requests.
fn plain(urls: &[&str]) -> Vec<Value> {
    urls.iter().map(|url| json!({"url": url})).collect()
}
