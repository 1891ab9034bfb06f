//! `wasi:sockets` 0.2 on the network of a run.

mod streams;
mod tcp;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rustix::io::Errno;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{self, instance_network, ip_name_lookup};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, SocketResult, subscribe};

use crate::sandbox::components::{ComponentState, HasSockets, SocketsView, ours, owned};
use crate::sandbox::network::{Family, Network, Unresolved};

/// Adds `wasi:sockets`. It is there without a grant too, and refuses.
pub(super) fn add_to_linker(linker: &mut Linker<ComponentState>) -> wasmtime::Result<()> {
    type T = ComponentState;
    let options = network::LinkOptions::default();
    network::add_to_linker::<T, HasSockets>(linker, &options, T::sockets)?;
    instance_network::add_to_linker::<T, HasSockets>(linker, T::sockets)?;
    ip_name_lookup::add_to_linker::<T, HasSockets>(linker, T::sockets)?;
    sockets::tcp::add_to_linker::<T, HasSockets>(linker, T::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<T, HasSockets>(linker, T::sockets)?;
    sockets::udp::add_to_linker::<T, HasSockets>(linker, T::sockets)?;
    sockets::udp_create_socket::add_to_linker::<T, HasSockets>(linker, T::sockets)?;
    Ok(())
}

/// What a guest hands over as the right to use the network. It is none: each act is checked.
struct Capability;

/// What the guest is told, unless the run ends here.
fn failed(network: &Network, errno: Errno) -> SocketError {
    match network.stop() {
        Some(stop) => SocketError::trap(stop),
        None => ErrorCode::from(errno).into(),
    }
}

fn told<T>(network: &Network, done: Result<T, Errno>) -> SocketResult<T> {
    done.map_err(|errno| failed(network, errno))
}

fn family(family: IpAddressFamily) -> Family {
    match family {
        IpAddressFamily::Ipv4 => Family::V4,
        IpAddressFamily::Ipv6 => Family::V6,
    }
}

fn named(family: Family) -> IpAddressFamily {
    match family {
        Family::V4 => IpAddressFamily::Ipv4,
        Family::V6 => IpAddressFamily::Ipv6,
    }
}

/// A look at something that may have to wait, by someone who does not.
fn glance() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl SocketsView<'_> {
    fn capability(&self, handle: &Resource<network::Network>) -> SocketResult<()> {
        self.table.get(&ours::<_, Capability>(handle))?;
        Ok(())
    }
}

impl network::Host for SocketsView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?.downcast_ref::<std::io::Error>();
        Ok(error.map(ErrorCode::from))
    }
}

impl network::HostNetwork for SocketsView<'_> {
    fn drop(&mut self, handle: Resource<network::Network>) -> wasmtime::Result<()> {
        self.table.delete(owned::<_, Capability>(&handle))?;
        Ok(())
    }
}

impl instance_network::Host for SocketsView<'_> {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<network::Network>> {
        Ok(Resource::new_own(self.table.push(Capability)?.rep()))
    }
}

/// A name that is being looked up, or was.
enum Lookup {
    Asking(Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Unresolved>> + Send>>),
    Found(std::vec::IntoIter<IpAddr>),
    Failed(Unresolved),
}

impl Lookup {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Asking(asking) = self {
            *self = match std::task::ready!(asking.as_mut().poll(context)) {
                Ok(found) => Self::Found(found.into_iter()),
                Err(why) => Self::Failed(why),
            };
        }
        Poll::Ready(())
    }
}

#[async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| self.poll(context)).await;
    }
}

fn unresolved(network: &Network, why: Unresolved) -> SocketError {
    match network.stop() {
        Some(stop) => SocketError::trap(stop),
        None => match why {
            Unresolved::Invalid => ErrorCode::InvalidArgument,
            Unresolved::Denied => ErrorCode::AccessDenied,
            Unresolved::NotFound => ErrorCode::NameUnresolvable,
            Unresolved::Failed => ErrorCode::TemporaryResolverFailure,
        }
        .into(),
    }
}

impl ip_name_lookup::Host for SocketsView<'_> {
    fn resolve_addresses(
        &mut self,
        handle: Resource<network::Network>,
        name: String,
    ) -> SocketResult<Resource<ip_name_lookup::ResolveAddressStream>> {
        self.capability(&handle)?;
        let network = self.network.clone();
        let mut lookup = Lookup::Asking(Box::pin(async move { network.resolve(&name).await }));
        // What needs no question is told at once.
        if lookup.poll(&mut glance()).is_ready()
            && let Lookup::Failed(why) = lookup
        {
            return Err(unresolved(self.network, why));
        }
        Ok(Resource::new_own(self.table.push(lookup)?.rep()))
    }
}

impl ip_name_lookup::HostResolveAddressStream for SocketsView<'_> {
    fn resolve_next_address(
        &mut self,
        handle: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let lookup = self.table.get_mut(&ours::<_, Lookup>(&handle))?;
        if lookup.poll(&mut glance()).is_pending() {
            return Err(ErrorCode::WouldBlock.into());
        }
        match lookup {
            Lookup::Found(addresses) => Ok(addresses.next().map(IpAddress::from)),
            Lookup::Failed(why) => Err(unresolved(self.network, *why)),
            Lookup::Asking(_) => Err(ErrorCode::WouldBlock.into()),
        }
    }

    fn subscribe(
        &mut self,
        handle: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours::<_, Lookup>(&handle))
    }

    fn drop(&mut self, handle: Resource<ip_name_lookup::ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(owned::<_, Lookup>(&handle))?;
        Ok(())
    }
}

fn address(address: network::IpSocketAddress) -> SocketAddr {
    SocketAddr::from(address)
}
