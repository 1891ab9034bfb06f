//! The guest's memory: every pointer and length is checked before it is used.

use super::Errno;
use crate::sandbox::files::MAX_PATH_BYTES;

/// The first linear memory of the guest.
pub(super) struct GuestMemory<'a>(pub(super) &'a mut [u8]);

/// A piece of guest memory that a vector of buffers names.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl GuestMemory<'_> {
    pub(super) fn bytes(&self, start: u32, len: u32) -> Result<&[u8], Errno> {
        let start = start as usize;
        let end = start.checked_add(len as usize).ok_or(Errno::Fault)?;
        self.0.get(start..end).ok_or(Errno::Fault)
    }

    pub(super) fn bytes_mut(&mut self, start: u32, len: u32) -> Result<&mut [u8], Errno> {
        let start = start as usize;
        let end = start.checked_add(len as usize).ok_or(Errno::Fault)?;
        self.0.get_mut(start..end).ok_or(Errno::Fault)
    }

    /// Text the guest names; it must be UTF-8. Of one that is longer than any path, as much as shows that it is.
    pub(super) fn text(&self, start: u32, len: u32) -> Result<&str, Errno> {
        let bytes = self.bytes(start, len)?;
        let shown = bytes.get(..MAX_PATH_BYTES + 4).unwrap_or(bytes);
        match std::str::from_utf8(shown) {
            // Cut in the middle of a character.
            Err(error) if error.valid_up_to() > MAX_PATH_BYTES => {
                std::str::from_utf8(&shown[..error.valid_up_to()]).map_err(|_| Errno::Ilseq)
            }
            text => text.map_err(|_| Errno::Ilseq),
        }
    }

    pub(super) fn write(&mut self, start: u32, bytes: &[u8]) -> Result<(), Errno> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::Overflow)?;
        self.bytes_mut(start, len)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn write_u32(&mut self, start: u32, value: u32) -> Result<(), Errno> {
        self.write(start, &value.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, start: u32, value: u64) -> Result<(), Errno> {
        self.write(start, &value.to_le_bytes())
    }

    pub(super) fn read_u16(&self, start: u32) -> Result<u16, Errno> {
        self.array(start).map(u16::from_le_bytes)
    }

    pub(super) fn read_u32(&self, start: u32) -> Result<u32, Errno> {
        self.array(start).map(u32::from_le_bytes)
    }

    pub(super) fn read_u64(&self, start: u32) -> Result<u64, Errno> {
        self.array(start).map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&self, start: u32) -> Result<[u8; N], Errno> {
        self.bytes(start, N as u32)?.try_into().map_err(|_| Errno::Fault)
    }

    /// The `index`-th buffer of a vector at `start`; the vector is never copied, however long it says it is.
    pub(super) fn piece(&self, start: u32, index: u32) -> Result<Piece, Errno> {
        let at = index.checked_mul(8).and_then(|offset| start.checked_add(offset)).ok_or(Errno::Fault)?;
        let piece = Piece { start: self.read_u32(at)?, len: self.read_u32(at.checked_add(4).ok_or(Errno::Fault)?)? };
        self.bytes(piece.start, piece.len)?;
        Ok(piece)
    }
}
