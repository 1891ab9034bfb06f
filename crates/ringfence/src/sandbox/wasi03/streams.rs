//! Files and listings as streams of WASI 0.3; how one ended is told by the future beside it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, Source, StreamConsumer, StreamProducer, StreamResult, VecBuffer};
use wasmtime_wasi::p3::bindings::filesystem::types::{DirectoryEntry, ErrorCode};

use super::files::kind;
use crate::sandbox::components::{FileReader, FileWriter, PIECE_BYTES, turn};
use crate::sandbox::errno::Errno;
use crate::sandbox::files::{Entry, Listing};
use crate::sandbox::limits::Share;

/// Most entries of a listing that are handed over at one time.
const PIECE_ENTRIES: usize = 1024;

/// Where a stream says that it failed; one that is dropped without a word ended well.
pub(super) struct Verdict(Option<oneshot::Sender<Errno>>);

/// A verdict, and the future that tells it to the guest.
pub(super) fn verdict() -> (Verdict, impl Future<Output = wasmtime::Result<Result<(), ErrorCode>>> + Send + 'static) {
    let (sender, receiver) = oneshot::channel();
    let told = async move {
        Ok(match receiver.await {
            Ok(errno) => Err(Errno::to_p3(errno)),
            Err(_) => Ok(()),
        })
    };
    (Verdict(Some(sender)), told)
}

impl Verdict {
    /// Ends the stream: as failed, or well.
    pub(super) fn tell(&mut self, failed: Option<Errno>) {
        let sender = self.0.take();
        if let (Some(sender), Some(errno)) = (sender, failed) {
            // A guest that dropped the future does not want to know.
            let _ = sender.send(errno);
        }
    }
}

/// A file that is read from a position on.
pub(super) struct FileProducer {
    pub(super) reader: FileReader,
    pub(super) verdict: Verdict,
}

impl<D> StreamProducer<D> for FileProducer {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, BytesMut>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if !finish {
            ready!(turn(context));
        }
        let mut destination = destination.as_direct(store, PIECE_BYTES);
        let buffer = destination.remaining();
        if buffer.is_empty() {
            // The guest asks whether a read would wait: never.
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let piece = buffer.len().min(PIECE_BYTES);
        let failed = match self.reader.read(&mut buffer[..piece]) {
            Ok(0) => None,
            Ok(count) => {
                destination.mark_written(count);
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            Err(errno) => Some(errno),
        };
        self.verdict.tell(failed);
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

/// A file that is written from a position on, or at its end.
pub(super) struct FileConsumer {
    pub(super) writer: FileWriter,
    pub(super) verdict: Verdict,
}

impl<D> StreamConsumer<D> for FileConsumer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if !finish {
            ready!(turn(context));
        }
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        if bytes.is_empty() {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let piece = bytes.len().min(PIECE_BYTES);
        match self.writer.write(&bytes[..piece]) {
            Ok(count) => {
                source.mark_read(count);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Err(errno) => {
                self.verdict.tell(Some(errno));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
        }
    }
}

/// A listing under way.
pub(super) struct ListingProducer {
    entries: std::vec::IntoIter<Entry>,
    _held: Share,
    verdict: Verdict,
}

impl ListingProducer {
    pub(super) fn new(names: Listing, verdict: Verdict) -> Self {
        Self { entries: names.entries.into_iter(), _held: names.held, verdict }
    }
}

impl<D> StreamProducer<D> for ListingProducer {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, DirectoryEntry, VecBuffer<DirectoryEntry>>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let wanted = destination.remaining(store).unwrap_or(PIECE_ENTRIES).min(PIECE_ENTRIES);
        let entry = |entry: Entry| DirectoryEntry { type_: kind(entry.kind), name: entry.name };
        let piece: Vec<DirectoryEntry> = self.entries.by_ref().take(wanted).map(entry).collect();
        destination.set_buffer(piece.into());
        if self.entries.len() > 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        self.verdict.tell(None);
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}
