//! Names to addresses, and only to addresses that may be dialled.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;

use super::Addresses;

/// Resolves host names.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of a host, best first.
    ///
    /// # Errors
    /// The resolver's.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// A resolver that leaves out what may not be dialled. As the client dials exactly what comes out
/// here, a name cannot change its address in between.
pub(super) struct Checked {
    inner: Arc<dyn Resolve>,
    addresses: Arc<Addresses>,
}

impl Checked {
    pub(super) fn new(inner: Arc<dyn Resolve>, addresses: Addresses) -> Self {
        Self {
            inner,
            addresses: Arc::new(addresses),
        }
    }
}

impl reqwest::dns::Resolve for Checked {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let (inner, addresses) = (Arc::clone(&self.inner), Arc::clone(&self.addresses));
        Box::pin(async move {
            let host = name.as_str();
            let found = inner.resolve(host).await?;
            let (allowed, refused): (Vec<IpAddr>, Vec<IpAddr>) = found
                .into_iter()
                .partition(|&address| addresses.allow(address));
            match (allowed.is_empty(), refused.first()) {
                (false, _) => {
                    // Port 0 means the URL's own.
                    let dialled = allowed
                        .into_iter()
                        .map(|address| SocketAddr::new(address, 0));
                    Ok(Box::new(dialled) as reqwest::dns::Addrs)
                }
                (true, Some(&address)) => Err(Blocked {
                    host: host.to_owned(),
                    address,
                }
                .into()),
                (true, None) => Err(io::Error::other("the name has no address").into()),
            }
        })
    }
}

/// A host whose addresses may not be dialled.
#[derive(Debug)]
pub(super) struct Blocked {
    pub(super) host: String,
    pub(super) address: IpAddr,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "dialling {}, which is {} and not a public address",
            self.host, self.address
        )
    }
}

impl Error for Blocked {}
