//! The network of one run: names resolved once, addresses judged, connections and bytes counted.
//!
//! Sockets of every WASI level and requests of `wasi:http` go through here, and nothing else opens a socket for a
//! guest. Without a grant this is a few empty fields: no resolver, no socket, no thread.

mod address;
mod connection;
mod names;
mod options;
mod outbox;
mod resolver;
mod tcp;
mod udp;

pub use address::special;
pub use connection::Connection;
pub use names::Unresolved;
pub use options::Change;
pub use outbox::Outbox;
pub use tcp::{Family, Receiver, Sender, TcpSocket};
pub use udp::UdpSocket;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Context;

use rustix::io::Errno;

use self::names::Names;
use super::denials::Denials;
use super::stop::{Limit, Stop};
use crate::policy::{Endpoint, Limits, Net, normal_name};

/// Widest range of IPv4 addresses that also grants addresses that are not public. Who writes `0.0.0.0/0:443` means the
/// internet, not the machine's own services; 10.0.0.0/8 is the widest block that is private.
const WIDEST_SPECIAL_4: u8 = 8;

/// The same for IPv6, where the widest private block is fc00::/7.
const WIDEST_SPECIAL_6: u8 = 7;

/// What a connection or a datagram is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The network of one run.
pub struct Network {
    grants: Arc<Net>,
    denials: Denials,
    servers: Option<Arc<[SocketAddr]>>,
    names: OnceLock<Names>,
    connections: u32,
    open: AtomicU32,
    bytes_left: AtomicU64,
    outboxes: Mutex<Vec<Arc<Outbox>>>,
}

impl Network {
    /// Nothing is opened or read before a guest makes use of a grant. `servers` are asked for names instead of the
    /// system's, where they are given.
    pub fn new(grants: Arc<Net>, limits: &Limits, denials: Denials, servers: Option<Arc<[SocketAddr]>>) -> Arc<Self> {
        Arc::new(Self {
            grants,
            denials,
            servers,
            names: OnceLock::new(),
            connections: limits.connections,
            open: AtomicU32::new(0),
            bytes_left: AtomicU64::new(limits.net_bytes.0),
            outboxes: Mutex::default(),
        })
    }

    /// Where refusals are noted.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// What the guest may reach.
    pub fn grants(&self) -> &Net {
        &self.grants
    }

    /// Why the run has to end, as far as the network knows.
    pub fn stop(&self) -> Option<Stop> {
        if self.is_spent() {
            return Some(Stop::Limit(Limit::NetBytes));
        }
        self.denials.stopped().then_some(Stop::Denied)
    }

    /// The addresses of a name that the guest asks for; those that are written as addresses are their own.
    ///
    /// A name is looked up once. A name that is not granted reaches no resolver.
    pub async fn resolve(&self, text: &str) -> Result<Vec<IpAddr>, Unresolved> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let Some(name) = normal_name(text) else {
            self.denials.note("resolve", text);
            return Err(Unresolved::Invalid);
        };
        if !self.sockets().any(|endpoint| endpoint.has_name(&name)) {
            self.denials.note("resolve", &name);
            return Err(Unresolved::Denied);
        }
        self.lookup(&name).await
    }

    /// The addresses of a name in normal form whose grant the caller has checked.
    ///
    /// Addresses that are not public are left out and noted, unless they are granted as addresses.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let names = self.names.get_or_init(|| Names::new(self.servers.clone()));
        names.lookup(name, |address| self.keeps(address), &self.denials).await
    }

    /// Whether an address behind a name is of any use: not yet whether a port of it is.
    fn keeps(&self, address: IpAddr) -> bool {
        if special(address).is_none() {
            return true;
        }
        self.sockets().any(|endpoint| covers(endpoint, address, *endpoint.ports().start()))
            || self.grants.http.iter().any(|grant| grant.covers_address(address, grant.port()))
    }

    /// Whether a guest may reach an address: it is granted itself, or it is public and belongs to a granted name that
    /// was resolved. A refusal is noted.
    pub fn check(&self, to: SocketAddr, protocol: Protocol) -> bool {
        let reachable = self.reaches(to, protocol);
        if !reachable {
            self.denials.note("connect", &format!("{}://{}", protocol.scheme(), SocketAddr::new(to.ip(), to.port())));
        }
        reachable
    }

    /// The same without a note: datagrams of strangers are dropped, not refused.
    pub fn reaches(&self, to: SocketAddr, protocol: Protocol) -> bool {
        let grants = match protocol {
            Protocol::Tcp => &self.grants.tcp,
            Protocol::Udp => &self.grants.udp,
        };
        if grants.iter().any(|endpoint| covers(endpoint, to.ip(), to.port())) {
            return true;
        }
        special(to.ip()).is_none()
            && self.names.get().is_some_and(|names| {
                names.any_at(to.ip(), |name| grants.iter().any(|endpoint| endpoint.names(name, to.port())))
            })
    }

    /// Notes that a guest wanted to be reached from outside.
    pub fn refuse_listening(&self, at: SocketAddr, protocol: Protocol) {
        self.denials.note("listen", &format!("{}://{at}", protocol.scheme()));
    }

    /// Whether anything of a protocol is granted, which is when sockets of it exist.
    pub fn has(&self, protocol: Protocol) -> bool {
        !match protocol {
            Protocol::Tcp => self.grants.tcp.is_empty(),
            Protocol::Udp => self.grants.udp.is_empty(),
        }
    }

    /// A place for one more socket, given back when it is dropped. None where the run has as many as it may.
    pub fn slot(self: &Arc<Self>) -> Option<Slot> {
        let taken = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            open.checked_add(1).filter(|open| *open <= self.connections)
        });
        if taken.is_err() {
            self.denials.note_limit("connections", &format!("more than {} at one time", self.connections));
            return None;
        }
        Some(Slot(self.clone()))
    }

    /// Connects to an address that the caller has checked.
    pub async fn connect(self: &Arc<Self>, to: SocketAddr) -> Result<Connection, Errno> {
        let slot = self.slot().ok_or(Errno::MFILE)?;
        let stream = tokio::net::TcpStream::connect(to).await.map_err(|error| errno(&error))?;
        Ok(Connection::new(stream, slot))
    }

    /// Connects to a name whose grant the caller has checked: to the first of its addresses that answers.
    pub async fn connect_name(self: &Arc<Self>, name: &str, port: u16) -> Result<Connection, Unreached> {
        let mut failed = Errno::ACCESS;
        for address in self.lookup(name).await.map_err(Unreached::Name)? {
            if !self.leads_to(address, port) {
                let to = SocketAddr::new(address, port);
                self.denials.note("connect", &format!("tcp://{to}"));
                continue;
            }
            match self.connect(SocketAddr::new(address, port)).await {
                Ok(connection) => return Ok(connection),
                Err(Errno::MFILE) => return Err(Unreached::Connection(Errno::MFILE)),
                Err(errno) => failed = errno,
            }
        }
        Err(Unreached::Connection(failed))
    }

    /// Whether a granted name may lead to an address at a port: always if it is public, else if the address is granted
    /// at this port. It may be kept of the name for another one.
    fn leads_to(&self, address: IpAddr, port: u16) -> bool {
        special(address).is_none()
            || self.grants.tcp.iter().any(|endpoint| covers(endpoint, address, port))
            || self.grants.http.iter().any(|grant| grant.covers_address(address, port))
    }

    /// How much of `wanted` bytes may still be moved; never 0 for something, as the run ends when nothing is left.
    pub fn allowance(&self, wanted: usize) -> usize {
        usize::try_from(self.bytes_left.load(Ordering::Relaxed)).unwrap_or(usize::MAX).min(wanted)
    }

    /// Whether the run has moved as many bytes as it may.
    fn is_spent(&self) -> bool {
        self.bytes_left.load(Ordering::Relaxed) == 0
    }

    /// Counts bytes that were moved, in either direction.
    pub fn count(&self, moved: usize) {
        let moved = u64::try_from(moved).unwrap_or(u64::MAX);
        let spend = |left: u64| Some(left.saturating_sub(moved));
        // The closure never refuses, so neither does the update.
        let _ = self.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
    }

    /// Sends on, whenever the run is looked at, what the system did not take at once.
    pub fn push_later(&self, outbox: Arc<Outbox>) {
        self.outboxes().push(outbox);
    }

    /// Sends what is left to send; called by the supervisor, which is woken when there is room for more.
    pub fn push(&self, context: &mut Context<'_>) {
        self.outboxes().retain(|outbox| outbox.poll_push(context).is_pending());
    }

    fn outboxes(&self) -> MutexGuard<'_, Vec<Arc<Outbox>>> {
        // Nothing that holds the lock leaves the list half changed.
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sockets(&self) -> impl Iterator<Item = &Endpoint> {
        self.grants.tcp.iter().chain(&self.grants.udp)
    }
}

/// Whether an address is granted as an address.
fn covers(endpoint: &Endpoint, address: IpAddr, port: u16) -> bool {
    let Some(range) = endpoint.range() else { return false };
    let widest = if address.is_ipv4() { WIDEST_SPECIAL_4 } else { WIDEST_SPECIAL_6 };
    let mapped = matches!(address, IpAddr::V6(six) if six.to_ipv4_mapped().is_some());
    endpoint.covers(address, port) && !mapped && (range.prefix_len() >= widest || special(address).is_none())
}

/// Why there is no connection to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// It has no address that may be used.
    Name(Unresolved),
    /// No address answered; the last one's error.
    Connection(Errno),
}

/// One socket's place among those a run may have.
#[derive(Debug)]
pub struct Slot(Arc<Network>);

impl Slot {
    /// The network it belongs to.
    pub fn network(&self) -> &Arc<Network> {
        &self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The system's number for an error.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(match error.kind() {
        std::io::ErrorKind::TimedOut => Errno::TIMEDOUT,
        std::io::ErrorKind::WouldBlock => Errno::AGAIN,
        _ => Errno::IO,
    })
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("grants", &self.grants).finish_non_exhaustive()
    }
}
