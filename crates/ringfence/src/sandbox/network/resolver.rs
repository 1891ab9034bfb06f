//! Asking for the addresses of a name: the system's name servers and hosts file, in this process and without threads.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::Unresolved;

/// How long a name server may take over one question.
const ANSWER: Duration = Duration::from_secs(3);

/// How often it is asked.
const ATTEMPTS: usize = 2;

/// How long a lookup may take with all its questions; the deadline of the run may be before.
const LOOKUP: Duration = Duration::from_secs(10);

/// Asks name servers. It is set up at the first question, and takes its tasks with it when it is dropped.
pub(super) struct Resolver {
    servers: Option<Arc<[SocketAddr]>>,
    asks: OnceLock<Option<TokioResolver>>,
}

impl Resolver {
    pub(super) fn new(servers: Option<Arc<[SocketAddr]>>) -> Self {
        Self { servers, asks: OnceLock::new() }
    }

    /// All addresses of a name, as they came: those of IPv4 first, as IPv6 often leads nowhere.
    pub(super) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let asks = self.asks.get_or_init(|| set_up(self.servers.as_deref()).ok());
        let Some(asks) = asks else { return Err(Unresolved::Failed) };
        // The dot at the end keeps the system's search list out of it: what was granted is what is asked for.
        let asked = asks.lookup_ip(format!("{name}."));
        match tokio::time::timeout(LOOKUP, asked).await {
            Ok(Ok(found)) => {
                let (mut found, six): (Vec<IpAddr>, Vec<IpAddr>) = found.iter().partition(IpAddr::is_ipv4);
                found.extend(six);
                Ok(found)
            }
            Ok(Err(error)) if error.is_no_records_found() => Err(Unresolved::NotFound),
            Ok(Err(_)) | Err(_) => Err(Unresolved::Failed),
        }
    }
}

fn set_up(servers: Option<&[SocketAddr]>) -> Result<TokioResolver, NetError> {
    let mut builder = match servers {
        Some(servers) => {
            let servers = servers.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.into())
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            builder
        }
        None => TokioResolver::builder_tokio().unwrap_or_else(|_| {
            // A system without name servers still has its hosts file.
            let config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }),
    };
    let options = builder.options_mut();
    options.timeout = ANSWER;
    options.attempts = ATTEMPTS;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // A run keeps its own addresses, for as long as it lasts.
    options.cache_size = 0;
    builder.build()
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("servers", &self.servers).finish_non_exhaustive()
    }
}
