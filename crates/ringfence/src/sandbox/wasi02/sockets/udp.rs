//! UDP sockets of WASI 0.2, with their two streams of datagrams.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::{udp, udp_create_socket};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, SocketResult, subscribe};

use super::{address, family, glance, named, told};
use crate::sandbox::components::{PIECE_BYTES, SocketsView, ours, owned};
use crate::sandbox::network::{Change, UdpSocket};

/// Most datagrams of one call.
const MAX_DATAGRAMS: usize = 16;

/// A socket as the table holds it; its streams have it too.
struct Udp {
    socket: Shared,
    binding: bool,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<UdpSocket>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, UdpSocket> {
        // Nothing that holds the lock leaves the socket half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The datagrams that come in, with one that was fetched to see whether there is one.
struct Incoming {
    socket: Shared,
    next: Option<Result<(Vec<u8>, SocketAddr), Errno>>,
}

impl Incoming {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.next.is_none() {
            self.next = Some(ready!(self.socket.lock().poll_receive(context)));
        }
        Poll::Ready(())
    }
}

/// The datagrams that go out, with how many the guest was allowed to hand over.
struct Outgoing {
    socket: Shared,
    permit: usize,
}

type Handle = Resource<udp::UdpSocket>;

impl SocketsView<'_> {
    fn udp(&mut self, handle: &Handle) -> SocketResult<&mut Udp> {
        Ok(self.table.get_mut(&ours::<_, Udp>(handle))?)
    }

    /// One act on a socket.
    fn on_udp<T>(&mut self, handle: &Handle, act: impl FnOnce(&mut UdpSocket) -> Result<T, Errno>) -> SocketResult<T> {
        let network = self.network.clone();
        let done = act(&mut self.udp(handle)?.socket.lock());
        told(&network, done)
    }
}

impl udp_create_socket::Host for SocketsView<'_> {
    async fn create_udp_socket(&mut self, of: IpAddressFamily) -> SocketResult<Handle> {
        let socket = UdpSocket::new(self.network.clone(), family(of));
        let socket = Shared(Arc::new(Mutex::new(socket)));
        Ok(Resource::new_own(self.table.push(Udp { socket, binding: false })?.rep()))
    }
}

impl udp::Host for SocketsView<'_> {}

impl udp::HostUdpSocket for SocketsView<'_> {
    async fn start_bind(
        &mut self,
        handle: Handle,
        network: Resource<network::Network>,
        local: IpSocketAddress,
    ) -> SocketResult<()> {
        self.capability(&network)?;
        if self.udp(&handle)?.binding {
            return Err(ErrorCode::ConcurrencyConflict.into());
        }
        self.on_udp(&handle, |socket| socket.bind(address(local)))?;
        self.udp(&handle)?.binding = true;
        Ok(())
    }

    fn finish_bind(&mut self, handle: Handle) -> SocketResult<()> {
        match std::mem::take(&mut self.udp(&handle)?.binding) {
            true => Ok(()),
            false => Err(ErrorCode::NotInProgress.into()),
        }
    }

    async fn stream(
        &mut self,
        handle: Handle,
        remote: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<udp::IncomingDatagramStream>, Resource<udp::OutgoingDatagramStream>)> {
        let table_handle = ours::<_, Udp>(&handle);
        if self.table.iter_children(&table_handle)?.any(|child| child.is::<Incoming>() || child.is::<Outgoing>()) {
            return Err(SocketError::trap(wasmtime::format_err!("the streams of a socket were not dropped yet")));
        }
        self.on_udp(&handle, |socket| match remote {
            _ if !socket.is_bound() => Err(Errno::NOTCONN),
            Some(remote) => socket.connect(address(remote)),
            None if socket.remote().is_some() => socket.disconnect(),
            None => Ok(()),
        })?;
        let socket = self.udp(&handle)?.socket.clone();
        let incoming = self.table.push_child(Incoming { socket: socket.clone(), next: None }, &table_handle)?;
        let outgoing = self.table.push_child(Outgoing { socket, permit: 0 }, &table_handle)?;
        Ok((Resource::new_own(incoming.rep()), Resource::new_own(outgoing.rep())))
    }

    fn local_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.on_udp(&handle, |socket| socket.local_address())?.into())
    }

    fn remote_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.on_udp(&handle, |socket| socket.remote().ok_or(Errno::NOTCONN))?.into())
    }

    fn address_family(&mut self, handle: Handle) -> wasmtime::Result<IpAddressFamily> {
        Ok(named(self.table.get(&ours::<_, Udp>(&handle))?.socket.lock().family()))
    }

    fn unicast_hop_limit(&mut self, handle: Handle) -> SocketResult<u8> {
        self.on_udp(&handle, UdpSocket::hop_limit)
    }

    fn set_unicast_hop_limit(&mut self, handle: Handle, limit: u8) -> SocketResult<()> {
        self.on_udp(&handle, |socket| socket.set(Change::HopLimit(limit)))
    }

    fn receive_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.on_udp(&handle, UdpSocket::receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, handle: Handle, size: u64) -> SocketResult<()> {
        self.on_udp(&handle, |socket| socket.set(Change::ReceiveBuffer(size)))
    }

    fn send_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.on_udp(&handle, UdpSocket::send_buffer)
    }

    fn set_send_buffer_size(&mut self, handle: Handle, size: u64) -> SocketResult<()> {
        self.on_udp(&handle, |socket| socket.set(Change::SendBuffer(size)))
    }

    fn subscribe(&mut self, handle: Handle) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours::<_, Udp>(&handle))
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.table.delete(owned::<_, Udp>(&handle))?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Udp {
    async fn ready(&mut self) {}
}

impl udp::HostIncomingDatagramStream for SocketsView<'_> {
    fn receive(
        &mut self,
        handle: Resource<udp::IncomingDatagramStream>,
        most: u64,
    ) -> SocketResult<Vec<udp::IncomingDatagram>> {
        let stream = self.table.get_mut(&ours::<_, Incoming>(&handle))?;
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(MAX_DATAGRAMS);
        let (mut datagrams, mut bytes) = (Vec::new(), 0);
        while datagrams.len() < most && bytes < PIECE_BYTES && stream.poll_next(&mut glance()).is_ready() {
            match stream.next.take() {
                Some(Ok((data, from))) => {
                    bytes += data.len();
                    datagrams.push(udp::IncomingDatagram { data, remote_address: from.into() });
                }
                Some(Err(errno)) if datagrams.is_empty() => return told(self.network, Err(errno)),
                // It is told at the next call.
                Some(Err(errno)) => {
                    stream.next = Some(Err(errno));
                    break;
                }
                None => break,
            }
        }
        match self.network.stop() {
            Some(stop) => Err(SocketError::trap(stop)),
            None => Ok(datagrams),
        }
    }

    fn subscribe(&mut self, handle: Resource<udp::IncomingDatagramStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours::<_, Incoming>(&handle))
    }

    fn drop(&mut self, handle: Resource<udp::IncomingDatagramStream>) -> wasmtime::Result<()> {
        self.table.delete(owned::<_, Incoming>(&handle))?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| self.poll_next(context)).await;
    }
}

impl udp::HostOutgoingDatagramStream for SocketsView<'_> {
    fn check_send(&mut self, handle: Resource<udp::OutgoingDatagramStream>) -> SocketResult<u64> {
        let stream = self.table.get_mut(&ours::<_, Outgoing>(&handle))?;
        // How many the system takes is known when it takes them: `send` says so.
        stream.permit = MAX_DATAGRAMS;
        Ok(MAX_DATAGRAMS as u64)
    }

    fn send(
        &mut self,
        handle: Resource<udp::OutgoingDatagramStream>,
        datagrams: Vec<udp::OutgoingDatagram>,
    ) -> SocketResult<u64> {
        let stream = self.table.get_mut(&ours::<_, Outgoing>(&handle))?;
        if datagrams.len() > stream.permit {
            return Err(SocketError::trap(wasmtime::format_err!("more datagrams than were permitted")));
        }
        stream.permit = 0;
        let mut socket = stream.socket.lock();
        let mut sent = 0;
        for datagram in datagrams {
            match socket.poll_send(&mut glance(), &datagram.data, datagram.remote_address.map(address)) {
                Poll::Ready(Ok(())) => sent += 1,
                Poll::Ready(Err(errno)) if sent == 0 => return told(self.network, Err(errno)),
                // Where some were sent, that is the answer.
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        match self.network.stop() {
            Some(stop) => Err(SocketError::trap(stop)),
            None => Ok(sent),
        }
    }

    fn subscribe(&mut self, handle: Resource<udp::OutgoingDatagramStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours::<_, Outgoing>(&handle))
    }

    async fn drop(&mut self, handle: Resource<udp::OutgoingDatagramStream>) -> wasmtime::Result<()> {
        self.table.delete(owned::<_, Outgoing>(&handle))?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| self.socket.lock().poll_sendable(context)).await;
    }
}
