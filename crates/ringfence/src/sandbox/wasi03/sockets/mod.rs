//! `wasi:sockets` 0.3 on the network of a run.

mod streams;
mod tcp;
mod udp;

use rustix::io::Errno;
use wasmtime::component::{Accessor, Linker};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::{self, ErrorCode as LookupError};
use wasmtime_wasi::p3::bindings::sockets::types::{self, ErrorCode, IpAddress, IpAddressFamily};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};

use crate::sandbox::components::{ComponentState, HasSockets, SocketsView};
use crate::sandbox::network::{Family, Network, Unresolved};

/// Adds `wasi:sockets`. It is there without a grant too, and refuses.
pub(super) fn add_to_linker(linker: &mut Linker<ComponentState>) -> wasmtime::Result<()> {
    type T = ComponentState;
    ip_name_lookup::add_to_linker::<T, HasSockets>(linker, T::sockets)?;
    types::add_to_linker::<T, HasSockets>(linker, T::sockets)?;
    Ok(())
}

/// What the guest is told, unless the run ends here.
fn told<T>(network: &Network, done: Result<T, Errno>) -> SocketResult<T> {
    match network.stop() {
        Some(stop) => Err(SocketError::trap(stop)),
        None => done.map_err(|errno| ErrorCode::from(errno).into()),
    }
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

impl types::Host for SocketsView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}

impl ip_name_lookup::Host for SocketsView<'_> {}

impl<U> ip_name_lookup::HostWithStore<U> for HasSockets {
    async fn resolve_addresses(
        store: &Accessor<U, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<IpAddress>, LookupError>> {
        let network = store.with(|mut store| store.get().network.clone());
        let found = network.resolve(&name).await;
        if let Some(stop) = network.stop() {
            return Err(stop.into());
        }
        Ok(match found {
            Ok(addresses) => Ok(addresses.into_iter().map(IpAddress::from).collect()),
            Err(Unresolved::Invalid) => Err(LookupError::InvalidArgument),
            Err(Unresolved::Denied) => Err(LookupError::AccessDenied),
            Err(Unresolved::NotFound) => Err(LookupError::NameUnresolvable),
            Err(Unresolved::Failed) => Err(LookupError::TemporaryResolverFailure),
        })
    }
}
