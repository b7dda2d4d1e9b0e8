//! `$filter`: the subset of OData that mail queries use, parsed once and evaluated on messages.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::error::GraphError;
use crate::store::mailbox::Mailbox;
use crate::store::message::{Message, Recipient, canonical_property};

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

/// A string test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    StartsWith,
    EndsWith,
    Contains,
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    Number(f64),
    Bool(bool),
    Time(Timestamp),
    Null,
}

/// A filter expression; property paths are lower case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Compare(Op, Vec<String>, Literal),
    Test(Test, Vec<String>, String),
    Any(Vec<String>, Option<Box<Expr>>),
    /// A boolean property standing alone.
    Flag(Vec<String>),
}

/// A property's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    /// Text whose case matters (ids).
    Exact(&'a str),
    Number(f64),
    Bool(bool),
    Time(Timestamp),
    Null,
}

/// Something that a filter can be asked of.
pub(crate) trait Subject {
    /// The value at a lower-case path; `None` when there is no such property.
    fn value(&self, path: &[String]) -> Option<Value<'_>>;
    /// The elements of a collection; `None` when there is no such collection.
    fn elements(&self, path: &[String]) -> Option<Vec<Element<'_>>>;
}

/// An element of a collection inside `any`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Element<'a> {
    Text(&'a str),
    Recipient(&'a Recipient),
    Property(&'a str, &'a str),
}

impl Subject for Element<'_> {
    fn value(&self, path: &[String]) -> Option<Value<'_>> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match (self, path.as_slice()) {
            (Element::Text(text), []) => Some(Value::Text(Cow::Borrowed(text))),
            (Element::Recipient(recipient), ["emailaddress", "address"]) => {
                Some(Value::Text(Cow::Borrowed(&recipient.address)))
            }
            (Element::Recipient(recipient), ["emailaddress", "name"]) => {
                Some(Value::Text(Cow::Borrowed(&recipient.name)))
            }
            (Element::Property(id, _), ["id"]) => Some(Value::Exact(id)),
            (Element::Property(_, value), ["value"]) => Some(Value::Text(Cow::Borrowed(value))),
            _ => None,
        }
    }

    fn elements(&self, _path: &[String]) -> Option<Vec<Element<'_>>> {
        None
    }
}

impl Subject for Message {
    fn value(&self, path: &[String]) -> Option<Value<'_>> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let text = |text: &str| Value::Text(Cow::Owned(text.to_owned()));
        Some(match path.as_slice() {
            ["subject"] => self
                .subject
                .as_deref()
                .map_or(Value::Null, |subject| Value::Text(Cow::Borrowed(subject))),
            ["internetmessageid"] => Value::Exact(&self.internet_message_id),
            ["conversationid"] => Value::Exact(&self.conversation_id),
            ["isread"] => Value::Bool(self.is_read),
            ["isdraft"] => Value::Bool(self.is_draft),
            ["hasattachments"] => Value::Bool(self.has_attachments()),
            ["isreadreceiptrequested"] => Value::Bool(self.read_receipt),
            ["importance"] => Value::Text(Cow::Borrowed(&self.importance)),
            ["inferenceclassification"] => Value::Text(Cow::Borrowed(&self.inference)),
            ["receiveddatetime"] => Value::Time(self.received),
            ["sentdatetime"] => Value::Time(self.sent),
            ["createddatetime"] => Value::Time(self.created),
            ["lastmodifieddatetime"] => Value::Time(self.modified),
            ["bodypreview"] => Value::Text(Cow::Owned(self.preview())),
            ["body", "content"] => Value::Text(Cow::Borrowed(&self.body.content)),
            ["body", "contenttype"] => text(if self.body.is_html { "html" } else { "text" }),
            ["flag", "flagstatus"] => text(
                self.flag
                    .as_ref()
                    .and_then(|flag| flag.get("flagStatus"))
                    .and_then(|status| status.as_str())
                    .unwrap_or("notFlagged"),
            ),
            [
                who @ ("from" | "sender"),
                "emailaddress",
                part @ ("address" | "name"),
            ] => {
                let recipient = if *who == "from" {
                    &self.from
                } else {
                    &self.sender
                };
                recipient.as_ref().map_or(Value::Null, |recipient| {
                    Value::Text(Cow::Borrowed(if *part == "address" {
                        &recipient.address
                    } else {
                        &recipient.name
                    }))
                })
            }
            _ => return None,
        })
    }

    fn elements(&self, path: &[String]) -> Option<Vec<Element<'_>>> {
        let [name] = path else { return None };
        Some(match name.as_str() {
            "categories" => self
                .categories
                .iter()
                .map(|text| Element::Text(text))
                .collect(),
            "torecipients" => self.to.iter().map(Element::Recipient).collect(),
            "ccrecipients" => self.cc.iter().map(Element::Recipient).collect(),
            "bccrecipients" => self.bcc.iter().map(Element::Recipient).collect(),
            "replyto" => self.reply_to.iter().map(Element::Recipient).collect(),
            "singlevalueextendedproperties" => self
                .properties
                .iter()
                .map(|(id, value)| Element::Property(id, value))
                .collect(),
            _ => return None,
        })
    }
}

impl Expr {
    /// Whether `subject` passes.
    pub(crate) fn matches(&self, subject: &dyn Subject) -> bool {
        match self {
            Expr::And(left, right) => left.matches(subject) && right.matches(subject),
            Expr::Or(left, right) => left.matches(subject) || right.matches(subject),
            Expr::Not(inner) => !inner.matches(subject),
            Expr::Flag(path) => subject.value(path) == Some(Value::Bool(true)),
            Expr::Compare(op, path, literal) => subject
                .value(path)
                .is_some_and(|value| compare(*op, &value, literal)),
            Expr::Test(test, path, wanted) => match subject.value(path) {
                Some(Value::Text(text)) => run_test(*test, &text, wanted),
                Some(Value::Exact(text)) => run_test(*test, text, wanted),
                _ => false,
            },
            Expr::Any(path, body) => subject.elements(path).is_some_and(|elements| {
                body.as_ref().map_or(!elements.is_empty(), |body| {
                    elements.iter().any(|element| body.matches(element))
                })
            }),
        }
    }

    /// The properties in the order in which they are mentioned.
    pub(crate) fn properties(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect_properties(&mut found);
        found
    }

    fn collect_properties(&self, found: &mut Vec<String>) {
        match self {
            Expr::And(left, right) | Expr::Or(left, right) => {
                left.collect_properties(found);
                right.collect_properties(found);
            }
            Expr::Not(inner) => inner.collect_properties(found),
            Expr::Compare(_, path, _)
            | Expr::Test(_, path, _)
            | Expr::Any(path, _)
            | Expr::Flag(path) => {
                let name = path.join("/");
                if !found.contains(&name) {
                    found.push(name);
                }
            }
        }
    }

    /// Refuses properties that `probe` does not have.
    pub(crate) fn check(&self, probe: &dyn Subject, type_name: &str) -> Result<(), GraphError> {
        let unknown = |path: &[String]| {
            Err(GraphError::bad_request(
                "RequestBroker--ParseUri",
                format!(
                    "Could not find a property named '{}' on type '{type_name}'.",
                    path.join("/")
                ),
            ))
        };
        match self {
            Expr::And(left, right) | Expr::Or(left, right) => {
                left.check(probe, type_name)?;
                right.check(probe, type_name)
            }
            Expr::Not(inner) => inner.check(probe, type_name),
            Expr::Compare(_, path, _) | Expr::Test(_, path, _) | Expr::Flag(path) => {
                if probe.value(path).is_none() {
                    unknown(path)
                } else {
                    Ok(())
                }
            }
            Expr::Any(path, _) => {
                if probe.elements(path).is_none() {
                    unknown(path)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// The keys that an index knows to contain every match; `None` when no index helps.
    pub(crate) fn candidates(&self, mailbox: &Mailbox) -> Option<Vec<u64>> {
        match self {
            Expr::And(left, right) => left
                .candidates(mailbox)
                .or_else(|| right.candidates(mailbox)),
            Expr::Compare(Op::Eq, path, Literal::Text(text)) if path.len() == 1 => {
                match path[0].as_str() {
                    "internetmessageid" => Some(mailbox.with_internet_id(text).to_vec()),
                    "conversationid" => Some(mailbox.with_conversation(text).to_vec()),
                    _ => None,
                }
            }
            Expr::Any(path, Some(body))
                if path.len() == 1 && path[0] == "singlevalueextendedproperties" =>
            {
                let id = body.equal_text("id")?;
                let value = body.equal_text("value")?;
                Some(
                    mailbox
                        .with_property(&canonical_property(id), value)
                        .to_vec(),
                )
            }
            _ => None,
        }
    }

    /// The text that a conjunction demands of `name`.
    fn equal_text(&self, name: &str) -> Option<&str> {
        match self {
            Expr::And(left, right) => left.equal_text(name).or_else(|| right.equal_text(name)),
            Expr::Compare(Op::Eq, path, Literal::Text(text))
                if path.len() == 1 && path[0] == name =>
            {
                Some(text)
            }
            _ => None,
        }
    }

    /// Every text that `name` is compared with by `eq`, e.g. the ids of `$expand=…($filter=id eq …)`.
    pub(crate) fn equal_texts(&self, name: &str) -> Vec<String> {
        match self {
            Expr::And(left, right) | Expr::Or(left, right) => {
                let mut texts = left.equal_texts(name);
                texts.extend(right.equal_texts(name));
                texts
            }
            Expr::Compare(Op::Eq, path, Literal::Text(text))
                if path.len() == 1 && path[0] == name =>
            {
                vec![text.clone()]
            }
            _ => Vec::new(),
        }
    }
}

fn run_test(test: Test, text: &str, wanted: &str) -> bool {
    let (text, wanted) = (text.to_lowercase(), wanted.to_lowercase());
    match test {
        Test::StartsWith => text.starts_with(&wanted),
        Test::EndsWith => text.ends_with(&wanted),
        Test::Contains => text.contains(&wanted),
    }
}

fn compare(op: Op, value: &Value<'_>, literal: &Literal) -> bool {
    use std::cmp::Ordering;
    let order = match (value, literal) {
        (Value::Text(text), Literal::Text(wanted)) => {
            text.to_lowercase().cmp(&wanted.to_lowercase())
        }
        (Value::Exact(text), Literal::Text(wanted)) if text.contains(" {") => {
            (*text).cmp(canonical_property(wanted).as_str())
        }
        (Value::Exact(text), Literal::Text(wanted)) => (*text).cmp(wanted.as_str()),
        (Value::Time(time), Literal::Time(wanted)) => time.cmp(wanted),
        (Value::Number(number), Literal::Number(wanted)) => number.total_cmp(wanted),
        (Value::Bool(flag), Literal::Bool(wanted)) => flag.cmp(wanted),
        (Value::Null, Literal::Null) => Ordering::Equal,
        _ => return op == Op::Ne,
    };
    match op {
        Op::Eq => order.is_eq(),
        Op::Ne => order.is_ne(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
    }
}
