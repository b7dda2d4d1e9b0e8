//! What may leave: a plugin's request ∩ its grant ∩ what its connection allows.
//!
//! This part is pure. It must be given nothing but text, and it must never say yes to a URL that is
//! not, letter for letter, the one that will be sent.
//!
//! # Mailboxes
//! A connection allows exactly the mailboxes of its list, by their addresses, or by the ids that the
//! directory has for them, once Graph itself has named them so. Without a list it allows the account's
//! own mailbox; users who sign in themselves always have theirs. `/me` is the account's own mailbox, and
//! so a service account's needs to be a member where there is a list. This holds for every request to
//! Graph, whatever the grant's pattern says; `{mailbox}` in a pattern asks for it on other endpoints,
//! too. What hides whose mailbox it is about is refused: Graph's `$batch`, subscriptions and searches
//! name it in their body, and the relations of a user (`manager`, `microsoft.graph.user`) lead on to
//! another one.

pub(crate) mod headers;
mod pattern;
pub(crate) mod url;

use std::sync::{Arc, Mutex, PoisonError};

use ::url::Url;
use docket_model::RequestRule;

use self::pattern::{Base, Pattern};
use self::url::{normalise, origin, same_origin, segments};
use crate::gate::GateError;
use crate::mailboxes::MailboxIds;
use crate::oauth::is_guid;

/// What a connection allows.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// The connection's name.
    pub(crate) connection: String,
    /// Its endpoints by name.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The acting account's own mailbox; an application has none.
    pub(crate) own: Option<String>,
    /// Whether the own mailbox is allowed whatever the list says: for users who sign in themselves.
    pub(crate) is_per_user: bool,
    /// Its list of mailboxes.
    pub(crate) mailboxes: Option<Vec<String>>,
    /// What the directory calls them.
    pub(crate) ids: Arc<MailboxIds>,
}

/// One of a provider's base URLs.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// Its name, as in `{graph}`.
    pub(crate) name: String,
    /// Its URL; it may have a path.
    pub(crate) base: Url,
    /// Whether tokens may be sent to it.
    pub(crate) takes_token: bool,
    /// Whether it is Microsoft Graph, whose paths name mailboxes.
    pub(crate) is_graph: bool,
    /// The decoded segments of its path; none of a path that is not UTF-8, which holds nothing.
    segments: Option<Vec<String>>,
}

/// The rules for one plugin with one connection, or with none.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    plugin: String,
    rules: Arc<[Pattern]>,
    scope: Option<Arc<Scope>>,
}

/// A request that may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// The URL to send, to the letter.
    pub(crate) url: Url,
    /// Whether the token may go there.
    pub(crate) takes_token: bool,
    /// The mailbox it is about, in lower case, where the URL says so.
    pub(crate) mailbox: Option<String>,
}

/// A grant that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the grant `{} {}` of plugin {plugin} is not valid: {problem}; correct it under plugins.{plugin}.grants in docket.yaml",
    rule.method,
    rule.url
)]
pub struct InvalidGrant {
    /// The plugin.
    pub plugin: String,
    /// Its grant.
    pub rule: RequestRule,
    /// What is wrong with it.
    pub problem: String,
}

/// Whether a rule can be granted: a method in capitals and a URL pattern.
///
/// # Errors
/// What is wrong with it.
pub fn check_rule(rule: &RequestRule) -> Result<(), String> {
    Pattern::parse(rule).map(|_| ())
}

/// The grants that were read last, so that each attempt of a step need not read them anew.
#[derive(Debug, Default)]
pub(crate) struct ReadGrants(Mutex<Vec<Read>>);

/// Grants, and what they say.
type Read = (Vec<RequestRule>, Arc<[Pattern]>);

/// How many plugins' grants stay read.
const KEPT_GRANTS: usize = 64;

impl ReadGrants {
    /// The rules of a plugin's grants.
    ///
    /// # Errors
    /// The first grant that is no rule.
    pub(crate) fn rules(
        &self,
        plugin: &str,
        grants: &[RequestRule],
    ) -> Result<Arc<[Pattern]>, InvalidGrant> {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rules)) = read.iter().find(|(known, _)| known == grants) {
            return Ok(Arc::clone(rules));
        }
        let rules = rules(plugin, grants)?;
        if read.len() >= KEPT_GRANTS {
            read.remove(0);
        }
        read.push((grants.to_vec(), Arc::clone(&rules)));
        Ok(rules)
    }
}

fn rules(plugin: &str, grants: &[RequestRule]) -> Result<Arc<[Pattern]>, InvalidGrant> {
    let read = |rule: &RequestRule| {
        Pattern::parse(rule).map_err(|problem| InvalidGrant {
            plugin: plugin.to_owned(),
            rule: rule.clone(),
            problem,
        })
    };
    grants.iter().map(read).collect()
}

impl Scope {
    /// The address, in lower case, of a mailbox that is allowed; it may be named by its id, once that
    /// is known.
    fn member(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        let address = self.ids.address(&name).unwrap_or(name);
        self.allows(&address).then_some(address)
    }

    fn allows(&self, address: &str) -> bool {
        let is_own = self
            .own
            .as_ref()
            .is_some_and(|own| own.to_lowercase() == address);
        match &self.mailboxes {
            Some(list) => {
                list.iter().any(|member| member.to_lowercase() == address)
                    || is_own && self.is_per_user
            }
            None => is_own,
        }
    }

    /// The mailboxes that it allows.
    pub(crate) fn members(&self) -> Vec<String> {
        let own = self.own.iter();
        let own = own.filter(|own| self.allows(&own.to_lowercase()));
        let mut all: Vec<String> = own
            .chain(self.mailboxes.iter().flatten())
            .map(|mailbox| mailbox.to_lowercase())
            .collect();
        let mut seen = std::collections::HashSet::new();
        all.retain(|mailbox| seen.insert(mailbox.clone()));
        all
    }

    /// The mailbox that a URL of Graph names, as it names it.
    pub(crate) fn named_mailbox(&self, url: &Url) -> Option<String> {
        let decoded = segments(url).ok()?;
        let endpoint = self.endpoint(url, &decoded)?;
        if !endpoint.is_graph {
            return None;
        }
        match reach(endpoint.rest(url, &decoded)?) {
            Reach::Mailbox(name) => Some(name.to_lowercase()),
            Reach::Elsewhere | Reach::Own | Reach::Hidden => None,
        }
    }

    /// The mailbox that a URL of Graph is about, by its address, where it is one that is allowed.
    pub(crate) fn mailbox(&self, url: &Url) -> Option<String> {
        let decoded = segments(url).ok()?;
        let endpoint = self.endpoint(url, &decoded)?;
        if !endpoint.is_graph {
            return None;
        }
        match reach(endpoint.rest(url, &decoded)?) {
            Reach::Mailbox(name) => self.member(name),
            Reach::Own => self.own.as_ref().map(|own| own.to_lowercase()),
            Reach::Elsewhere | Reach::Hidden => None,
        }
    }

    /// The endpoint that holds the URL with these segments, the one that tokens are issued for first.
    fn endpoint(&self, url: &Url, decoded: &[String]) -> Option<&Endpoint> {
        let endpoints = self.endpoints.iter();
        let holding = endpoints.filter(|endpoint| endpoint.rest(url, decoded).is_some());
        holding.min_by_key(|endpoint| !endpoint.takes_token)
    }
}

impl Endpoint {
    /// An endpoint at this base.
    pub(crate) fn new(name: String, base: Url, takes_token: bool, is_graph: bool) -> Self {
        Self {
            segments: segments(&base).ok(),
            name,
            base,
            takes_token,
            is_graph,
        }
    }

    /// Of a URL's decoded segments those after the base's own, where it is one of this endpoint.
    fn rest<'s>(&self, url: &Url, decoded: &'s [String]) -> Option<&'s [String]> {
        let base = self.segments.as_deref()?;
        let rest = decoded.strip_prefix(base)?;
        same_origin(&self.base, url).then_some(rest)
    }
}

impl Policy {
    /// Reads a plugin's grants.
    ///
    /// # Errors
    /// The first grant that is no rule.
    pub(crate) fn new(
        plugin: &str,
        grants: &[RequestRule],
        scope: Option<Arc<Scope>>,
    ) -> Result<Self, InvalidGrant> {
        Ok(Self::of(plugin, rules(plugin, grants)?, scope))
    }

    /// For grants that were read before.
    pub(crate) fn of(plugin: &str, rules: Arc<[Pattern]>, scope: Option<Arc<Scope>>) -> Self {
        Self {
            plugin: plugin.to_owned(),
            rules,
            scope,
        }
    }

    /// Decides about a request.
    ///
    /// # Errors
    /// [`GateError::Invalid`] for what is no clean URL, [`GateError::Denied`] with the remedy
    /// otherwise. Of a URL that may hold a secret they show the origin only.
    pub(crate) fn check(&self, method: &str, url: &str) -> Result<Allowed, GateError> {
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(GateError::Invalid(
                "the method is not in capitals".to_owned(),
            ));
        }
        let url = normalise(url).map_err(GateError::Invalid)?;
        let decoded = segments(&url).map_err(GateError::Invalid)?;
        let scope = self.scope.as_deref();
        let endpoint = scope.and_then(|scope| scope.endpoint(&url, &decoded));
        if url.scheme() != "https" && endpoint.is_none() {
            return Err(GateError::Invalid(format!("{} is not https", origin(&url))));
        }
        let mut refused = None;
        let mut granted = false;
        for rule in self.rules.iter().filter(|rule| rule.method() == method) {
            let Some(mailboxes) = self.matches(rule, &url, &decoded) else {
                continue;
            };
            match mailboxes
                .iter()
                .find(|mailbox| !self.allows_mailbox(mailbox))
            {
                None => {
                    granted = true;
                    break;
                }
                Some(mailbox) => refused = Some(mailbox.clone()),
            }
        }
        if !granted {
            return Err(match refused {
                Some(mailbox) => self.mailbox_denied(&mailbox),
                None => self.not_granted(method, &url, endpoint),
            });
        }
        let takes_token = endpoint.is_some_and(|endpoint| endpoint.takes_token);
        let mut mailbox = None;
        if let (Some(scope), Some(endpoint)) = (scope, endpoint.filter(|one| one.is_graph)) {
            let rest = endpoint.rest(&url, &decoded).unwrap_or_default();
            mailbox = match reach(rest) {
                Reach::Hidden => {
                    return Err(GateError::Denied {
                        what: format!("{method} {}", shown(&url, Some(endpoint))),
                        remedy: "it hides from the policy whose mailbox it is about: send plain \
                                 requests for each mailbox, one by one"
                            .to_owned(),
                    });
                }
                Reach::Elsewhere => None,
                Reach::Own => match &scope.own {
                    Some(own) => Some(own.to_lowercase()),
                    None => {
                        return Err(GateError::Denied {
                            what: format!("{method} {}", shown(&url, Some(endpoint))),
                            remedy: "an application has no mailbox of its own: name one, as in /users/{mailbox}"
                                .to_owned(),
                        });
                    }
                },
                Reach::Mailbox(name) => Some(name.to_lowercase()),
            };
            if let Some(name) = mailbox {
                match scope.member(&name) {
                    Some(address) => mailbox = Some(address),
                    None => return Err(self.mailbox_denied(&name)),
                }
            }
        }
        Ok(Allowed {
            url,
            takes_token,
            mailbox,
        })
    }

    /// What a rule has in the places of `{mailbox}`, where it matches.
    fn matches(&self, rule: &Pattern, url: &Url, decoded: &[String]) -> Option<Vec<String>> {
        let owned = |found: Vec<&str>| found.into_iter().map(str::to_owned).collect();
        match rule.base() {
            Base::Origin(at) => same_origin(at, url)
                .then(|| rule.matches(decoded).map(owned))
                .flatten(),
            Base::Endpoint(name) => {
                let scope = self.scope.as_deref()?;
                let endpoint = scope
                    .endpoints
                    .iter()
                    .find(|endpoint| endpoint.name == *name)?;
                rule.matches(endpoint.rest(url, decoded)?).map(owned)
            }
        }
    }

    fn allows_mailbox(&self, mailbox: &str) -> bool {
        self.scope
            .as_deref()
            .is_some_and(|scope| scope.member(mailbox).is_some())
    }

    fn mailbox_denied(&self, mailbox: &str) -> GateError {
        let mailbox = shortened(mailbox);
        let Some(scope) = self.scope.as_deref() else {
            return GateError::Denied {
                what: format!("the mailbox {mailbox}"),
                remedy: "give the step a connection that allows it".to_owned(),
            };
        };
        let place = format!("connections.{}", scope.connection);
        if is_guid(&mailbox) {
            return GateError::Denied {
                what: format!("the mailbox {mailbox}"),
                remedy: format!(
                    "Graph has not given this id for one of the mailboxes under {place}: name the mailbox by its address"
                ),
            };
        }
        GateError::Denied {
            what: format!("the mailbox {mailbox}"),
            remedy: match (&scope.mailboxes, &scope.own) {
                (None, Some(own)) if !scope.is_per_user => {
                    format!("add `mailboxes: [{own}, {mailbox}]` under {place} in docket.yaml")
                }
                (None, _) => format!("add `mailboxes: [{mailbox}]` under {place} in docket.yaml"),
                (Some(_), _) => {
                    format!("add `{mailbox}` to mailboxes under {place} in docket.yaml")
                }
            },
        }
    }

    fn not_granted(&self, method: &str, url: &Url, endpoint: Option<&Endpoint>) -> GateError {
        GateError::Denied {
            what: format!("{method} {}", shown(url, endpoint)),
            remedy: format!(
                "if {} needs it, add `- \"{method} {}\"` under plugins.{}.grants in docket.yaml",
                self.plugin,
                suggestion(url, endpoint),
                self.plugin
            ),
        }
    }
}

/// Whose data a request to Graph is about.
enum Reach<'s> {
    /// No mailbox's.
    Elsewhere,
    /// The account's own.
    Own,
    /// That of a user, by name or id.
    Mailbox(&'s str),
    /// Nobody can tell.
    Hidden,
}

/// What hides whose mailbox a request is about, anywhere in a Graph URL.
const HIDING: [&str; 6] = [
    "$batch",
    "directReports",
    "graph.user",
    "manager",
    "microsoft.graph.user",
    "transitiveReports",
];
/// The same, as collections of Graph.
const HIDING_COLLECTIONS: [&str; 2] = ["search", "subscriptions"];

/// Reads the segments of a Graph URL. Graph takes no notice of case, and both `users/x` and
/// `users('x')`.
fn reach(segments: &[String]) -> Reach<'_> {
    let is_one_of = |segment: &String, words: &[&str]| {
        let name = segment.split('(').next().unwrap_or_default();
        words.iter().any(|word| name.eq_ignore_ascii_case(word))
    };
    // The collections stand at the start, after the version where the base does not hold it.
    let mut start = segments.iter().take(2);
    if segments.iter().any(|segment| is_one_of(segment, &HIDING))
        || start.any(|segment| is_one_of(segment, &HIDING_COLLECTIONS))
    {
        return Reach::Hidden;
    }
    for (at, segment) in segments.iter().enumerate() {
        let name = segment.split('(').next().unwrap_or_default();
        if name.eq_ignore_ascii_case("me") {
            return Reach::Own;
        }
        if name.eq_ignore_ascii_case("users") {
            let key = match segment.split_once('(') {
                Some((_, key)) => Some(key.trim_end_matches(')').trim_matches('\'')),
                None => segments.get(at + 1).map(String::as_str),
            };
            return key.map_or(Reach::Elsewhere, Reach::Mailbox);
        }
    }
    Reach::Elsewhere
}

/// A URL as messages may show it: never the query, and the path only where the token's own endpoint
/// makes it unlikely that it is a secret; upload URLs are secret as a whole.
pub(crate) fn shown(url: &Url, endpoint: Option<&Endpoint>) -> String {
    if endpoint.is_some_and(|endpoint| endpoint.is_graph) {
        format!("{}{}", origin(url), shortened(url.path()))
    } else {
        origin(url)
    }
}

/// The narrowest pattern that is likely meant: words stay, ids become `*`.
fn suggestion(url: &Url, endpoint: Option<&Endpoint>) -> String {
    let Some(endpoint) = endpoint else {
        return format!("{}/**", origin(url));
    };
    if !endpoint.is_graph {
        return format!("{{{}}}/**", endpoint.name);
    }
    let decoded = segments(url).unwrap_or_default();
    let rest = endpoint.rest(url, &decoded).unwrap_or_default();
    let mut pattern = format!("{{{}}}", endpoint.name);
    let mut previous = "";
    for segment in rest {
        let is_word = (segment.len() <= 32
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphabetic() || b"$.".contains(&byte)))
            || segment == "v1.0";
        pattern.push('/');
        pattern.push_str(if previous.eq_ignore_ascii_case("users") {
            "{mailbox}"
        } else if is_word {
            segment
        } else {
            "*"
        });
        previous = segment;
    }
    pattern
}

/// At most 200 bytes of a plugin's text.
fn shortened(text: &str) -> String {
    const MOST: usize = 200;
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end < text.len() {
        format!("{}…", &text[..end])
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests;
