//! What a plugin says of itself, and what the operator grants it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::UrlPattern;

/// A plugin's description of itself; the `manifest` of the plugin interface with its schemas read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The name that workflows use.
    pub id: String,
    /// The plugin's own version, by semver.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// Its actions.
    pub actions: Vec<ActionSpec>,
}

impl Manifest {
    /// The action of that name.
    #[must_use]
    pub fn action(&self, name: &str) -> Option<&ActionSpec> {
        self.actions.iter().find(|action| action.name == name)
    }
}

/// One action of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ActionSpec {
    /// The part after the slash in `uses`.
    pub name: String,
    /// A step's action, or a trigger's source.
    pub kind: ActionKind,
    /// One sentence.
    pub summary: String,
    /// JSON Schema (2020-12) of the input.
    pub input: Value,
    /// JSON Schema (2020-12) of the output.
    pub output: Value,
    /// The requests that it makes.
    pub requests: Vec<HttpNeed>,
    /// The OAuth scopes that it needs.
    pub scopes: Vec<ScopeNeed>,
    /// Inputs worth showing: title and JSON.
    pub examples: Vec<Example>,
}

/// Whether an action does something, or is polled by a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// A step of a workflow.
    Action,
    /// Polled by a trigger.
    Source,
}

/// Requests that an action makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HttpNeed {
    /// What is asked for.
    #[serde(flatten)]
    pub rule: RequestRule,
    /// Why, in words for the operator.
    pub reason: String,
}

/// Requests by method and URL pattern: what a manifest asks for and what a grant gives.
///
/// The pattern's start is an endpoint of the connection in braces (`{graph}`) or an `https` origin.
/// `{mailbox}` is one path segment that the connection's mailbox list must hold, `*` is any one
/// segment, and `**` at the end is any number of segments, none included. The query is free.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequestRule {
    /// The method, in capitals.
    pub method: String,
    /// The pattern.
    pub url: String,
}

impl RequestRule {
    /// Whether this allows every request that `other` speaks of.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let both = (UrlPattern::parse(&self.url), UrlPattern::parse(&other.url));
        matches!(both, (Ok(own), Ok(others)) if self.method == other.method && own.covers(&others))
    }
}

/// An OAuth scope that an action needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScopeNeed {
    /// The delegated scope for the account's own mailbox: `Mail.Send`.
    pub name: String,
    /// The delegated scope in its place when another mailbox is used: `Mail.Send.Shared`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<String>,
    /// The application permission for app-only connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Why, in words for the operator.
    pub reason: String,
}

/// An input that passes an action's schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Example {
    /// What it shows.
    pub title: String,
    /// The input.
    pub input: Value,
}

#[cfg(test)]
mod tests {
    use super::RequestRule;

    #[test]
    fn a_rule_covers_what_is_narrower() {
        let rule = |text: &str| {
            let (method, url) = text.split_once(' ').unwrap();
            RequestRule {
                method: method.to_owned(),
                url: url.to_owned(),
            }
        };
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(rule(one).covers(&rule(other)), expected, "{one}, {other}");
        };
        let mail = "GET {graph}/v1.0/users/{mailbox}/messages";
        check(mail, mail, true);
        check("GET {graph}/**", mail, true);
        check("GET {graph}/v1.0/users/*/messages", mail, true);
        check("GET {graph}/v1.0/users/{mailbox}/messages/**", mail, true);
        check(mail, "GET {graph}/v1.0/users/*/messages", false);
        check(mail, "GET {graph}/v1.0/users/{mailbox}/messages/*", false);
        check("GET {graph}/v1.0/users/{mailbox}/messages/*", mail, false);
        check("GET {graph}/*", "GET {graph}/**", false);
        check("POST {graph}/**", mail, false);
        check("GET {outlook}/**", mail, false);
        check("GET https://a.example/**", "GET https://a.example", true);
        check("GET https://a.example", "GET https://a.example/b", false);
        check("GET https://a.example/**", "GET https://b.example/x", false);
    }
}
