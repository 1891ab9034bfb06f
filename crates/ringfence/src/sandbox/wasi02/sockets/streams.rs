//! The two sides of a connection as streams of WASI 0.2.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use rustix::io::Errno;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::glance;
use crate::sandbox::components::PIECE_BYTES;
use crate::sandbox::network::{Network, Outbox, Receiver};

/// An error of the network as streams tell it.
fn failed(network: &Network, errno: Errno) -> StreamError {
    match network.stop() {
        Some(stop) => StreamError::Trap(stop.into()),
        None => StreamError::LastOperationFailed(std::io::Error::from(errno).into()),
    }
}

/// The receiving side, until it is shut down.
#[derive(Clone)]
pub(super) struct Reader {
    network: Arc<Network>,
    receiver: Arc<Mutex<Option<Receiver>>>,
}

impl Reader {
    pub(super) fn new(network: Arc<Network>, receiver: Receiver) -> Self {
        Self { network, receiver: Arc::new(Mutex::new(Some(receiver))) }
    }

    pub(super) fn shut_down(&self) {
        *self.receiver() = None;
    }

    fn receiver(&self) -> MutexGuard<'_, Option<Receiver>> {
        // Nothing that holds the lock leaves the receiver half changed.
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| match &*self.receiver() {
            Some(receiver) => receiver.poll_ready(context),
            None => Poll::Ready(()),
        })
        .await;
    }
}

impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let mut slot = self.receiver();
        let Some(receiver) = &*slot else { return Err(StreamError::Closed) };
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buffer = BytesMut::zeroed(size.min(PIECE_BYTES));
        match receiver.poll_receive(&mut glance(), &mut buffer) {
            Poll::Pending => Ok(Bytes::new()),
            Poll::Ready(Ok(0)) => {
                if let Some(stop) = self.network.stop() {
                    return Err(StreamError::Trap(stop.into()));
                }
                *slot = None;
                Err(StreamError::Closed)
            }
            Poll::Ready(Ok(count)) => {
                buffer.truncate(count);
                Ok(buffer.freeze())
            }
            Poll::Ready(Err(errno)) => {
                *slot = None;
                Err(failed(&self.network, errno))
            }
        }
    }
}

/// The sending side. A clone of it shuts it down.
#[derive(Clone)]
pub(super) struct Writer {
    network: Arc<Network>,
    outbox: Arc<Outbox>,
    permit: usize,
}

impl Writer {
    pub(super) fn new(network: Arc<Network>, outbox: Arc<Outbox>) -> Self {
        Self { network, outbox, permit: 0 }
    }

    pub(super) fn shut_down(&self) {
        self.outbox.close();
    }

    fn is_ready(&self) -> StreamResult<bool> {
        if let Some(stop) = self.network.stop() {
            return Err(StreamError::Trap(stop.into()));
        }
        self.outbox.is_ready().map_err(|ended| match ended {
            Some(errno) => failed(&self.network, errno),
            None => StreamError::Closed,
        })
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        self.outbox.ready().await;
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > self.permit {
            return Err(StreamError::trap("a write without a permit"));
        }
        self.permit = 0;
        if bytes.is_empty() {
            return Ok(());
        }
        if self.outbox.hand_over(bytes) {
            self.network.push_later(self.outbox.clone());
        }
        self.is_ready().map(drop)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.is_ready().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permit = if self.is_ready()? { PIECE_BYTES } else { 0 };
        Ok(self.permit)
    }

    async fn cancel(&mut self) {
        // What the guest has written was taken from it, and is sent.
        self.outbox.ready().await;
    }
}
