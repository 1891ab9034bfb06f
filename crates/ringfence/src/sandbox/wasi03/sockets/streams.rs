//! The two sides of a connection as streams of WASI 0.3; how one ended is told by the future beside it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustix::io::Errno;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, Source, StreamConsumer, StreamProducer, StreamResult};
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;

use crate::sandbox::components::{PIECE_BYTES, turn};
use crate::sandbox::network::{Network, Receiver, Sender};

/// What the guest is told at the end of a stream.
pub(super) type Told = Result<(), ErrorCode>;

/// Where a side of a connection says how it ended; one that is dropped without a word ended well.
pub(super) struct Verdict(Option<oneshot::Sender<Told>>);

/// A verdict, and the future that tells it to the guest.
pub(super) fn verdict() -> (Verdict, impl Future<Output = wasmtime::Result<Told>> + Send + 'static) {
    let (sender, receiver) = oneshot::channel();
    (Verdict(Some(sender)), async move { Ok(receiver.await.unwrap_or(Ok(()))) })
}

impl Verdict {
    pub(super) fn tell(&mut self, errno: Option<Errno>) {
        if let Some(sender) = self.0.take() {
            // A guest that dropped the future does not want to know.
            let _ = sender.send(errno.map_or(Ok(()), |errno| Err(broken(errno))));
        }
    }
}

/// A peer that does not listen any more broke the connection, which the system calls a broken pipe.
fn broken(errno: Errno) -> ErrorCode {
    if errno == Errno::PIPE { ErrorCode::ConnectionBroken } else { errno.into() }
}

/// A wait, or none when the guest takes its question back.
fn waiting(finish: bool) -> Poll<wasmtime::Result<StreamResult>> {
    if finish { Poll::Ready(Ok(StreamResult::Cancelled)) } else { Poll::Pending }
}

/// What is received.
pub(super) struct Incoming {
    pub(super) network: Arc<Network>,
    pub(super) side: Option<Receiver>,
    pub(super) verdict: Verdict,
}

impl<D> StreamProducer<D> for Incoming {
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
        let Some(side) = &self.side else { return Poll::Ready(Ok(StreamResult::Dropped)) };
        let mut destination = destination.as_direct(store, PIECE_BYTES);
        let buffer = destination.remaining();
        if buffer.is_empty() {
            // The guest asks whether a read would wait.
            return match side.poll_ready(context) {
                Poll::Ready(()) => Poll::Ready(Ok(StreamResult::Completed)),
                Poll::Pending => waiting(finish),
            };
        }
        let piece = buffer.len().min(PIECE_BYTES);
        let ended = match side.poll_receive(context, &mut buffer[..piece]) {
            Poll::Pending => return waiting(finish),
            Poll::Ready(Ok(0)) => None,
            Poll::Ready(Ok(count)) => {
                destination.mark_written(count);
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            Poll::Ready(Err(errno)) => Some(errno),
        };
        if let Some(stop) = self.network.stop() {
            return Poll::Ready(Err(stop.into()));
        }
        self.side = None;
        self.verdict.tell(ended);
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

/// What is sent.
pub(super) struct Outgoing {
    pub(super) network: Arc<Network>,
    pub(super) side: Option<Sender>,
    pub(super) verdict: Verdict,
}

impl<D> StreamConsumer<D> for Outgoing {
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
        let Some(side) = &self.side else { return Poll::Ready(Ok(StreamResult::Dropped)) };
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        if bytes.is_empty() {
            return match side.poll_ready(context) {
                Poll::Ready(()) => Poll::Ready(Ok(StreamResult::Completed)),
                Poll::Pending => waiting(finish),
            };
        }
        let piece = bytes.len().min(PIECE_BYTES);
        let ended = match side.poll_send(context, &bytes[..piece]) {
            Poll::Pending => return waiting(finish),
            Poll::Ready(Ok(0)) => None,
            Poll::Ready(Ok(count)) => {
                source.mark_read(count);
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            Poll::Ready(Err(errno)) => Some(errno),
        };
        if let Some(stop) = self.network.stop() {
            return Poll::Ready(Err(stop.into()));
        }
        self.side = None;
        self.verdict.tell(ended);
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}
