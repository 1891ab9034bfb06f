//! A guest's UDP socket: it sends to granted peers, and hears from nobody else.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};
use tokio::io::Interest;

use super::tcp::{Family, is_remote};
use super::{Change, Network, Protocol, Slot, errno, options};

/// Biggest datagram, in bytes.
pub const MAX_DATAGRAM: usize = 65_535;

/// Datagrams of strangers that are dropped in one go, before others have their turn.
const DROPS: usize = 64;

/// A UDP socket.
pub struct UdpSocket {
    network: Arc<Network>,
    family: Family,
    open: Option<Open>,
    bound: bool,
    remote: Option<SocketAddr>,
}

struct Open {
    socket: tokio::net::UdpSocket,
    _slot: Slot,
    /// Where datagrams are received; one is as big as it gets.
    buffer: Vec<u8>,
}

impl UdpSocket {
    /// A socket that is not there yet.
    pub fn new(network: Arc<Network>, family: Family) -> Self {
        Self { network, family, open: None, bound: false, remote: None }
    }

    /// The network it belongs to.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Its version of the internet protocol.
    pub fn family(&self) -> Family {
        self.family
    }

    fn open(&mut self) -> Result<&mut Open, Errno> {
        if self.open.is_none() {
            if !self.network.has(Protocol::Udp) {
                return Err(Errno::ACCESS);
            }
            let slot = self.network.slot().ok_or(Errno::MFILE)?;
            let family = if self.family == Family::V4 { AddressFamily::INET } else { AddressFamily::INET6 };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = net::socket_with(family, SocketType::DGRAM, flags, None)?;
            if self.family == Family::V6 {
                sockopt::set_ipv6_v6only(&socket, true)?;
            }
            let socket = tokio::net::UdpSocket::from_std(socket.into()).map_err(|error| errno(&error))?;
            self.open = Some(Open { socket, _slot: slot, buffer: Vec::new() });
        }
        self.open.as_mut().ok_or(Errno::NOTCONN)
    }

    fn fd(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        Ok(self.open()?.socket.as_fd())
    }

    /// Takes a local address. The port is the system's to choose: a fixed one is for who wants to be found.
    ///
    /// Without a grant there is no socket to bind; that is told at the first datagram, where it is known what for.
    pub fn bind(&mut self, address: SocketAddr) -> Result<(), Errno> {
        if self.bound {
            return Err(Errno::NOTCONN);
        }
        if !self.family.fits(address.ip()) {
            return Err(Errno::INVAL);
        }
        if address.port() != 0 || address.ip().is_multicast() {
            self.network.refuse_listening(address, Protocol::Udp);
            return Err(Errno::ACCESS);
        }
        if self.network.has(Protocol::Udp) {
            net::bind(self.fd()?, &address)?;
        }
        self.bound = true;
        Ok(())
    }

    /// Whether it has a local address.
    pub fn is_bound(&self) -> bool {
        self.bound
    }

    /// The one peer it talks to, if it was connected.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Sets the one peer it talks to.
    pub fn connect(&mut self, to: SocketAddr) -> Result<(), Errno> {
        if !self.family.fits(to.ip()) || !is_remote(to) {
            return Err(Errno::INVAL);
        }
        if !self.network.check(to, Protocol::Udp) {
            return Err(Errno::ACCESS);
        }
        let fd = self.fd()?;
        match net::connect(fd, &to) {
            // Linux does not move a socket to another interface by itself.
            Err(Errno::INVAL) => {
                net::connect_unspec(fd)?;
                net::connect(fd, &to)?;
            }
            done => done?,
        }
        self.bound = true;
        self.remote = Some(to);
        Ok(())
    }

    /// Talks to anybody who is granted again.
    pub fn disconnect(&mut self) -> Result<(), Errno> {
        if self.remote.take().is_none() {
            return Err(Errno::NOTCONN);
        }
        net::connect_unspec(self.fd()?)
    }

    /// Sends a datagram, to the one peer or to this one.
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Poll<Result<(), Errno>> {
        if bytes.len() > MAX_DATAGRAM {
            return Poll::Ready(Err(Errno::MSGSIZE));
        }
        let to = match (to, self.remote) {
            (Some(to), _) if !self.family.fits(to.ip()) || !is_remote(to) => return Poll::Ready(Err(Errno::INVAL)),
            (Some(to), Some(remote)) if to != remote => return Poll::Ready(Err(Errno::INVAL)),
            (Some(to), _) | (None, Some(to)) => to,
            (None, None) => return Poll::Ready(Err(Errno::INVAL)),
        };
        if !self.network.check(to, Protocol::Udp) {
            return Poll::Ready(Err(Errno::ACCESS));
        }
        if self.network.allowance(bytes.len()) < bytes.len() {
            // It goes whole or not at all: what is left of the limit is spent on it.
            self.network.count(bytes.len());
            return Poll::Ready(Err(Errno::NOBUFS));
        }
        let connected = self.remote.is_some();
        let socket = &self.open()?.socket;
        let send = || match connected {
            true => net::send(socket, bytes, SendFlags::empty()),
            false => net::sendto(socket, bytes, SendFlags::empty(), &to),
        };
        // Not through the runtime at first: it takes a while to notice that a new socket can be written to.
        let mut sent = send();
        while sent == Err(Errno::AGAIN) {
            ready!(socket.poll_send_ready(context)).map_err(|error| errno(&error))?;
            sent = socket.try_io(Interest::WRITABLE, || Ok(send()?)).map_err(|error| errno(&error));
        }
        sent?;
        self.bound = true;
        self.network.count(bytes.len());
        Poll::Ready(Ok(()))
    }

    /// Whether a datagram can be sent, or is known not to.
    pub fn poll_sendable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &self.open {
            Some(open) => open.socket.poll_send_ready(context).map(drop),
            None => Poll::Ready(()),
        }
    }

    /// Receives a datagram of somebody who is granted.
    pub fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<(Vec<u8>, SocketAddr), Errno>> {
        if !self.bound {
            return Poll::Ready(Err(Errno::NOTCONN));
        }
        let network = self.network.clone();
        let remote = self.remote;
        // Without a grant there is nobody to hear from.
        let Ok(Open { socket, buffer, .. }) = self.open() else { return Poll::Pending };
        buffer.resize(MAX_DATAGRAM, 0);
        for _ in 0..DROPS {
            match socket.try_recv_from(buffer) {
                Ok((length, from)) => {
                    // The system lets datagrams through that came before it was told about the one peer.
                    let known = remote.is_none_or(|remote| remote == from);
                    if known && network.reaches(from, Protocol::Udp) {
                        network.count(length);
                        return Poll::Ready(Ok((buffer[..length].to_vec(), from)));
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    ready!(socket.poll_recv_ready(context)).map_err(|error| errno(&error))?;
                }
                Err(error) => return Poll::Ready(Err(errno(&error))),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Where it sends from.
    pub fn local_address(&self) -> Result<SocketAddr, Errno> {
        match &self.open {
            Some(open) if self.bound => open.socket.local_addr().map_err(|error| errno(&error)),
            None if self.bound => Ok(self.family.unspecified()),
            _ => Err(Errno::NOTCONN),
        }
    }

    /// Sets an option.
    pub fn set(&mut self, change: Change) -> Result<(), Errno> {
        let family = self.family;
        change.apply(self.fd()?, family)
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
