//! What components have of every WASI level: one state, one table of handles, one view of the files and of the network.

mod files;
mod sockets;
mod streams;

pub(super) use files::{Descriptor, FileReader, FileWriter, FilesView, HasFiles, Opening, Rights, hashed};
pub(super) use sockets::{HasSockets, SocketsView, ours, owned};
pub(super) use streams::failed;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use self::streams::{InputView, OutputView};
use super::extism::Kernel;
use super::http::{Http, Secrets};
use super::network::Network;
use super::stdio::Stream;
use super::store::State;
use super::views_unsafe::Views;
use crate::policy;

/// Longest piece one call or one turn of a stream moves, in bytes, which bounds what the host holds for it.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// Handles one run may hold, and again tasks and streams of WASI 0.3: each costs the host some hundred bytes.
const MAX_HANDLES: usize = 10_000;

/// The state of one run of a component.
pub struct ComponentState {
    /// What every run has.
    pub state: State,
    ctx: WasiCtx,
    network: Arc<Network>,
    http: Http,
    pub(in crate::sandbox) table: ResourceTable,
    /// Whether a plugin's instance is gone, for whoever has something of it.
    pub over: Arc<AtomicBool>,
    /// What functions of the host find again that a call of a plugin makes.
    pub context: Option<Arc<dyn Any + Send + Sync>>,
    /// What a plugin for Extism has.
    pub kernel: Option<Box<Kernel>>,
    /// Where memories of a plugin's core module are shown while it is inside of a function of the host.
    pub(crate) views: Arc<Views>,
}

impl ComponentState {
    /// Wires the granted network, clocks, random numbers, variables and streams.
    pub fn new(state: State, network: Arc<Network>, secrets: Secrets, random: policy::Random) -> Self {
        let mut ctx = WasiCtx::builder();
        ctx.stdin(InputView(state.input.clone()))
            .stdout(OutputView(state.output.clone(), Stream::Stdout))
            .stderr(OutputView(state.output.clone(), Stream::Stderr))
            .wall_clock(state.clock)
            .monotonic_clock(state.clock)
            .max_random_size(state.host_bytes);
        if let policy::Random::Seed(seed) = random {
            ctx.secure_random(ChaCha12Rng::seed_from_u64(seed))
                .insecure_random(ChaCha12Rng::seed_from_u64(seed.wrapping_add(1)))
                .insecure_random_seed(u128::from(seed));
        }
        for arg in &state.args {
            ctx.arg(without_nul(arg));
        }
        for variable in state.env.iter() {
            let text = without_nul(variable);
            let (name, value) = text.split_once('=').unwrap_or((&text, ""));
            ctx.env(name, value);
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let http = Http::new(network.clone(), secrets, state.host_bytes);
        Self {
            state,
            ctx: ctx.build(),
            network,
            http,
            table,
            over: Arc::default(),
            context: None,
            kernel: None,
            views: Arc::default(),
        }
    }

    pub(super) fn requests(&self) -> &Http {
        &self.http
    }

    pub(super) fn files(&mut self) -> FilesView<'_> {
        FilesView { state: &mut self.state, table: &mut self.table }
    }

    pub(super) fn sockets(&mut self) -> SocketsView<'_> {
        SocketsView { network: &self.network, table: &mut self.table }
    }
}

/// Bounds the tasks and streams that the engine keeps for a component of WASI 0.3.
pub fn bound_tasks(store: &mut Store<ComponentState>) {
    if let Some(tasks) = store.concurrent_resource_table() {
        tasks.set_max_capacity(MAX_HANDLES);
    }
}

/// One turn of a stream, or a wait when it has had many: the host pumps one of its streams into another without
/// ever coming back to the supervisor, a file into its own end for example.
pub(super) fn turn(context: &mut Context<'_>) -> Poll<()> {
    tokio::task::coop::poll_proceed(context).map(|turn| turn.made_progress())
}

impl AsRef<State> for ComponentState {
    fn as_ref(&self) -> &State {
        &self.state
    }
}

impl AsMut<State> for ComponentState {
    fn as_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

fn without_nul(text: &[u8]) -> String {
    String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(text)).into_owned()
}

impl WasiView for ComponentState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

impl WasiHttpView for ComponentState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http.view(&mut self.table)
    }
}
