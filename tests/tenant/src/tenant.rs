//! A running tenant: four listeners on loopback and the memory behind them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::clock::Clock;
use crate::config::TenantConfig;
use crate::error::TenantError;
use crate::server::{self, Listener};
use crate::state::TenantState;
use crate::tls;
use crate::wire::Origin;

/// A running tenant; dropping it, or [`Tenant::shutdown`], stops its servers.
#[derive(Debug)]
pub struct Tenant {
    state: TenantState,
    authority: Url,
    graph: Url,
    outlook: Url,
    plain: Url,
    ca_pem: String,
    stop: CancellationToken,
    servers: JoinSet<()>,
}

impl Tenant {
    /// Starts a tenant on free loopback ports.
    ///
    /// # Errors
    /// When loopback cannot be listened on, or `config` names users or folders that it does not have.
    pub async fn start(config: TenantConfig, clock: Arc<dyn Clock>) -> Result<Self, TenantError> {
        Self::start_at(config, clock, 0).await
    }

    /// The same, with the plain http listener on `port` (0 is any free one), for a tenant that people look at.
    ///
    /// # Errors
    /// As [`Tenant::start`].
    pub async fn start_at(
        config: TenantConfig,
        clock: Arc<dyn Clock>,
        port: u16,
    ) -> Result<Self, TenantError> {
        let state = TenantState::new(&config, clock)?;
        let identity = tls::issue()?;
        let acceptor = TlsAcceptor::from(identity.server);
        let stop = CancellationToken::new();
        let mut servers = JoinSet::new();

        let login = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let graph = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let outlook = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let url = |scheme: &str, socket: &TcpListener| -> Result<Url, TenantError> {
            Ok(Url::parse(&format!(
                "{scheme}://localhost:{}/",
                socket.local_addr()?.port()
            ))?)
        };
        let (authority_url, graph_url) = (url("https", &login)?, url("https", &graph)?);
        let (outlook_url, plain_url) = (url("https", &outlook)?, url("http", &plain)?);
        let upload_base = outlook_url.as_str().trim_end_matches('/').to_owned();
        for (socket, origin, at) in [
            (login, Origin::Login, &authority_url),
            (graph, Origin::Graph, &graph_url),
            (outlook, Origin::Outlook, &outlook_url),
            (plain, Origin::Plain, &plain_url),
        ] {
            let is_plain = origin == Origin::Plain;
            let listener = Listener {
                state: state.clone(),
                origin,
                scheme: if is_plain { "http" } else { "https" },
                authority: format!("localhost:{}", at.port().unwrap_or(0)),
                upload_base: (!is_plain).then(|| upload_base.clone()),
                tls: (!is_plain).then(|| acceptor.clone()),
            };
            servers.spawn(server::run(Arc::new(listener), socket, stop.clone()));
        }
        Ok(Self {
            state,
            authority: authority_url,
            graph: graph_url,
            outlook: outlook_url,
            plain: plain_url,
            ca_pem: identity.ca_pem,
            stop,
            servers,
        })
    }

    /// The sign-in origin, TLS.
    pub fn authority(&self) -> &Url {
        &self.authority
    }

    /// Graph's origin, TLS; versions follow, as in `v1.0/me`.
    pub fn graph(&self) -> &Url {
        &self.graph
    }

    /// The upload origin, TLS.
    pub fn outlook(&self) -> &Url {
        &self.outlook
    }

    /// Everything over plain http: pages, sign-in, Graph, uploads.
    pub fn plain(&self) -> &Url {
        &self.plain
    }

    /// The certificate authority that clients must trust, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The memory behind the servers.
    pub fn state(&self) -> &TenantState {
        &self.state
    }

    /// Stops the servers and waits for them.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.servers.join_next().await.is_some() {}
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
