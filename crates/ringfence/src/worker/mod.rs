//! Workers: guests in child processes, behind a second wall.
//!
//! `Sandbox::isolated → client → pool → process ⇄ child → Sandbox::run`. The child runs the same code as this process
//! does, so that a run has the same result in either; what is between them is one Unix socket.
//!
//! # The protocol
//!
//! A frame is a header of 24 bytes, then `metadata`, then `tail`; numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | length of the metadata |
//! | 4..8 | descriptors that come with the frame (`SCM_RIGHTS` on its first byte); only a parent sends any |
//! | 8..16 | request: the number that a parent gave to what it asks; an answer repeats it |
//! | 16..24 | length of the tail |
//!
//! The metadata is JSON of one value of `protocol::Request` or `protocol::Answer`; the tail is bytes as they are: a
//! guest's input, or its output. A parent asks one thing at a time and a child answers each once; `cancel` and
//! `interrupt` alone are sent without waiting, with the number of the run or turn they mean, and have no answer. A child asks its parent for one thing
//! only: while it runs something, a `call` of a function, with the number of the run; one at a time, and it waits.
//!
//! | asked | answered |
//! |---|---|
//! | (started) | `ready` |
//! | `bind`: the policy, its grants as open descriptors | `bound`, once the wall is up |
//! | `load`: compiled code as a descriptor | `loaded` |
//! | `run` | `ended`, after any number of `call`s, each of which is answered by `returned` |
//! | `open`: a session of what was loaded | `opened` |
//! | `eval`: a turn of it | `turned`, after any number of `ask`s, each of which is answered by `answered` |
//! | `plug` and `invoke`: an instance of a plugin, and a call of it | see `plugins` |
//! | any of them | `failed`, with the three parts of an error |
//!
//! A run that has private layers is handed an empty directory, where it leaves what it changed before it says `ended`
//! (`sandbox/files/layer/told.rs`).
//!
//! Each side takes the other for hostile. Every length is checked against a bound before anything is kept for it,
//! unknown kinds and keys are refused, and a parent escapes and cuts every text once more. A child that breaks the
//! protocol is killed, and its run is `crashed`.

mod ask;
mod begun;
mod binding;
mod carried;
mod child;
mod client;
mod descriptor_unsafe;
mod frame;
mod functions;
#[doc(hidden)]
pub mod heard;
mod isolated;
mod parcel;
mod place;
mod plugins;
mod pool;
mod process;
mod protocol;
mod proxy;
mod remote;
mod served;
mod turns;
pub mod wall;

#[doc(hidden)]
pub use crate::link::plant;
pub use child::serve;
pub use pool::close;
pub use process::set_worker;

pub(crate) use carried::{Carried, Taken};
pub(crate) use client::Client;
pub(crate) use plugins::{Given, Place, Plugged, Touching, Untouched};
pub(crate) use remote::Remote;

use crate::error::{Error, Result};
use crate::text;

/// How guests are kept apart from this process. Each adds to the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// In this process: WebAssembly alone holds the guest.
    #[default]
    Wasm,
    /// In a child process without a wall: it may fall without taking this one along.
    Process,
    /// In a child process behind the second wall: what escapes from WebAssembly there finds nothing.
    Worker,
}

impl Isolation {
    /// All of them, the weakest first.
    pub const ALL: [Self; 3] = [Self::Wasm, Self::Process, Self::Worker];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Process => "process",
            Self::Worker => "worker",
        }
    }

    /// The one of that name.
    pub fn read(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|isolation| isolation.name() == name).ok_or_else(|| {
            Error::policy(
                format!("`{}` is no isolation", text::quote(name)),
                "guests are isolated by `wasm` alone, by a `process` too, or by a `worker`, a process behind a wall",
                "give one of these three words",
            )
        })
    }
}
