//! The clients that dial: names resolved, addresses checked, TLS spoken.
//!
//! Nothing outside this folder builds an HTTP client. A client never follows a redirect, never sends
//! a request twice, never uses a proxy of the environment and never keeps a cookie; it dials an
//! address only after [`Addresses`] allowed it.

mod addresses;
mod resolve;
mod tls;

use std::error::Error;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use url::{Host, Url};

pub(crate) use self::addresses::Addresses;
use self::resolve::{Blocked, Checked};
pub use self::resolve::{Resolve, SystemResolver};
pub(crate) use self::tls::{Authorities, read_ca_file};
use crate::gate::GateError;

/// The longest wait for a connection with TLS. Longer ones would use up the request's own time, and
/// then nobody could tell that nothing was sent.
const CONNECT: Duration = Duration::from_secs(15);
/// How long an unused connection stays open: less than the two minutes of Microsoft's front ends, so
/// that it is rarely them who close it first.
const IDLE: Duration = Duration::from_secs(60);

/// A client of one trust configuration. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Transport(Arc<Inner>);

struct Inner {
    addresses: Addresses,
    authorities: Authorities,
    resolver: Arc<dyn Resolve>,
    /// Built on first use: the system's authorities take their time to read.
    client: OnceLock<Result<reqwest::Client, String>>,
}

impl Transport {
    /// A client that trusts the system's authorities and `authorities`.
    pub(crate) fn new(
        addresses: Addresses,
        authorities: Authorities,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        Self(Arc::new(Inner {
            addresses,
            authorities,
            resolver,
            client: OnceLock::new(),
        }))
    }

    /// The client, for a URL whose host, where it is an address, may be dialled. Names are checked
    /// when they have been resolved.
    ///
    /// # Errors
    /// [`GateError::Denied`]; [`GateError::Fault`] when there is no authority to trust.
    pub(crate) fn client(&self, url: &Url, place: &str) -> Result<&reqwest::Client, GateError> {
        let address: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        match address {
            Some(address) if !self.0.addresses.allow(address) => {
                let host = address.to_string();
                Err(blocked(&Blocked { host, address }, place))
            }
            _ => {
                let client = self.0.client.get_or_init(|| self.0.build());
                client
                    .as_ref()
                    .map_err(|problem| GateError::Fault(problem.clone()))
            }
        }
    }
}

impl Inner {
    fn build(&self) -> Result<reqwest::Client, String> {
        #[allow(
            clippy::disallowed_methods,
            reason = "the one place that builds clients"
        )]
        let builder = reqwest::Client::builder();
        builder
            .tls_backend_preconfigured(tls::config(&self.authorities)?)
            .dns_resolver(Checked::new(
                Arc::clone(&self.resolver),
                self.addresses.clone(),
            ))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("docket/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| reasons(&error))
    }
}

/// What a failed exchange means. Whatever is not known to have failed before a byte was sent may have
/// reached the server.
///
/// `place` is where the connection is in `docket.yaml`, and `host` what may be shown of the URL.
pub(crate) fn failed(error: reqwest::Error, host: &str, place: &str) -> GateError {
    let error = error.without_url();
    let mut source: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<Blocked>() {
            return blocked(found, place);
        }
        source = cause.source();
    }
    if error.is_connect() {
        let mut text = format!("{host}: {}", reasons(&error));
        if text.contains("UnknownIssuer") {
            text.push_str(&format!(
                "; if the server's certificate is your organisation's own, name the authority's file as ca-file under {place} in docket.yaml"
            ));
        }
        GateError::Unreachable(text)
    } else if error.is_timeout() {
        GateError::Interrupted(format!("{host}: no whole answer within the request's time"))
    } else {
        GateError::Interrupted(format!("{host}: {}", reasons(&error)))
    }
}

fn blocked(found: &Blocked, place: &str) -> GateError {
    GateError::Denied {
        what: found.to_string(),
        remedy: format!(
            "if it is meant, add `{}` to allow-addresses under {place} in docket.yaml",
            found.address
        ),
    }
}

/// An error and what caused it, each once.
pub(crate) fn reasons(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
