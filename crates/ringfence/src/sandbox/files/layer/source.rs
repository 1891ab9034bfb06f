//! What a file of a layer is read from: a file of the host, a private copy, or a part of a tree in memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::sandbox::files::handle::Stat;

/// An open file, or a part of one.
#[derive(Clone, Debug)]
pub(in super::super) struct Source {
    file: Arc<File>,
    part: Option<Part>,
}

/// What stands for one file in a file that has many.
#[derive(Clone, Copy, Debug)]
struct Part {
    from: u64,
    stat: Stat,
}

impl Source {
    pub(in super::super) fn whole(file: impl Into<Arc<File>>) -> Self {
        Self { file: file.into(), part: None }
    }

    /// The bytes from `from` on, as many as `stat` says.
    pub(in super::super) fn part(file: Arc<File>, from: u64, stat: Stat) -> Self {
        Self { file, part: Some(Part { from, stat }) }
    }

    pub(in super::super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let Some(Part { from, stat }) = &self.part else { return self.file.read_at(buffer, offset) };
        let left = usize::try_from(stat.size.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        if left == 0 { Ok(0) } else { self.file.read_at(&mut buffer[..left], from + offset) }
    }

    pub(in super::super) fn stat(&self) -> std::io::Result<Stat> {
        match &self.part {
            Some(part) => Ok(part.stat),
            None => Ok(Stat::of_std(&self.file.metadata()?)),
        }
    }

    /// The whole file that it is, where it is one.
    pub(super) fn as_file(&self) -> Option<&File> {
        self.part.is_none().then_some(&self.file)
    }
}
