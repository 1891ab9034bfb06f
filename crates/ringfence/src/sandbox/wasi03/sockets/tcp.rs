//! TCP sockets of WASI 0.3.

use std::iter;
use std::net::SocketAddr;

use rustix::io::Errno;
use wasmtime::component::{Access, Accessor, FutureReader, Resource, StreamReader};
use wasmtime_wasi::p3::bindings::sockets::types::{
    Duration, HostTcpSocket, HostTcpSocketWithStore, IpAddressFamily, IpSocketAddress, TcpSocket as Named,
};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};

use super::streams::{Incoming, Outgoing, Told, verdict};
use super::{family, named, told};
use crate::sandbox::components::{HasSockets, SocketsView, ours, owned};
use crate::sandbox::network::{Change, TcpSocket};

type Handle = Resource<Named>;

impl SocketsView<'_> {
    fn tcp03(&mut self, handle: &Handle) -> wasmtime::Result<&mut TcpSocket> {
        Ok(self.table.get_mut(&ours::<_, TcpSocket>(handle))?)
    }

    /// One act on a socket.
    fn on_tcp03<T>(
        &mut self,
        handle: &Handle,
        act: impl FnOnce(&mut TcpSocket) -> Result<T, Errno>,
    ) -> SocketResult<T> {
        let network = self.network.clone();
        let done = act(self.tcp03(handle).map_err(SocketError::trap)?);
        told(&network, done)
    }
}

impl<U: Send> HostTcpSocketWithStore<U> for HasSockets {
    async fn connect(store: &Accessor<U, Self>, handle: Handle, remote: IpSocketAddress) -> SocketResult<()> {
        let remote = SocketAddr::from(remote);
        store.with(|mut store| store.get().on_tcp03(&handle, |socket| socket.start_connect(remote)))?;
        std::future::poll_fn(|context| {
            store.with(|mut store| {
                let mut view = store.get();
                let network = view.network.clone();
                match view.tcp03(&handle) {
                    Ok(socket) => socket.poll_connected(context).map(|done| told(&network, done)),
                    Err(error) => std::task::Poll::Ready(Err(SocketError::trap(error))),
                }
            })
        })
        .await
    }

    async fn listen(mut store: Access<'_, U, Self>, handle: Handle) -> SocketResult<StreamReader<Handle>> {
        store.get().on_tcp03(&handle, |socket| Err(socket.listen()))
    }

    fn send(
        mut store: Access<'_, U, Self>,
        handle: Handle,
        mut data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Told>> {
        let mut view = store.get();
        let network = view.network.clone();
        let (mut verdict, future) = verdict();
        match view.tcp03(&handle)?.sender() {
            Ok(side) => data.pipe(&mut store, Outgoing { network, side: Some(side), verdict })?,
            Err(errno) => {
                verdict.tell(Some(errno));
                data.close(&mut store)?;
            }
        }
        FutureReader::new(&mut store, future)
    }

    fn receive(
        mut store: Access<'_, U, Self>,
        handle: Handle,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Told>)> {
        let mut view = store.get();
        let network = view.network.clone();
        let (mut verdict, future) = verdict();
        let stream = match view.tcp03(&handle)?.receiver() {
            Ok(side) => StreamReader::new(&mut store, Incoming { network, side: Some(side), verdict })?,
            Err(errno) => {
                verdict.tell(Some(errno));
                StreamReader::new(&mut store, iter::empty())?
            }
        };
        Ok((stream, FutureReader::new(&mut store, future)?))
    }
}

impl HostTcpSocket for SocketsView<'_> {
    fn create(&mut self, of: IpAddressFamily) -> SocketResult<Handle> {
        let socket = TcpSocket::new(self.network.clone(), family(of));
        Ok(Resource::new_own(self.table.push(socket).map_err(SocketError::trap)?.rep()))
    }

    async fn bind(&mut self, handle: Handle, local: IpSocketAddress) -> SocketResult<()> {
        self.on_tcp03(&handle, |socket| socket.bind(local.into()))
    }

    fn get_local_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.on_tcp03(&handle, |socket| socket.local_address())?.into())
    }

    fn get_remote_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.on_tcp03(&handle, |socket| socket.remote_address())?.into())
    }

    fn get_is_listening(&mut self, _: Handle) -> wasmtime::Result<bool> {
        Ok(false)
    }

    fn get_address_family(&mut self, handle: Handle) -> wasmtime::Result<IpAddressFamily> {
        Ok(named(self.tcp03(&handle)?.family()))
    }

    fn set_listen_backlog_size(&mut self, handle: Handle, size: u64) -> SocketResult<()> {
        self.on_tcp03(&handle, |socket| socket.set_backlog(size))
    }

    fn get_keep_alive_enabled(&mut self, handle: Handle) -> SocketResult<bool> {
        self.on_tcp03(&handle, TcpSocket::keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, handle: Handle, on: bool) -> SocketResult<()> {
        self.on_tcp03(&handle, |socket| socket.set(Change::KeepAlive(on)))
    }

    fn get_keep_alive_idle_time(&mut self, handle: Handle) -> SocketResult<Duration> {
        self.on_tcp03(&handle, TcpSocket::keep_alive_idle)
    }

    fn set_keep_alive_idle_time(&mut self, handle: Handle, time: Duration) -> SocketResult<()> {
        self.on_tcp03(&handle, |socket| socket.set(Change::KeepAliveIdle(time)))
    }

    fn get_keep_alive_interval(&mut self, handle: Handle) -> SocketResult<Duration> {
        self.on_tcp03(&handle, TcpSocket::keep_alive_interval)
    }

    fn set_keep_alive_interval(&mut self, handle: Handle, time: Duration) -> SocketResult<()> {
        self.on_tcp03(&handle, |socket| socket.set(Change::KeepAliveInterval(time)))
    }

    fn get_keep_alive_count(&mut self, handle: Handle) -> SocketResult<u32> {
        self.on_tcp03(&handle, TcpSocket::keep_alive_count)
    }

    fn set_keep_alive_count(&mut self, handle: Handle, count: u32) -> SocketResult<()> {
        self.on_tcp03(&handle, |socket| socket.set(Change::KeepAliveCount(count)))
    }

    fn get_hop_limit(&mut self, handle: Handle) -> SocketResult<u8> {
        self.on_tcp03(&handle, TcpSocket::hop_limit)
    }

    fn set_hop_limit(&mut self, handle: Handle, limit: u8) -> SocketResult<()> {
        self.on_tcp03(&handle, |socket| socket.set(Change::HopLimit(limit)))
    }

    fn get_receive_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.on_tcp03(&handle, TcpSocket::receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, handle: Handle, size: u64) -> SocketResult<()> {
        self.on_tcp03(&handle, |socket| socket.set(Change::ReceiveBuffer(size)))
    }

    fn get_send_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.on_tcp03(&handle, TcpSocket::send_buffer)
    }

    fn set_send_buffer_size(&mut self, handle: Handle, size: u64) -> SocketResult<()> {
        self.on_tcp03(&handle, |socket| socket.set(Change::SendBuffer(size)))
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.table.delete(owned::<_, TcpSocket>(&handle))?;
        Ok(())
    }
}
