//! A server that answers with malice, over TLS, under several names.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The names that the server has a certificate for.
pub(crate) const NAMES: [&str; 5] = [
    "audience.test",
    "files.test",
    "granted.test",
    "evil.test",
    "loop.test",
];

/// The secret in the upload URLs that the server makes.
pub(crate) const UPLOAD_SECRET: &str = "0upl0ad-t1cket-that-n0-plugin-may-read";

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The name under which the server was addressed.
    pub(crate) host: String,
    /// Head and body.
    pub(crate) bytes: Vec<u8>,
}

/// The server; dropping it ends it.
pub(crate) struct Outside {
    pub(crate) port: u16,
    pub(crate) ca_pem: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Outside {
    pub(crate) async fn start() -> Result<Self> {
        let (ca_pem, config) = identity()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let acceptor = TlsAcceptor::from(config);
        let mut tasks = JoinSet::new();
        let all = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, all) = (acceptor.clone(), Arc::clone(&all));
                connections.spawn(async move {
                    // A client that hangs up is what many of the cases are about.
                    let _ = serve(acceptor.accept(stream).await?, port, &all).await;
                    anyhow::Ok(())
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            port,
            ca_pem,
            seen,
            _tasks: tasks,
        })
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn identity() -> Result<(String, Arc<ServerConfig>)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(NAMES.map(str::to_owned).to_vec())?;
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let certificate = leaf.signed_by(&key, &issuer)?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)?;
    Ok((ca.pem(), Arc::new(config)))
}

type Stream = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;

async fn serve(mut stream: Stream, port: u16, all: &Mutex<Vec<Seen>>) -> Result<()> {
    loop {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let header = |name: &str| {
            head.split("\r\n").skip(1).find_map(|line| {
                let (found, value) = line.split_once(':')?;
                let value = value.trim().to_owned();
                found.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        let length: usize = header("content-length").map_or(Ok(0), |length| length.parse())?;
        while bytes.len() < end + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let host = header("host").unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default().to_owned();
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let last = {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(Seen { host, bytes });
            let with_token = all.iter().rev().find_map(|seen| bearer(&seen.bytes));
            with_token.unwrap_or_default()
        };
        let token = header("authorization").unwrap_or_default();
        let token = token.trim_start_matches("Bearer ");
        answer(&mut stream, port, &target, token, &last).await?;
    }
}

fn bearer(request: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(request);
    let rest = text.split("earer ").nth(1)?;
    Some(rest.split("\r\n").next()?.to_owned())
}

/// Does what the path says.
async fn answer(
    stream: &mut Stream,
    port: u16,
    target: &str,
    token: &str,
    last: &str,
) -> Result<()> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let say = |text: &str| plain(200, "", text);
    let bytes = match path {
        "/echo/body" => say(&format!("you sent: Bearer {token}")),
        "/echo/half" => say(&token[token.len() / 2..]),
        "/echo/error" => plain(
            500,
            "",
            &format!("{{\"authorization\":\"Bearer {token}\"}}"),
        ),
        "/echo/header" => plain(200, &format!("X-You-Sent: {token}\r\n"), "see above"),
        "/echo/base64" => say(&STANDARD.encode(format!("Authorization: Bearer {token}"))),
        "/echo/hex" => {
            let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
            say(&hex)
        }
        "/echo/last" => say(last),
        "/echo/location" => {
            let to = format!("https://files.test:{port}/take?bearer={token}");
            plain(302, &format!("Location: {to}\r\n"), "")
        }
        "/echo/coded" => plain(200, "Content-Encoding: gzip\r\n", token),
        "/echo/chunks" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await?;
            for piece in token.as_bytes().chunks(5) {
                let size = format!("{:x}\r\n", piece.len());
                stream
                    .write_all(&[size.as_bytes(), piece, b"\r\n"].concat())
                    .await?;
                stream.flush().await?;
                tokio::task::yield_now().await;
            }
            b"0\r\n\r\n".to_vec()
        }
        "/echo/target" => say(target),
        "/upload" => say(&upload("files.test", port)),
        "/upload/evil" => say(&upload("evil.test", port)),
        path if path.starts_with("/redirect/") => {
            let status = path.trim_start_matches("/redirect/").parse().unwrap_or(302);
            let to = percent_decode_str(query).decode_utf8_lossy().into_owned();
            plain(status, &format!("Location: {to}\r\n"), "moved")
        }
        "/bomb" => plain(200, "Content-Encoding: gzip\r\n", &"\u{1f}".repeat(1 << 16)),
        "/endless" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await?;
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 1 << 16], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        "/slow" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            drip(stream, b"X").await
        }
        "/slow-body" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                .await?;
            drip(stream, b"x").await
        }
        "/headers" => {
            let headers: String = (0..10_000).map(|n| format!("X-{n}: {n}\r\n")).collect();
            plain(200, &headers, "")
        }
        "/huge-header" => plain(200, &format!("X-Huge: {}\r\n", "h".repeat(2 << 20)), ""),
        "/cut" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
                .await?;
            stream.shutdown().await?;
            return Ok(());
        }
        "/two-lengths" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\nok".to_vec()
        }
        "/split" => {
            let second = say("the answer to another request");
            [say("ok"), second].concat()
        }
        "/large" => say(&"l".repeat(2 << 20)),
        "/binary" => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xfe\0\x80".to_vec(),
        "/cookie" => plain(
            200,
            "Set-Cookie: sid=1\r\nWWW-Authenticate: Bearer\r\n",
            "{}",
        ),
        _ => say("{}"),
    };
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(())
}

fn upload(host: &str, port: u16) -> String {
    format!("{{\"uploadUrl\":\"https://{host}:{port}/echo/target?authtoken={UPLOAD_SECRET}\"}}")
}

fn plain(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// A byte now and then, for as long as somebody reads.
#[allow(
    clippy::disallowed_methods,
    reason = "a server that is slow takes its time"
)]
async fn drip(stream: &mut Stream, byte: &[u8]) -> Vec<u8> {
    while stream.write_all(byte).await.is_ok() && stream.flush().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Vec::new()
}
