//! What a plugin asks for, all actions together.

use std::collections::BTreeSet;

use docket_model::Manifest;
use serde::{Deserialize, Serialize};

/// What a plugin asks for: requests, as `POST https://a.example/*`, and OAuth scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asks {
    /// The requests.
    pub requests: BTreeSet<String>,
    /// The scopes, delegated and of applications.
    pub scopes: BTreeSet<String>,
}

impl Asks {
    /// What a manifest asks for.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let mut asks = Self::default();
        for action in &manifest.actions {
            for need in &action.requests {
                let line = format!("{} {}", need.rule.method, need.rule.url);
                asks.requests.insert(line);
            }
            for scope in &action.scopes {
                let names = [
                    Some(&scope.name),
                    scope.shared.as_ref(),
                    scope.application.as_ref(),
                ];
                asks.scopes.extend(names.into_iter().flatten().cloned());
            }
        }
        asks
    }

    /// What it asks for that was not approved.
    #[must_use]
    pub fn beyond(&self, approved: &Self) -> Self {
        let rest = |all: &BTreeSet<String>, known: &BTreeSet<String>| {
            all.difference(known).cloned().collect()
        };
        Self {
            requests: rest(&self.requests, &approved.requests),
            scopes: rest(&self.scopes, &approved.scopes),
        }
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.scopes.is_empty()
    }

    /// One line for each request and scope.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let scopes = self.scopes.iter().map(|scope| format!("scope {scope}"));
        self.requests.iter().cloned().chain(scopes).collect()
    }
}
