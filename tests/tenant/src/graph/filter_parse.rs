//! Reads `$filter` text into an [`Expr`].

use jiff::Timestamp;

use crate::error::GraphError;
use crate::graph::filter::{Expr, Literal, Op, Test};

/// How deep expressions may nest.
const MAX_DEPTH: usize = 64;
/// How many conditions an expression may have; evaluating them recurses.
const MAX_CONDITIONS: usize = 200;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    Comma,
    Colon,
    Word(String),
    Text(String),
}

/// Parses a filter.
pub(crate) fn parse(text: &str) -> Result<Expr, GraphError> {
    let tokens = tokenise(text).ok_or_else(|| syntax(text))?;
    let mut parser = Parser {
        tokens,
        at: 0,
        variable: None,
        depth: 0,
        conditions: 0,
    };
    let expr = parser.or().ok_or_else(|| syntax(text))?;
    if parser.at < parser.tokens.len() {
        return Err(syntax(text));
    }
    Ok(expr)
}

fn syntax(text: &str) -> GraphError {
    GraphError::bad_request("BadRequest", format!("Invalid filter clause: '{text}'."))
}

fn tokenise(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut letters = text.char_indices().peekable();
    while let Some((start, letter)) = letters.next() {
        match letter {
            ' ' | '\t' => {}
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            ',' => tokens.push(Token::Comma),
            ':' => tokens.push(Token::Colon),
            '\'' => {
                let mut content = String::new();
                loop {
                    let (_, letter) = letters.next()?;
                    if letter != '\'' {
                        content.push(letter);
                    } else if letters.next_if(|(_, next)| *next == '\'').is_some() {
                        content.push('\'');
                    } else {
                        break;
                    }
                }
                tokens.push(Token::Text(content));
            }
            _ => {
                // A date and time holds colons; a lambda's variable is followed by one.
                let is_number = letter.is_ascii_digit() || letter == '-';
                let mut end = start + letter.len_utf8();
                while let Some((at, next)) = letters.next_if(|(_, next)| {
                    !matches!(next, ' ' | '\t' | '(' | ')' | ',' | '\'')
                        && (is_number || *next != ':')
                }) {
                    end = at + next.len_utf8();
                }
                tokens.push(Token::Word(text[start..end].to_owned()));
            }
        }
    }
    Some(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    variable: Option<String>,
    depth: usize,
    conditions: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn expect(&mut self, token: &Token) -> Option<()> {
        (self.next()? == *token).then_some(())
    }

    fn word_is(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn or(&mut self) -> Option<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut left = self.and()?;
        while self.word_is("or") {
            self.at += 1;
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        self.depth -= 1;
        Some(left)
    }

    fn and(&mut self) -> Option<Expr> {
        let mut left = self.unary()?;
        while self.word_is("and") {
            self.at += 1;
            left = Expr::And(Box::new(left), Box::new(self.unary()?));
        }
        Some(left)
    }

    fn unary(&mut self) -> Option<Expr> {
        if self.word_is("not") {
            self.at += 1;
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return None;
            }
            let inner = self.unary()?;
            self.depth -= 1;
            return Some(Expr::Not(Box::new(inner)));
        }
        if self.peek() == Some(&Token::Open) {
            self.at += 1;
            let inner = self.or()?;
            self.expect(&Token::Close)?;
            return Some(inner);
        }
        self.primary()
    }

    fn primary(&mut self) -> Option<Expr> {
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return None;
        }
        let Token::Word(word) = self.next()? else {
            return None;
        };
        if self.peek() == Some(&Token::Open) {
            self.at += 1;
            let lower = word.to_ascii_lowercase();
            let test = match lower.as_str() {
                "startswith" => Some(Test::StartsWith),
                "endswith" => Some(Test::EndsWith),
                "contains" => Some(Test::Contains),
                _ => None,
            };
            return match test {
                Some(test) => self.test(test),
                None => self.any(lower.strip_suffix("/any")?),
            };
        }
        let path = self.path(&word);
        let op = match self.peek() {
            Some(Token::Word(op)) => match op.to_ascii_lowercase().as_str() {
                "eq" => Op::Eq,
                "ne" => Op::Ne,
                "gt" => Op::Gt,
                "ge" => Op::Ge,
                "lt" => Op::Lt,
                "le" => Op::Le,
                _ => return Some(Expr::Flag(path)),
            },
            _ => return Some(Expr::Flag(path)),
        };
        self.at += 1;
        let literal = match self.next()? {
            Token::Text(text) => Literal::Text(text),
            Token::Word(word) => literal(&word)?,
            _ => return None,
        };
        Some(Expr::Compare(op, path, literal))
    }

    fn test(&mut self, test: Test) -> Option<Expr> {
        let Token::Word(word) = self.next()? else {
            return None;
        };
        let path = self.path(&word);
        self.expect(&Token::Comma)?;
        let Token::Text(text) = self.next()? else {
            return None;
        };
        self.expect(&Token::Close)?;
        // `contains(…) eq true` is the same.
        if self.word_is("eq")
            && matches!(self.tokens.get(self.at + 1), Some(Token::Word(word)) if word.eq_ignore_ascii_case("true"))
        {
            self.at += 2;
        }
        Some(Expr::Test(test, path, text))
    }

    fn any(&mut self, collection: &str) -> Option<Expr> {
        let path = collection.split('/').map(str::to_owned).collect();
        if self.peek() == Some(&Token::Close) {
            self.at += 1;
            return Some(Expr::Any(path, None));
        }
        let Token::Word(variable) = self.next()? else {
            return None;
        };
        self.expect(&Token::Colon)?;
        let outer = self.variable.replace(variable.to_ascii_lowercase());
        let body = self.or()?;
        self.variable = outer;
        self.expect(&Token::Close)?;
        Some(Expr::Any(path, Some(Box::new(body))))
    }

    /// A property path in lower case, without the lambda's variable.
    fn path(&self, word: &str) -> Vec<String> {
        let lower = word.to_ascii_lowercase();
        let mut steps: Vec<String> = lower.split('/').map(str::to_owned).collect();
        if self.variable.is_some() && steps.first() == self.variable.as_ref() {
            steps.remove(0);
        }
        steps
    }
}

fn literal(word: &str) -> Option<Literal> {
    match word.to_ascii_lowercase().as_str() {
        "true" => return Some(Literal::Bool(true)),
        "false" => return Some(Literal::Bool(false)),
        "null" => return Some(Literal::Null),
        _ => {}
    }
    if let Ok(number) = word.parse::<f64>() {
        return Some(Literal::Number(number));
    }
    if let Ok(time) = word.parse::<Timestamp>() {
        return Some(Literal::Time(time));
    }
    // A date alone means its first moment in UTC.
    format!("{word}T00:00:00Z")
        .parse::<Timestamp>()
        .ok()
        .map(Literal::Time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::message::{Message, Recipient};

    fn message() -> Message {
        let mut message = Message::draft(1, Timestamp::UNIX_EPOCH, "contoso.example");
        message.subject = Some("Invoice O'Hara (March)".to_owned());
        message.from = Some(Recipient::of("Billing@Fabrikam.example"));
        message.categories = vec!["Red".to_owned()];
        message.received = "2026-01-05T09:00:00Z".parse().unwrap();
        message.set_property(
            "String {00020329-0000-0000-c000-000000000046} Name Docket",
            "Key-1".to_owned(),
        );
        message
    }

    #[test]
    fn filters() {
        let message = message();
        let check = |filter: &str, expected: bool| {
            let expr = parse(filter).unwrap_or_else(|error| panic!("{filter}: {error:?}"));
            assert_eq!(expr.matches(&message), expected, "{filter}");
        };
        check("subject eq 'invoice o''hara (march)'", true);
        check("startswith(subject,'Invoice') and isDraft", true);
        check(
            "contains(subject, 'April') or contains(subject,'March') eq true",
            true,
        );
        check("not (isRead eq true)", false);
        check(
            "receivedDateTime ge 2026-01-05T09:00:00Z and receivedDateTime lt 2026-01-06",
            true,
        );
        check("receivedDateTime gt 2026-01-05T10:00:00+01:00", false);
        check(
            "from/emailAddress/address eq 'billing@fabrikam.example'",
            true,
        );
        check("categories/any(c:c eq 'red')", true);
        check("categories/any()", true);
        check("toRecipients/any(r: r/emailAddress/address eq 'x')", false);
        check(
            "singleValueExtendedProperties/Any(ep: ep/id eq 'String {00020329-0000-0000-C000-000000000046} Name Docket' and ep/value eq 'key-1')",
            true,
        );
        check(
            "singleValueExtendedProperties/Any(ep: ep/id eq 'String {00020329-0000-0000-C000-000000000046} Name docket' and ep/value eq 'key-1')",
            false,
        );
        check("hasAttachments eq false and importance eq 'normal'", true);
        check("subject ne null", true);
    }

    #[test]
    fn broken_filters_are_refused() {
        for filter in [
            "",
            "subject eq",
            "subject eq 'x",
            "(subject eq 'x'",
            "foo(bar,'x')",
            "subject eq 'x' garbage",
            "'x'",
        ] {
            assert!(parse(filter).is_err(), "{filter}");
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&"not ".repeat(100_000)).is_err());
        assert!(parse(&format!("isRead{}", " or isRead".repeat(100_000))).is_err());
        let unknown = parse("nosuch eq 1").unwrap();
        assert!(
            unknown
                .check(&message(), "microsoft.graph.message")
                .is_err()
        );
    }
}
