//! The redirect to this machine (RFC 8252 section 7.3): one small server that waits for one answer.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Callback;

/// The longest request head, in bytes; codes of Entra have up to 2 KB.
const MAX_HEAD: usize = 16 * 1024;
/// The longest that a browser may take to send it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most connections at a time; browsers open a few ahead.
const MOST: usize = 32;

/// Listens on loopback for the redirect that ends a sign-in.
#[derive(Debug)]
pub struct LoopbackRedirect {
    listener: TcpListener,
    port: u16,
}

impl LoopbackRedirect {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The system's.
    pub async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// The redirect URI. Entra takes no notice of the port of `localhost`
    /// (Entra: reply-url.md); `http://localhost/callback` is what must be registered.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("http://localhost:{}/callback", self.port)
    }

    /// Waits for the answer to the sign-in with that state. Anything else that comes in, from other
    /// tabs or other programs, is turned away and ends nothing.
    ///
    /// # Errors
    /// The system's.
    pub async fn wait(self, state: &str) -> io::Result<Callback> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MOST => {
                    let (stream, _) = accepted?;
                    let (state, port) = (state.to_owned(), self.port);
                    connections.spawn(async move {
                        let served = serve(stream, &state, port);
                        tokio::time::timeout(PATIENCE, served).await.ok().flatten()
                    });
                }
                Some(done) = connections.join_next() => {
                    if let Ok(Some(callback)) = done {
                        return Ok(callback);
                    }
                }
            }
        }
    }
}

/// Answers one request. `Some` is the callback that was waited for.
async fn serve(mut stream: TcpStream, state: &str, port: u16) -> Option<Callback> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > MAX_HEAD || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let callback = std::str::from_utf8(&head)
        .ok()
        .and_then(|head| read(head, port));
    let (status, title, text, callback) = match callback {
        Some(Some(callback)) if callback.answers(state) => {
            let (title, text) = match callback.outcome.is_ok() {
                true => (
                    "Thank you",
                    "Docket has your answer and finishes the sign-in. You can close this page and go back to the terminal.",
                ),
                false => (
                    "Not signed in",
                    "The sign-in was not completed. The terminal says why; you can close this page.",
                ),
            };
            ("200 OK", title, text, Some(callback))
        }
        Some(_) => (
            "400 Bad Request",
            "Not this sign-in",
            "This answer does not belong to the sign-in that Docket waits for. Open the link from the terminal again.",
            None,
        ),
        None => (
            "404 Not Found",
            "Nothing here",
            "Docket waits here for a sign-in.",
            None,
        ),
    };
    let page = page(title, text);
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    // Whether the page arrives does not matter: the callback did.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    callback
}

/// `Some` for a request to the callback, with the callback where it is a whole one.
fn read(head: &str, port: u16) -> Option<Option<Callback>> {
    let mut lines = head.split("\r\n");
    let mut request = lines.next()?.split(' ');
    let (method, target) = (request.next()?, request.next()?);
    // Another host name is another site's page, by a name that it had resolved to this machine.
    let host = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim())?;
    let is_ours = ["localhost", "127.0.0.1"]
        .iter()
        .any(|name| host == format!("{name}:{port}"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (method == "GET" && is_ours && path == "/callback").then(|| Callback::from_query(query))
}

fn page(title: &str, text: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} – Docket</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>\
         :root{{color-scheme:light dark}}body{{margin:0;min-height:100vh;display:grid;\
         place-items:center;font:16px/1.5 system-ui,sans-serif}}main{{max-width:26rem;padding:2rem}}\
         h1{{font-size:1.4rem}}</style></head><body><main><h1>{title}</h1><p>{text}</p></main></body></html>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(port: u16, text: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn only_the_right_answer_ends_the_wait() {
        let redirect = LoopbackRedirect::bind().await.unwrap();
        let port = redirect.port;
        assert_eq!(
            redirect.redirect_uri(),
            format!("http://localhost:{port}/callback")
        );
        let waiting = tokio::spawn(async move { redirect.wait("right").await });
        // A connection that a browser opens ahead and never uses.
        let _idle = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
        for (request, status) in [
            (get("/favicon.ico"), "404"),
            (get("/"), "404"),
            (get("/callback"), "400"),
            (get("/callback?state=wrong&code=canary"), "400"),
            (get("/callback?state=right"), "400"),
            (get("/callback?state=right&code=a&code=b"), "400"),
            (
                get("/callback?state=right&code=a").replace("localhost", "evil.test"),
                "404",
            ),
            (
                get("/callback?state=right&code=a").replace("Host", "X"),
                "404",
            ),
            (
                get("/callback?state=right&code=a").replace("GET", "POST"),
                "404",
            ),
            ("\u{fffd}\r\n\r\n".to_owned(), "404"),
        ] {
            let answer = ask(port, &request).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{request}: {answer}"
            );
            assert!(!answer.contains("canary"), "{answer}");
            assert!(!waiting.is_finished(), "{request}");
        }
        let answer = ask(port, &get("/callback?state=right&code=c")).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.contains("Thank you"),
            "{answer}"
        );
        let callback = waiting.await.unwrap().unwrap();
        assert!(callback.answers("right"));
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer_too() {
        let redirect = LoopbackRedirect::bind().await.unwrap();
        let port = redirect.port;
        let waiting = tokio::spawn(async move { redirect.wait("s").await });
        let answer = ask(
            port,
            &format!("GET /callback?error=access_denied&state=s HTTP/1.1\r\nhost:127.0.0.1:{port}\r\n\r\n"),
        )
        .await;
        assert!(answer.contains("Not signed in"), "{answer}");
        assert!(format!("{:?}", waiting.await.unwrap().unwrap()).contains("access_denied"));
    }
}
