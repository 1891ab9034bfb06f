//! What a lent region shows: one image, until its instance is captured so often that it had better show a later one.
#![allow(unsafe_code)]

use std::io::{Error, Result};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::{Memory, Store};

use super::image::Image;

/// The image that a region shows, known to the region and to whoever captures its instance.
#[derive(Clone)]
pub(crate) struct Shown(Arc<Mutex<Option<Arc<Image>>>>);

impl Shown {
    pub(super) fn new(image: Arc<Image>) -> Self {
        Self(Arc::new(Mutex::new(Some(image))))
    }

    /// None once it is not known any more what the region shows: nobody gets it again.
    pub(crate) fn image(&self) -> Option<Arc<Image>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the memory of an instance show `image`, which has to be what is in it: what is written from now on is what
    /// differs. To be called while nothing runs in the store, with the memory that this is about.
    ///
    /// Where it fails, the memory may be gone, and the instance with it.
    pub(crate) fn become_image<T: 'static>(
        &self,
        store: &mut Store<T>,
        memory: Memory,
        image: &Arc<Image>,
    ) -> Result<()> {
        let bytes = memory.data_mut(store);
        if bytes.len() != image.len() {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What a half-made mapping shows is nobody's.
        *shown = None;
        let (file, at) = image.source();
        let at = i64::try_from(at).map_err(Error::other)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: the range is all of a memory that is accessible, page aligned and lent by a region, and the store is
        // borrowed mutably: nobody has a reference into it. It stays mapped, and as accessible as it was.
        let mapped = unsafe { libc::mmap(bytes.as_mut_ptr().cast(), bytes.len(), protection, flags, file, at) };
        if mapped == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        *shown = Some(image.clone());
        Ok(())
    }
}
