//! WASI 0.2 and 0.3 for components: our own files and streams, the engine's plumbing for the rest.

mod files;
mod streams;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sockets, sync};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use self::files::{FilesView, HasFiles};
use self::streams::{InputView, OutputView};
use super::stdio::Stream;
use super::store::State;
use crate::policy;

/// Handles one run may hold: each costs the host some hundred bytes.
const MAX_HANDLES: usize = 10_000;

/// The state of one run of a component.
pub struct ComponentState {
    /// What every run has.
    pub state: State,
    ctx: WasiCtx,
    table: ResourceTable,
}

impl ComponentState {
    /// Wires the granted clocks, random numbers, variables and streams.
    pub fn new(state: State, random: policy::Random) -> Self {
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
        Self { state, ctx: ctx.build(), table }
    }

    fn files(&mut self) -> FilesView<'_> {
        FilesView { state: &mut self.state, table: &mut self.table }
    }
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

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// Adds WASI 0.2: everything there is but HTTP. Sockets are there and refuse, as nothing of the network is granted.
pub fn add_to_linker(linker: &mut Linker<ComponentState>) -> wasmtime::Result<()> {
    type T = ComponentState;
    use wasmtime_wasi_io::bindings::wasi::io;

    let table: fn(&mut T) -> &mut ResourceTable = |state| &mut state.table;
    io::error::add_to_linker::<T, HasTable>(linker, table)?;
    io::poll::add_to_linker::<T, HasTable>(linker, table)?;
    io::streams::add_to_linker::<T, HasTable>(linker, table)?;

    sync::filesystem::types::add_to_linker::<T, HasFiles>(linker, T::files)?;
    filesystem::preopens::add_to_linker::<T, HasFiles>(linker, T::files)?;

    clocks::wall_clock::add_to_linker::<T, WasiClocks>(linker, T::clocks)?;
    clocks::monotonic_clock::add_to_linker::<T, WasiClocks>(linker, T::clocks)?;
    random::random::add_to_linker::<T, WasiRandom>(linker, T::random)?;
    random::insecure::add_to_linker::<T, WasiRandom>(linker, T::random)?;
    random::insecure_seed::add_to_linker::<T, WasiRandom>(linker, T::random)?;
    cli::exit::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::environment::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::stdin::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::stdout::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::stderr::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(linker, T::cli)?;

    let refused = sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<T, WasiSockets>(linker, &refused, T::sockets)?;
    sockets::instance_network::add_to_linker::<T, WasiSockets>(linker, T::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<T, WasiSockets>(linker, T::sockets)?;
    sockets::tcp::add_to_linker::<T, WasiSockets>(linker, T::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<T, WasiSockets>(linker, T::sockets)?;
    sockets::udp::add_to_linker::<T, WasiSockets>(linker, T::sockets)?;
    sockets::udp_create_socket::add_to_linker::<T, WasiSockets>(linker, T::sockets)?;
    Ok(())
}

/// Adds WASI 0.3, for policies that opt in. It brings no files: its file system is not ours yet.
pub fn add_experimental_to_linker(linker: &mut Linker<ComponentState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p3::add_to_linker(linker)
}
