//! Query options and `Prefer`, read once per request.

use crate::error::GraphError;
use crate::graph::{filter, filter_parse};
use crate::store::ids::IdForm;
use crate::store::message::canonical_property;
use crate::wire::{Call, Reply};

/// The largest `$top`.
pub(crate) const MAX_TOP: usize = 1000;

/// `$expand` of a message.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Expand {
    pub(crate) attachments: bool,
    /// `$select` inside `attachments(…)`.
    pub(crate) attachment_select: Option<Vec<String>>,
    /// The canonical ids of single-value properties; empty means none was named.
    pub(crate) single: Option<Vec<String>>,
    pub(crate) multi: Option<Vec<String>>,
    /// `microsoft.graph.itemattachment/item`.
    pub(crate) item: bool,
    pub(crate) child_folders: bool,
}

/// The system query options.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    /// Lower case.
    pub(crate) select: Option<Vec<String>>,
    pub(crate) filter: Option<filter::Expr>,
    pub(crate) filter_text: Option<String>,
    /// Lower-case paths; `true` is descending.
    pub(crate) order: Vec<(Vec<String>, bool)>,
    pub(crate) top: Option<usize>,
    pub(crate) skip: usize,
    pub(crate) expand: Expand,
    pub(crate) search: Option<String>,
    pub(crate) count: bool,
    pub(crate) include_hidden: bool,
    pub(crate) skip_token: Option<String>,
    pub(crate) delta_token: Option<String>,
    pub(crate) change_type: Option<String>,
}

impl Query {
    /// Reads the query; names may lack their `$`.
    pub(crate) fn parse(call: &Call) -> Result<Self, GraphError> {
        let mut query = Self::default();
        if call.query.is_empty() {
            return Ok(query);
        }
        for (name, value) in call.query_pairs() {
            query.set(&name.to_ascii_lowercase(), value)?;
        }
        Ok(query)
    }

    /// Sets one option by its lower-case name.
    pub(crate) fn set(&mut self, name: &str, value: String) -> Result<(), GraphError> {
        match name.trim_start_matches('$') {
            "select" => self.select = Some(names(&value)),
            "filter" => {
                self.filter = Some(filter_parse::parse(&value)?);
                self.filter_text = Some(value);
            }
            "orderby" => self.order = order(&value)?,
            "top" => {
                let top = number(name, &value)?;
                if top == 0 || top > MAX_TOP {
                    return Err(GraphError::bad_request(
                        "ErrorInvalidUrlQueryFilter",
                        format!(
                            "Invalid value '{value}' for $top: the value must be between 1 and {MAX_TOP}."
                        ),
                    ));
                }
                self.top = Some(top);
            }
            "skip" => self.skip = number(name, &value)?,
            "expand" => self.expand = expand(&value)?,
            "search" => self.search = Some(value),
            "count" => self.count = value.eq_ignore_ascii_case("true"),
            "includehiddenfolders" => self.include_hidden = value.eq_ignore_ascii_case("true"),
            "skiptoken" => self.skip_token = Some(value),
            "deltatoken" => self.delta_token = Some(value),
            "changetype" => self.change_type = Some(value),
            _ => {}
        }
        Ok(())
    }

    /// Whether a property is to be shown.
    pub(crate) fn selects(&self, lower_name: &str) -> bool {
        self.select
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| name == lower_name))
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect()
}

fn number(name: &str, value: &str) -> Result<usize, GraphError> {
    value.parse().map_err(|_| {
        GraphError::bad_request(
            "BadRequest",
            format!("Invalid value '{value}' for the query option '{name}'."),
        )
    })
}

fn order(text: &str) -> Result<Vec<(Vec<String>, bool)>, GraphError> {
    text.split(',')
        .map(|item| {
            let mut words = item.split_whitespace();
            let path = words.next().unwrap_or("").to_ascii_lowercase();
            let descending = match words.next().map(str::to_ascii_lowercase).as_deref() {
                None | Some("asc") => false,
                Some("desc") => true,
                Some(other) => {
                    return Err(GraphError::bad_request(
                        "BadRequest",
                        format!("Syntax error at '{other}' in $orderby."),
                    ));
                }
            };
            Ok((path.split('/').map(str::to_owned).collect(), descending))
        })
        .collect()
}

fn expand(text: &str) -> Result<Expand, GraphError> {
    let mut expand = Expand::default();
    for item in split_outside_parentheses(text, ',') {
        let (name, inner) = match item.split_once('(') {
            Some((name, inner)) => (name, inner.trim_end().trim_end_matches(')')),
            None => (item, ""),
        };
        // The closing parenthesis of `$filter=(…)` may have gone with the outer one.
        let inner = format!(
            "{inner}{}",
            ")".repeat(
                inner
                    .matches('(')
                    .count()
                    .saturating_sub(inner.matches(')').count())
            )
        );
        match name.trim().to_ascii_lowercase().as_str() {
            "attachments" => {
                expand.attachments = true;
                expand.attachment_select = inner_option(&inner, "$select").map(|list| names(&list));
            }
            "singlevalueextendedproperties" => expand.single = Some(property_ids(&inner)?),
            "multivalueextendedproperties" => expand.multi = Some(property_ids(&inner)?),
            "microsoft.graph.itemattachment/item" | "item" => expand.item = true,
            "childfolders" => expand.child_folders = true,
            "" => {}
            other => {
                return Err(GraphError::bad_request(
                    "RequestBroker--ParseUri",
                    format!(
                        "Could not find a property named '{other}' on type 'microsoft.graph.message'."
                    ),
                ));
            }
        }
    }
    Ok(expand)
}

fn inner_option(inner: &str, name: &str) -> Option<String> {
    split_outside_parentheses(inner, ';')
        .into_iter()
        .find_map(|option| {
            let (key, value) = option.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.to_owned())
        })
}

fn property_ids(inner: &str) -> Result<Vec<String>, GraphError> {
    let Some(filter) = inner_option(inner, "$filter") else {
        return Ok(Vec::new());
    };
    let expr = filter_parse::parse(&filter)?;
    Ok(expr
        .equal_texts("id")
        .iter()
        .map(|id| canonical_property(id))
        .collect())
}

fn split_outside_parentheses(text: &str, separator: char) -> Vec<&str> {
    let (mut depth, mut quoted, mut start) = (0_usize, false, 0);
    let mut parts = Vec::new();
    for (at, letter) in text.char_indices() {
        match letter {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ if letter == separator && depth == 0 && !quoted => {
                parts.push(&text[start..at]);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// What `Prefer` asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prefer {
    pub(crate) ids: IdForm,
    /// `Some(true)` wants text, `Some(false)` HTML.
    pub(crate) text_bodies: Option<bool>,
    pub(crate) unsafe_html: bool,
    pub(crate) page_size: Option<usize>,
    applied: Vec<String>,
}

impl Prefer {
    pub(crate) fn parse(call: &Call) -> Self {
        let mut prefer = Self::default();
        for value in call.headers.get_all("prefer") {
            let Ok(value) = value.to_str() else { continue };
            for item in value.split([',', ';']) {
                prefer.set(item.trim());
            }
        }
        prefer
    }

    fn set(&mut self, item: &str) {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "idtype" if value.eq_ignore_ascii_case("ImmutableId") => {
                self.ids = IdForm::Immutable;
                self.applied.push("IdType=\"ImmutableId\"".to_owned());
            }
            "outlook.body-content-type" => {
                self.text_bodies = Some(value.eq_ignore_ascii_case("text"));
                self.applied.push(format!(
                    "outlook.body-content-type=\"{}\"",
                    value.to_ascii_lowercase()
                ));
            }
            "outlook.allow-unsafe-html" => {
                self.unsafe_html = true;
                self.applied.push("outlook.allow-unsafe-html".to_owned());
            }
            "odata.maxpagesize" => {
                if let Ok(size) = value.parse::<usize>() {
                    self.page_size = Some(size.clamp(1, MAX_TOP));
                    self.applied.push(format!("odata.maxpagesize={size}"));
                }
            }
            _ => {}
        }
    }

    /// Says in the answer what was applied.
    pub(crate) fn confirm(&self, reply: Reply) -> Reply {
        if self.applied.is_empty() {
            reply
        } else {
            reply.with("preference-applied", &self.applied.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansions() {
        let parsed = expand("attachments($select=id,name),singleValueExtendedProperties($filter=id eq 'String {A} Name x(1)' or (id eq 'Integer 0x10'))").unwrap();
        assert!(parsed.attachments);
        assert_eq!(
            parsed.attachment_select,
            Some(vec!["id".into(), "name".into()])
        );
        assert_eq!(
            parsed.single,
            Some(vec!["String {a} Name x(1)".into(), "Integer 0x10".into()])
        );
        assert!(expand("microsoft.graph.itemattachment/item").unwrap().item);
        assert!(expand("nonsense").is_err());
    }

    #[test]
    fn tops() {
        let check = |top: &str, ok: bool| {
            assert_eq!(
                Query::default().set("$top", top.to_owned()).is_ok(),
                ok,
                "{top}"
            )
        };
        check("1", true);
        check("1000", true);
        check("0", false);
        check("1001", false);
        check("-1", false);
        check("x", false);
    }
}
