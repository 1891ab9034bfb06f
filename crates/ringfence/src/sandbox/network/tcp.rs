//! A guest's TCP socket: outbound only, and no socket of the system before there is something it may reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown, sockopt};

use super::{Change, Connection, Network, Protocol, Slot, errno, options};

/// A version of the internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Whether an address can be used on a socket of this family. IPv4 in the clothes of IPv6 cannot be used at all.
    pub(super) fn fits(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4, IpAddr::V4(_)) => true,
            (Self::V6, IpAddr::V6(six)) => {
                six.to_ipv4().is_none() || matches!(six, Ipv6Addr::LOCALHOST | Ipv6Addr::UNSPECIFIED)
            }
            _ => false,
        }
    }

    pub(super) fn unspecified(self) -> SocketAddr {
        let address = match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        SocketAddr::new(address, 0)
    }
}

/// Whether something can be sent there.
pub(super) fn is_remote(address: SocketAddr) -> bool {
    !address.ip().is_unspecified() && address.port() != 0
}

fn is_unicast(address: IpAddr) -> bool {
    !address.is_multicast() && address != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// A TCP socket.
pub struct TcpSocket {
    network: Arc<Network>,
    family: Family,
    bound: bool,
    state: State,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Connection, Errno>> + Send>>;

enum State {
    /// Nothing has happened that needs a socket of the system.
    Unopened,
    Open(tokio::net::TcpSocket, Slot),
    Connecting(Connecting),
    Connected {
        connection: Arc<Connection>,
        receiving: bool,
        sending: bool,
    },
    Closed(Errno),
}

impl TcpSocket {
    /// A socket that is not there yet.
    pub fn new(network: Arc<Network>, family: Family) -> Self {
        Self { network, family, bound: false, state: State::Unopened }
    }

    /// The network it belongs to.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Its version of the internet protocol.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Opens it, where anything is granted that it could be for.
    fn open(&mut self) -> Result<(), Errno> {
        match self.state {
            State::Unopened if !self.network.has(Protocol::Tcp) => Err(Errno::ACCESS),
            State::Unopened => {
                let slot = self.network.slot().ok_or(Errno::MFILE)?;
                let socket = match self.family {
                    Family::V4 => tokio::net::TcpSocket::new_v4(),
                    Family::V6 => tokio::net::TcpSocket::new_v6(),
                }
                .map_err(|error| errno(&error))?;
                if self.family == Family::V6 {
                    sockopt::set_ipv6_v6only(&socket, true)?;
                }
                self.state = State::Open(socket, slot);
                Ok(())
            }
            State::Closed(errno) => Err(errno),
            _ => Ok(()),
        }
    }

    fn fd(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        self.open()?;
        match &self.state {
            State::Open(socket, _) => Ok(socket.as_fd()),
            State::Connected { connection, .. } => Ok(connection.as_fd()),
            State::Unopened | State::Connecting(_) | State::Closed(_) => Err(Errno::NOTCONN),
        }
    }

    /// Takes a local address. The port is the system's to choose: a fixed one is for who wants to be found.
    pub fn bind(&mut self, address: SocketAddr) -> Result<(), Errno> {
        if self.bound || !matches!(self.state, State::Unopened | State::Open(..)) {
            return Err(Errno::NOTCONN);
        }
        if !is_unicast(address.ip()) || !self.family.fits(address.ip()) {
            return Err(Errno::INVAL);
        }
        // Who binds without anything to connect to is about to listen.
        if address.port() != 0 || !self.network.has(Protocol::Tcp) {
            self.network.refuse_listening(address, Protocol::Tcp);
            return Err(Errno::ACCESS);
        }
        self.open()?;
        if let State::Open(socket, _) = &self.state {
            socket.bind(address).map_err(|error| errno(&error))?;
            self.bound = true;
        }
        Ok(())
    }

    /// Refused: nobody connects to a guest.
    pub fn listen(&mut self) -> Errno {
        match self.state {
            State::Unopened | State::Open(..) => {
                let address = self.local_address().unwrap_or_else(|_| self.family.unspecified());
                self.network.refuse_listening(address, Protocol::Tcp);
                Errno::ACCESS
            }
            State::Closed(errno) => errno,
            State::Connecting(_) | State::Connected { .. } => Errno::NOTCONN,
        }
    }

    /// Whether it has a local address.
    pub fn is_bound(&self) -> bool {
        self.bound
    }

    /// Begins to connect. An address that may not be reached is refused before there is a socket.
    pub fn start_connect(&mut self, to: SocketAddr) -> Result<(), Errno> {
        if !matches!(self.state, State::Unopened | State::Open(..)) {
            return Err(Errno::ISCONN);
        }
        if !is_unicast(to.ip()) || !is_remote(to) || !self.family.fits(to.ip()) {
            return Err(Errno::INVAL);
        }
        let opened = if self.network.check(to, Protocol::Tcp) { self.open() } else { Err(Errno::ACCESS) };
        match std::mem::replace(&mut self.state, State::Closed(Errno::NOTCONN)) {
            State::Open(socket, slot) if opened.is_ok() => {
                self.state = State::Connecting(Box::pin(async move {
                    let stream = socket.connect(to).await.map_err(|error| errno(&error))?;
                    Ok(Connection::new(stream, slot))
                }));
                Ok(())
            }
            _ => {
                let errno = opened.err().unwrap_or(Errno::NOTCONN);
                self.state = State::Closed(errno);
                Err(errno)
            }
        }
    }

    /// Waits until it is connected, or is not.
    pub fn poll_connected(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Errno>> {
        let connected = match &mut self.state {
            State::Connecting(connecting) => ready!(connecting.as_mut().poll(context)),
            State::Connected { .. } => return Poll::Ready(Ok(())),
            State::Closed(errno) => return Poll::Ready(Err(*errno)),
            State::Unopened | State::Open(..) => return Poll::Ready(Err(Errno::NOTCONN)),
        };
        match connected {
            Ok(connection) => {
                self.state = State::Connected { connection: connection.into(), receiving: false, sending: false };
                Poll::Ready(Ok(()))
            }
            Err(errno) => {
                self.state = State::Closed(errno);
                Poll::Ready(Err(errno))
            }
        }
    }

    /// The side that receives; there is one.
    pub fn receiver(&mut self) -> Result<Receiver, Errno> {
        match &mut self.state {
            State::Connected { connection, receiving, .. } if !*receiving => {
                *receiving = true;
                Ok(Receiver(connection.clone()))
            }
            State::Closed(errno) => Err(*errno),
            _ => Err(Errno::NOTCONN),
        }
    }

    /// The side that sends; there is one.
    pub fn sender(&mut self) -> Result<Sender, Errno> {
        match &mut self.state {
            State::Connected { connection, sending, .. } if !*sending => {
                *sending = true;
                Ok(Sender(connection.clone()))
            }
            State::Closed(errno) => Err(*errno),
            _ => Err(Errno::NOTCONN),
        }
    }

    /// Where it sends from.
    pub fn local_address(&self) -> Result<SocketAddr, Errno> {
        match &self.state {
            State::Open(socket, _) if self.bound => socket.local_addr().map_err(|error| errno(&error)),
            State::Connected { connection, .. } => connection.stream().local_addr().map_err(|error| errno(&error)),
            State::Closed(errno) => Err(*errno),
            State::Unopened | State::Open(..) | State::Connecting(_) => Err(Errno::NOTCONN),
        }
    }

    /// Where it sends to.
    pub fn remote_address(&self) -> Result<SocketAddr, Errno> {
        match &self.state {
            State::Connected { connection, .. } => connection.stream().peer_addr().map_err(|error| errno(&error)),
            State::Closed(errno) => Err(*errno),
            _ => Err(Errno::NOTCONN),
        }
    }

    /// Taken and forgotten, as nothing ever listens.
    pub fn set_backlog(&self, size: u64) -> Result<(), Errno> {
        match &self.state {
            _ if size == 0 => Err(Errno::INVAL),
            State::Unopened | State::Open(..) => Ok(()),
            State::Closed(errno) => Err(*errno),
            State::Connecting(_) | State::Connected { .. } => Err(Errno::NOTCONN),
        }
    }

    /// Sets an option.
    pub fn set(&mut self, change: Change) -> Result<(), Errno> {
        let family = self.family;
        change.apply(self.fd()?, family)
    }

    /// Whether idle connections are probed.
    pub fn keep_alive(&mut self) -> Result<bool, Errno> {
        options::keep_alive(self.fd()?)
    }

    /// Idle time before the first probe, in nanoseconds.
    pub fn keep_alive_idle(&mut self) -> Result<u64, Errno> {
        options::keep_alive_idle(self.fd()?)
    }

    /// Time between probes, in nanoseconds.
    pub fn keep_alive_interval(&mut self) -> Result<u64, Errno> {
        options::keep_alive_interval(self.fd()?)
    }

    /// Probes without an answer that end a connection.
    pub fn keep_alive_count(&mut self) -> Result<u32, Errno> {
        options::keep_alive_count(self.fd()?)
    }

    /// Routers a packet may pass.
    pub fn hop_limit(&mut self) -> Result<u8, Errno> {
        let family = self.family;
        options::hop_limit(self.fd()?, family)
    }

    /// Size of the receive buffer, in bytes.
    pub fn receive_buffer(&mut self) -> Result<u64, Errno> {
        options::receive_buffer(self.fd()?)
    }

    /// Size of the send buffer, in bytes.
    pub fn send_buffer(&mut self) -> Result<u64, Errno> {
        options::send_buffer(self.fd()?)
    }
}

/// The side of a connection that receives; dropping it ends that side.
pub struct Receiver(Arc<Connection>);

impl Receiver {
    /// Receives some bytes; 0 at the end.
    pub fn poll_receive(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Errno>> {
        self.0.poll_read_some(context, buffer)
    }

    /// Whether something is there to receive, an end or an error too.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.stream().poll_read_ready(context).map(drop)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The connection may be gone already, which is what was wanted.
        let _ = shutdown(&*self.0, Shutdown::Read);
    }
}

/// The side of a connection that sends; dropping it ends that side.
pub struct Sender(Arc<Connection>);

impl Sender {
    /// Sends some bytes.
    pub fn poll_send(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Errno>> {
        self.0.poll_write_some(context, bytes)
    }

    /// Whether something can be sent, or is known not to.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.stream().poll_write_ready(context).map(drop)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // The connection may be gone already, which is what was wanted.
        let _ = shutdown(&*self.0, Shutdown::Write);
    }
}
