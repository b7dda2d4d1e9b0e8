//! Keeps a token from coming back: an answer that repeats the account's token is not passed on.
//!
//! The token's own audience may reflect it by accident, as debug pages and chatty proxies do. This
//! looks for it in the forms in which software repeats text: as it is, in base64 at any offset,
//! percent-encoded, and in hexadecimal. It is no fence against a server that conspires with a plugin:
//! that server has the token already and needs no plugin.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// How much of a form must come back to count. A part is enough, so that a token which is cut in two
/// is found, too.
const PIECE: usize = 24;

/// What no answer may hold.
#[derive(Default)]
pub(crate) struct Echo {
    pieces: Option<AhoCorasick>,
    longest: usize,
}

impl Echo {
    /// The forms of a token.
    pub(crate) fn of(token: &str) -> Self {
        let secret = secret_part(token).as_bytes();
        let percent = percent_encode(secret, NON_ALPHANUMERIC).to_string();
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![
            secret.to_vec(),
            percent.to_lowercase().into_bytes(),
            percent.into_bytes(),
            hex.to_uppercase().into_bytes(),
            hex.into_bytes(),
        ];
        // Whatever stands before the token shifts its base64 by 0, 1 or 2 bytes.
        for skipped in 0..3.min(secret.len()) {
            let rest = &secret[skipped..];
            let whole = &rest[..rest.len() / 3 * 3];
            forms.push(STANDARD_NO_PAD.encode(whole).into_bytes());
            forms.push(URL_SAFE_NO_PAD.encode(whole).into_bytes());
        }
        let pieces: Vec<&[u8]> = forms.iter().flat_map(|form| pieces(form)).collect();
        Self {
            longest: pieces.iter().map(|piece| piece.len()).max().unwrap_or(0),
            // Every kind of match would do; with this one the search goes by vectors, and an answer
            // is looked through 18 times as fast. It can fail for patterns of many megabytes only.
            pieces: AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostFirst)
                .build(&pieces)
                .ok(),
        }
    }

    /// Whether a whole text repeats the token.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.pieces
            .as_ref()
            .is_some_and(|pieces| pieces.is_match(text))
    }
}

/// The end, the middle and the start of a form: who repeats half a token repeats one of them. A text
/// that is too short to be told from chance has none.
fn pieces(form: &[u8]) -> Vec<&[u8]> {
    if form.len() < PIECE {
        return Vec::new();
    }
    let last = form.len() - PIECE;
    [0, last / 2, last].map(|at| &form[at..at + PIECE]).to_vec()
}

/// The part of a token that nobody can guess: of a JWT its signature, as the head of all JWTs of an
/// issuer is the same (RFC 7515 section 3.1).
fn secret_part(token: &str) -> &str {
    match token.rsplit_once('.') {
        Some((rest, signature)) if rest.contains('.') && signature.len() >= 2 * PIECE => signature,
        _ => token,
    }
}

/// Passes an answer's body on while it does not repeat the token. As a piece may lie across chunks,
/// the last bytes are held back until the next ones are known.
pub(crate) struct Guarded {
    echo: std::sync::Arc<Echo>,
    held: BytesMut,
}

/// The body repeats the token. Nothing of the repetition was passed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repeated;

impl Guarded {
    pub(crate) fn new(echo: std::sync::Arc<Echo>) -> Self {
        Self {
            echo,
            held: BytesMut::new(),
        }
    }

    /// What may be passed on of the body so far.
    ///
    /// # Errors
    /// [`Repeated`].
    pub(crate) fn pass(&mut self, chunk: Bytes) -> Result<Bytes, Repeated> {
        if self.echo.longest == 0 {
            return Ok(chunk);
        }
        self.held.extend_from_slice(&chunk);
        if self.echo.is_in(&self.held) {
            return Err(Repeated);
        }
        let known = self.held.len().saturating_sub(self.echo.longest - 1);
        Ok(self.held.split_to(known).freeze())
    }

    /// What was held back, when the body has ended.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    const OPAQUE: &str = "EwBwA8l6BAAU0wDL3pNzCtZyvZ2dvMP1Vqx+Zk9aAAG7m/RrQxT0n5Lk1wEJ2s==";

    fn jwt() -> String {
        let signature = "c2lnbmF0dXJlIG9mIG1hbnkgYnl0ZXMsIHdoaWNoIG5vYm9keSBndWVzc2Vz";
        format!("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJncmFwaCJ9.{signature}")
    }

    /// What came through a guard, in chunks of this size.
    fn passed(echo: &Arc<Echo>, text: &[u8], size: usize) -> (Vec<u8>, bool) {
        let mut guard = Guarded::new(Arc::clone(echo));
        let mut out = Vec::new();
        for chunk in text.chunks(size) {
            match guard.pass(Bytes::copy_from_slice(chunk)) {
                Ok(bytes) => out.extend_from_slice(&bytes),
                Err(Repeated) => return (out, true),
            }
        }
        out.extend_from_slice(&guard.rest());
        (out, false)
    }

    #[test]
    fn every_form_is_found_wherever_it_is_cut() {
        for token in [OPAQUE.to_owned(), jwt()] {
            let echo = Arc::new(Echo::of(&token));
            let secret = secret_part(&token);
            let half = &token[token.len() - secret.len() / 2..];
            let percent = percent_encode(token.as_bytes(), NON_ALPHANUMERIC).to_string();
            let hex: String = token.bytes().map(|byte| format!("{byte:02X}")).collect();
            for form in [
                token.clone(),
                half.to_owned(),
                percent.to_lowercase(),
                percent,
                hex,
                STANDARD.encode(&token),
                STANDARD.encode(format!("Bearer {token}")),
                URL_SAFE_NO_PAD.encode(format!("x{token}")),
                URL_SAFE_NO_PAD.encode(format!("xy{token}")),
            ] {
                let text = format!("You sent: {form}. Thank you, and many greetings to everybody.");
                for size in [1, 7, 23, 24, 4096] {
                    let (out, is_caught) = passed(&echo, text.as_bytes(), size);
                    assert!(is_caught, "{form} in chunks of {size}");
                    assert!(!echo.is_in(&out), "{form} in chunks of {size}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_echo_passes() {
        let echo = Arc::new(Echo::of(&jwt()));
        let token = jwt();
        let (head, _) = token.rsplit_once('.').expect("three parts");
        let other = format!("{head}.{}", "q".repeat(60));
        let (out, is_caught) = passed(&echo, other.as_bytes(), 5);
        assert_eq!((out.as_slice(), is_caught), (other.as_bytes(), false));
        assert!(!Echo::of("short").is_in(b"a short text"));
        assert!(!Echo::default().is_in(b"anything"));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_changed(text in proptest::collection::vec(any::<u8>(), 0..400), size in 1_usize..50) {
            let echo = Arc::new(Echo::of(OPAQUE));
            let (out, is_caught) = passed(&echo, &text, size);
            prop_assert!(!is_caught);
            prop_assert_eq!(out, text);
        }
    }
}
