//! Text inside URLs and OData expressions.

/// Percent-encodes everything but RFC 3986's unreserved characters, for a path segment or a query
/// value.
#[must_use]
pub fn encode(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
            encoded.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    encoded
}

/// A string literal of an OData expression: in quotes, with quotes inside doubled.
#[must_use]
pub fn odata_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_its_place() {
        assert_eq!(encode("a b/c?d#e%f+g"), "a%20b%2Fc%3Fd%23e%25f%2Bg");
        assert_eq!(encode("AAMk-_~.="), "AAMk-_~.%3D");
        assert_eq!(odata_text("O'Brien' or 1 eq 1"), "'O''Brien'' or 1 eq 1'");
    }
}
