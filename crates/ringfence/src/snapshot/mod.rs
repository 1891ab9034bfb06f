//! Memory of language packs: images of it, and regions of address space that show one.
//!
//! `instrument → image → region → a new store's memory → reset → the next new store's memory`. A pack's data are taken
//! out of its code when it is compiled and kept beside it as an image; every instance gets a region that shows that
//! image, copied as it is written to. When its store is dropped, the region is reset and waits for the next one, so that
//! a fresh run finds the pages it is about to touch already there. Nothing else of a store is used again.
//!
//! `instance → capture → region → another store's memory`: a fork has a region of the same image, with what the captured
//! instance had written.
//!
//! `capture → saved → sealed → place`, and back through the proof of the seal: a capture as a file, which holds nothing but
//! numbers and pages that its program's own image does not have.

pub(crate) mod appendix;
#[cfg(test)]
mod branch_tests;
mod capture;
mod entries;
#[cfg(test)]
mod equality_tests;
mod faults_unsafe;
mod image;
#[cfg(test)]
mod instance_tests;
pub(crate) mod instrument;
pub(crate) mod kept;
mod key;
mod memory_unsafe;
mod own_unsafe;
pub(crate) mod pagemap_unsafe;
pub(crate) mod place;
mod region_unsafe;
mod rewind;
mod saved;
pub(crate) mod sealed;
mod shown_unsafe;
mod stack_unsafe;
mod trial_unsafe;
mod unmap_unsafe;

pub(crate) use capture::{Before, Capture};
pub(crate) use faults_unsafe::Faults;
pub(crate) use image::Image;
pub use key::SnapshotKey;
pub(crate) use memory_unsafe::{Creator, Lent, NO_ROOM, Since, instantiate, instantiate_here};
pub(crate) use rewind::Rewind;
pub(crate) use saved::{SavedGlobal, read_pages};
pub(crate) use shown_unsafe::Shown;
