//! `provider:` of a connection: an OAuth 2.0 provider by its endpoints.

use std::collections::BTreeMap;

use super::SECRETS;
use super::value::url;
use crate::reader::Reader;
use crate::schema::words;
use crate::yaml::{Name, Node};
use crate::{ConnectionKind, ProviderSpec};

pub(super) fn read(
    reader: &mut Reader<'_>,
    name: &Name,
    node: &Node,
    kind: Option<ConnectionKind>,
) -> Option<ProviderSpec> {
    let what = format!("the provider of `{}`", name.text);
    let fields = reader.fields_besides(node, &what, &words::PROVIDER, &SECRETS);
    let mut at = |key: &str| {
        let node = fields.get(key)?;
        url(reader, node, &format!("`{key}`"))
    };
    let (authorize_url, token_url) = (at("authorize-url"), at("token-url"));
    let (device_url, issuer, jwks_url) = (at("device-url"), at("issuer"), at("jwks-url"));
    for key in ["token-url", "token-for"] {
        if fields.get(key).is_none() {
            reader.missing(node.span, &what, key);
        }
    }
    let mut texts = |key: &str| -> Vec<String> {
        let all = fields
            .get(key)
            .map(|node| reader.texts(node, &format!("`{key}`")));
        all.into_iter().flatten().map(|name| name.text).collect()
    };
    let (token_for, scopes) = (texts("token-for"), texts("scopes"));
    match kind {
        Some(ConnectionKind::PerUser) if fields.get("issuer").is_none() => {
            let message = format!("{what} has no `issuer`, and nobody could tell who signed in");
            let help = "add the issuer of its id tokens (OpenID Connect), or use a service account";
            reader.invalid(node.span, message, help);
        }
        Some(ConnectionKind::PerUser | ConnectionKind::ServiceAccount)
            if fields.get("authorize-url").is_none() && fields.get("device-url").is_none() =>
        {
            let message = format!("{what} has neither `authorize-url` nor `device-url`");
            reader.invalid(node.span, message, "nobody could sign in: add one of them");
        }
        _ => {}
    }
    if jwks_url.is_some() && fields.get("issuer").is_none() {
        let message = "`jwks-url` goes with `issuer`";
        reader.invalid(node.span, message, "add the issuer of its id tokens");
    }
    Some(ProviderSpec {
        authorize_url,
        token_url: token_url?,
        device_url,
        issuer,
        jwks_url,
        token_for,
        scopes,
    })
}

/// Tokens go to endpoints of the connection.
pub(super) fn check_endpoints(
    reader: &mut Reader<'_>,
    node: &Node,
    provider: &ProviderSpec,
    endpoints: &BTreeMap<String, String>,
) {
    for name in &provider.token_for {
        if !endpoints.contains_key(name) {
            let message = format!("`token-for` names the endpoint `{name}`, which is not there");
            let error = reader.error(super::CODES.value, node.span, message);
            let known = endpoints.keys().map(String::as_str);
            reader.push(error.with_nearest(name, known));
        }
    }
}
