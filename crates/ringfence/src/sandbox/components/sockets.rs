//! The network of a run behind the handles of components: what every level's `wasi:sockets` asks for.

use std::sync::Arc;

use wasmtime::component::{HasData, Resource, ResourceTable};

use crate::sandbox::network::Network;

pub(crate) struct HasSockets;

impl HasData for HasSockets {
    type Data<'a> = SocketsView<'a>;
}

/// The network of a run and the table its sockets live in.
pub(crate) struct SocketsView<'a> {
    pub(crate) network: &'a Arc<Network>,
    pub(crate) table: &'a mut ResourceTable,
}

/// A handle as the bindings name it, with the engine's own type, as one of ours: that is what the table holds.
pub(crate) fn ours<Named: 'static, Ours: 'static>(handle: &Resource<Named>) -> Resource<Ours> {
    Resource::new_borrow(handle.rep())
}

/// The same for a handle that is given up.
pub(crate) fn owned<Named: 'static, Ours: 'static>(handle: &Resource<Named>) -> Resource<Ours> {
    Resource::new_own(handle.rep())
}
