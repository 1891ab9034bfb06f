//! From bytes nobody trusts to compiled code.
//!
//! `bytes → program → (cache | compiler child) → code`. Nothing here runs a guest, and nothing but the compiler
//! child ever compiles one.

mod bytes;
mod cache;
mod cache_dir;
mod cache_unsafe;
mod caps;
mod child;
mod code;
mod compile;
mod entry;
mod file;
mod image;
mod imports;
mod inspect;
mod installation;
mod inventory;
mod made;
mod memo;
mod patience;
mod program;
mod seal;
mod seen;
mod type_names;
mod unfinished;
mod wit;
mod wit_types;

pub use bytes::{Kind, MAX_PROGRAM_BYTES, MAX_TEXT_BYTES, detect};
pub use cache::Cache;
pub use cache_dir::standard_path as cache_path;
pub use child::compile_child;
pub use code::{Code, Loaded, is_compiled, load, load_in};
pub(crate) use code::{load_for_worker, load_to_capture, map_image};
pub use compile::set_compiler;
pub(crate) use entry::Build;
pub use file::read_file;
pub(crate) use image::{Image, write_sparsely};
pub use inspect::{Export, Import, Inspection, Memory};
pub(crate) use installation::installation_secret;
pub use installation::state_path;
pub use inventory::{CacheInfo, Pruned};
pub use patience::Watch;
pub use program::Program;
pub(crate) use program::hex;
pub(crate) use type_names::{Named, NamedItem, TypeNames};
pub use wit::Wasi;
