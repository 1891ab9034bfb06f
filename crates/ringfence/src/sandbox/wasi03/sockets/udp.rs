//! UDP sockets of WASI 0.3.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use rustix::io::Errno;
use wasmtime::component::{Accessor, Resource};
use wasmtime_wasi::p3::bindings::sockets::types::{
    HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress, UdpSocket as Named,
};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};

use super::{family, named, told};
use crate::sandbox::components::{HasSockets, SocketsView, ours, owned};
use crate::sandbox::network::{Change, UdpSocket};

type Handle = Resource<Named>;

impl SocketsView<'_> {
    fn udp03(&mut self, handle: &Handle) -> wasmtime::Result<&mut UdpSocket> {
        Ok(self.table.get_mut(&ours::<_, UdpSocket>(handle))?)
    }

    /// One act on a socket.
    fn on_udp03<T>(
        &mut self,
        handle: &Handle,
        act: impl FnOnce(&mut UdpSocket) -> Result<T, Errno>,
    ) -> SocketResult<T> {
        let network = self.network.clone();
        let done = act(self.udp03(handle).map_err(SocketError::trap)?);
        told(&network, done)
    }

    fn poll_udp03<T>(
        &mut self,
        handle: &Handle,
        context: &mut Context<'_>,
        act: impl FnOnce(&mut UdpSocket, &mut Context<'_>) -> Poll<Result<T, Errno>>,
    ) -> Poll<SocketResult<T>> {
        let network = self.network.clone();
        match self.udp03(handle) {
            Ok(socket) => act(socket, context).map(|done| told(&network, done)),
            Err(error) => Poll::Ready(Err(SocketError::trap(error))),
        }
    }
}

impl<U> HostUdpSocketWithStore<U> for HasSockets {
    async fn send(
        store: &Accessor<U, Self>,
        handle: Handle,
        data: Vec<u8>,
        to: Option<IpSocketAddress>,
    ) -> SocketResult<()> {
        let to = to.map(SocketAddr::from);
        std::future::poll_fn(|context| {
            store.with(|mut store| {
                store.get().poll_udp03(&handle, context, |socket, context| socket.poll_send(context, &data, to))
            })
        })
        .await
    }

    async fn receive(store: &Accessor<U, Self>, handle: Handle) -> SocketResult<(Vec<u8>, IpSocketAddress)> {
        let (data, from) = std::future::poll_fn(|context| {
            store.with(|mut store| store.get().poll_udp03(&handle, context, UdpSocket::poll_receive))
        })
        .await?;
        Ok((data, from.into()))
    }
}

impl HostUdpSocket for SocketsView<'_> {
    async fn create(&mut self, of: IpAddressFamily) -> SocketResult<Handle> {
        let socket = UdpSocket::new(self.network.clone(), family(of));
        Ok(Resource::new_own(self.table.push(socket).map_err(SocketError::trap)?.rep()))
    }

    async fn bind(&mut self, handle: Handle, local: IpSocketAddress) -> SocketResult<()> {
        self.on_udp03(&handle, |socket| socket.bind(local.into()))
    }

    async fn connect(&mut self, handle: Handle, remote: IpSocketAddress) -> SocketResult<()> {
        self.on_udp03(&handle, |socket| socket.connect(remote.into()))
    }

    fn disconnect(&mut self, handle: Handle) -> SocketResult<()> {
        self.on_udp03(&handle, UdpSocket::disconnect)
    }

    fn get_local_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.on_udp03(&handle, |socket| socket.local_address())?.into())
    }

    fn get_remote_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.on_udp03(&handle, |socket| socket.remote().ok_or(Errno::NOTCONN))?.into())
    }

    fn get_address_family(&mut self, handle: Handle) -> wasmtime::Result<IpAddressFamily> {
        Ok(named(self.udp03(&handle)?.family()))
    }

    fn get_unicast_hop_limit(&mut self, handle: Handle) -> SocketResult<u8> {
        self.on_udp03(&handle, UdpSocket::hop_limit)
    }

    fn set_unicast_hop_limit(&mut self, handle: Handle, limit: u8) -> SocketResult<()> {
        self.on_udp03(&handle, |socket| socket.set(Change::HopLimit(limit)))
    }

    fn get_receive_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.on_udp03(&handle, UdpSocket::receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, handle: Handle, size: u64) -> SocketResult<()> {
        self.on_udp03(&handle, |socket| socket.set(Change::ReceiveBuffer(size)))
    }

    fn get_send_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.on_udp03(&handle, UdpSocket::send_buffer)
    }

    fn set_send_buffer_size(&mut self, handle: Handle, size: u64) -> SocketResult<()> {
        self.on_udp03(&handle, |socket| socket.set(Change::SendBuffer(size)))
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.table.delete(owned::<_, UdpSocket>(&handle))?;
        Ok(())
    }
}
