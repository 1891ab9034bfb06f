//! TCP sockets of WASI 0.2: each act has a start and a finish, and the guest polls in between.

use std::task::Poll;

use rustix::io::Errno;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::{self, Duration, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, Pollable, SocketResult, subscribe};

use super::streams::{Reader, Writer};
use super::{address, family, glance, named, told};
use crate::sandbox::components::{SocketsView, ours, owned};
use crate::sandbox::network::{Change, Outbox, TcpSocket};

/// A socket as the table holds it.
struct Tcp {
    socket: TcpSocket,
    step: Option<Step>,
    streams: Option<(Reader, Writer)>,
}

/// What was started and not finished.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Bind,
    Connect,
}

type Handle = Resource<tcp::TcpSocket>;

impl Tcp {
    fn start(&mut self, step: Step) -> SocketResult<&mut TcpSocket> {
        if self.step.is_some() {
            return Err(ErrorCode::ConcurrencyConflict.into());
        }
        self.step = Some(step);
        Ok(&mut self.socket)
    }

    fn finish(&mut self, step: Step) -> SocketResult<()> {
        if self.step != Some(step) {
            return Err(ErrorCode::NotInProgress.into());
        }
        self.step = None;
        Ok(())
    }
}

impl SocketsView<'_> {
    fn tcp(&mut self, handle: &Handle) -> wasmtime::Result<&mut Tcp> {
        Ok(self.table.get_mut(&ours::<_, Tcp>(handle))?)
    }

    /// One act on a socket.
    fn on_tcp<T>(&mut self, handle: &Handle, act: impl FnOnce(&mut TcpSocket) -> Result<T, Errno>) -> SocketResult<T> {
        let network = self.network.clone();
        let socket = self.table.get_mut(&ours::<_, Tcp>(handle))?;
        told(&network, act(&mut socket.socket))
    }
}

impl tcp_create_socket::Host for SocketsView<'_> {
    fn create_tcp_socket(&mut self, of: IpAddressFamily) -> SocketResult<Handle> {
        let socket = TcpSocket::new(self.network.clone(), family(of));
        Ok(Resource::new_own(self.table.push(Tcp { socket, step: None, streams: None })?.rep()))
    }
}

impl tcp::Host for SocketsView<'_> {}

impl tcp::HostTcpSocket for SocketsView<'_> {
    async fn start_bind(
        &mut self,
        handle: Handle,
        network: Resource<network::Network>,
        local: IpSocketAddress,
    ) -> SocketResult<()> {
        self.capability(&network)?;
        let network = self.network.clone();
        let tcp = self.tcp(&handle).map_err(wasmtime_wasi::p2::SocketError::trap)?;
        let bound = tcp.start(Step::Bind)?.bind(address(local));
        if bound.is_err() {
            tcp.step = None;
        }
        told(&network, bound)
    }

    fn finish_bind(&mut self, handle: Handle) -> SocketResult<()> {
        self.tcp(&handle).map_err(wasmtime_wasi::p2::SocketError::trap)?.finish(Step::Bind)
    }

    fn start_connect(
        &mut self,
        handle: Handle,
        network: Resource<network::Network>,
        remote: IpSocketAddress,
    ) -> SocketResult<()> {
        self.capability(&network)?;
        let network = self.network.clone();
        let tcp = self.tcp(&handle).map_err(wasmtime_wasi::p2::SocketError::trap)?;
        let started = tcp.start(Step::Connect)?.start_connect(address(remote));
        if started.is_err() {
            tcp.step = None;
        }
        told(&network, started)
    }

    fn finish_connect(
        &mut self,
        handle: Handle,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let network = self.network.clone();
        let tcp = self.tcp(&handle).map_err(wasmtime_wasi::p2::SocketError::trap)?;
        if tcp.step != Some(Step::Connect) {
            return Err(ErrorCode::NotInProgress.into());
        }
        let Poll::Ready(connected) = tcp.socket.poll_connected(&mut glance()) else {
            return Err(ErrorCode::WouldBlock.into());
        };
        tcp.finish(Step::Connect)?;
        told(&network, connected)?;
        let receiver = told(&network, tcp.socket.receiver())?;
        let sender = told(&network, tcp.socket.sender())?;
        let reader = Reader::new(network.clone(), receiver);
        let writer = Writer::new(network.clone(), Outbox::new(sender));
        tcp.streams = Some((reader.clone(), writer.clone()));
        let socket = ours::<_, Tcp>(&handle);
        let input: DynInputStream = Box::new(reader);
        let output: DynOutputStream = Box::new(writer);
        Ok((self.table.push_child(input, &socket)?, self.table.push_child(output, &socket)?))
    }

    async fn start_listen(&mut self, handle: Handle) -> SocketResult<()> {
        let tcp = self.tcp(&handle).map_err(wasmtime_wasi::p2::SocketError::trap)?;
        if tcp.step.is_some() {
            return Err(ErrorCode::ConcurrencyConflict.into());
        }
        self.on_tcp(&handle, |socket| if socket.is_bound() { Err(socket.listen()) } else { Err(Errno::NOTCONN) })
    }

    fn finish_listen(&mut self, _: Handle) -> SocketResult<()> {
        Err(ErrorCode::NotInProgress.into())
    }

    fn accept(&mut self, _: Handle) -> SocketResult<(Handle, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        Err(ErrorCode::InvalidState.into())
    }

    fn local_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.on_tcp(&handle, |socket| socket.local_address())?.into())
    }

    fn remote_address(&mut self, handle: Handle) -> SocketResult<IpSocketAddress> {
        Ok(self.on_tcp(&handle, |socket| socket.remote_address())?.into())
    }

    fn is_listening(&mut self, _: Handle) -> wasmtime::Result<bool> {
        Ok(false)
    }

    fn address_family(&mut self, handle: Handle) -> wasmtime::Result<IpAddressFamily> {
        Ok(named(self.tcp(&handle)?.socket.family()))
    }

    fn set_listen_backlog_size(&mut self, handle: Handle, size: u64) -> SocketResult<()> {
        self.on_tcp(&handle, |socket| socket.set_backlog(size))
    }

    fn keep_alive_enabled(&mut self, handle: Handle) -> SocketResult<bool> {
        self.on_tcp(&handle, TcpSocket::keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, handle: Handle, on: bool) -> SocketResult<()> {
        self.on_tcp(&handle, |socket| socket.set(Change::KeepAlive(on)))
    }

    fn keep_alive_idle_time(&mut self, handle: Handle) -> SocketResult<Duration> {
        self.on_tcp(&handle, TcpSocket::keep_alive_idle)
    }

    fn set_keep_alive_idle_time(&mut self, handle: Handle, time: Duration) -> SocketResult<()> {
        self.on_tcp(&handle, |socket| socket.set(Change::KeepAliveIdle(time)))
    }

    fn keep_alive_interval(&mut self, handle: Handle) -> SocketResult<Duration> {
        self.on_tcp(&handle, TcpSocket::keep_alive_interval)
    }

    fn set_keep_alive_interval(&mut self, handle: Handle, time: Duration) -> SocketResult<()> {
        self.on_tcp(&handle, |socket| socket.set(Change::KeepAliveInterval(time)))
    }

    fn keep_alive_count(&mut self, handle: Handle) -> SocketResult<u32> {
        self.on_tcp(&handle, TcpSocket::keep_alive_count)
    }

    fn set_keep_alive_count(&mut self, handle: Handle, count: u32) -> SocketResult<()> {
        self.on_tcp(&handle, |socket| socket.set(Change::KeepAliveCount(count)))
    }

    fn hop_limit(&mut self, handle: Handle) -> SocketResult<u8> {
        self.on_tcp(&handle, TcpSocket::hop_limit)
    }

    fn set_hop_limit(&mut self, handle: Handle, limit: u8) -> SocketResult<()> {
        self.on_tcp(&handle, |socket| socket.set(Change::HopLimit(limit)))
    }

    fn receive_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.on_tcp(&handle, TcpSocket::receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, handle: Handle, size: u64) -> SocketResult<()> {
        self.on_tcp(&handle, |socket| socket.set(Change::ReceiveBuffer(size)))
    }

    fn send_buffer_size(&mut self, handle: Handle) -> SocketResult<u64> {
        self.on_tcp(&handle, TcpSocket::send_buffer)
    }

    fn set_send_buffer_size(&mut self, handle: Handle, size: u64) -> SocketResult<()> {
        self.on_tcp(&handle, |socket| socket.set(Change::SendBuffer(size)))
    }

    fn subscribe(&mut self, handle: Handle) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours::<_, Tcp>(&handle))
    }

    fn shutdown(&mut self, handle: Handle, side: ShutdownType) -> SocketResult<()> {
        let tcp = self.tcp(&handle).map_err(wasmtime_wasi::p2::SocketError::trap)?;
        let Some((reader, writer)) = &tcp.streams else { return Err(ErrorCode::InvalidState.into()) };
        if matches!(side, ShutdownType::Receive | ShutdownType::Both) {
            reader.shut_down();
        }
        if matches!(side, ShutdownType::Send | ShutdownType::Both) {
            writer.shut_down();
        }
        Ok(())
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.table.delete(owned::<_, Tcp>(&handle))?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Tcp {
    async fn ready(&mut self) {
        if self.step == Some(Step::Connect) {
            // How it ended is told by `finish-connect`.
            let _ = std::future::poll_fn(|context| self.socket.poll_connected(context)).await;
        }
    }
}
