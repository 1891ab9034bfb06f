//! Standard streams in the shapes that components want: WASI 0.2 polls them, WASI 0.3 pipes them.

use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::{PIECE_BYTES, turn};
use crate::sandbox::errno::Errno;
use crate::sandbox::stdio::{Input, Output, Read, Stream, Waiter, Wrote, io_error, wait_writable};

/// A stream's error as WASI 0.2 tells it.
pub(crate) fn failed(errno: Errno) -> StreamError {
    match errno {
        Errno::Pipe => StreamError::Closed,
        errno => StreamError::LastOperationFailed(errno.into()),
    }
}

/// Standard input.
pub(super) struct InputView(pub(super) Input);

impl IsTerminal for InputView {
    fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }
}

impl StdinStream for InputView {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(AsyncInput { input: self.0.clone(), waiting: Mutex::new(None) })
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(InputView(self.0.clone()))
    }
}

#[async_trait]
impl Pollable for InputView {
    async fn ready(&mut self) {
        while !self.0.is_ready() {
            self.0.wait().await;
        }
    }
}

impl InputStream for InputView {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.0.read(size.min(PIECE_BYTES)) {
            Ok(Read::Wait) => Ok(Bytes::new()),
            Ok(Read::Bytes(bytes)) if bytes.is_empty() && size > 0 => Err(StreamError::Closed),
            Ok(Read::Bytes(bytes)) => Ok(bytes),
            Err(errno) => Err(failed(errno)),
        }
    }
}

/// One of the output streams.
pub(super) struct OutputView(pub(super) Output, pub(super) Stream);

impl IsTerminal for OutputView {
    fn is_terminal(&self) -> bool {
        self.0.is_terminal(self.1)
    }
}

impl StdoutStream for OutputView {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(AsyncOutput { output: self.0.clone(), stream: self.1, waiting: Mutex::new(None) })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Writer { output: self.0.clone(), stream: self.1, pending: Bytes::new() })
    }
}

/// An output stream with the piece that a slow descriptor has not taken yet.
struct Writer {
    output: Output,
    stream: Stream,
    pending: Bytes,
}

impl Writer {
    fn push(&mut self) -> StreamResult<Option<Waiter>> {
        while !self.pending.is_empty() {
            match self.output.write(self.stream, &self.pending).map_err(|stop| StreamError::Trap(stop.into()))? {
                Ok(Wrote::Done(count)) => drop(self.pending.split_to(count)),
                Ok(Wrote::Wait(waiter)) => return Ok(Some(waiter)),
                Err(errno) => {
                    self.pending = Bytes::new();
                    return Err(failed(errno));
                }
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        // A failure is told by the next `check_write`.
        while let Ok(Some(waiter)) = self.push() {
            wait_writable(waiter).await;
        }
    }
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if !self.pending.is_empty() || bytes.len() > self.output.permit(self.stream) {
            return Err(StreamError::trap("a write without a permit"));
        }
        self.pending = bytes;
        self.push().map(|_| ())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.push().map(|_| ())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(if self.push()?.is_some() { 0 } else { self.output.permit(self.stream) })
    }
}

/// A wait under way; behind a mutex because WASI 0.3 wants its streams shareable.
type Waiting = Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>;

fn poll_waiting(waiting: &mut Waiting, context: &mut Context<'_>) -> Poll<()> {
    let slot = waiting.get_mut().unwrap_or_else(|broken| broken.into_inner());
    if let Some(wait) = slot {
        ready!(wait.as_mut().poll(context));
        *slot = None;
    }
    Poll::Ready(())
}

fn start_waiting(waiting: &mut Waiting, wait: impl Future<Output = ()> + Send + 'static) {
    *waiting.get_mut().unwrap_or_else(|broken| broken.into_inner()) = Some(Box::pin(wait));
}

struct AsyncInput {
    input: Input,
    waiting: Waiting,
}

impl AsyncRead for AsyncInput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(turn(context));
        loop {
            ready!(poll_waiting(&mut self.waiting, context));
            match self.input.read(buffer.remaining().min(PIECE_BYTES)).map_err(io_error)? {
                Read::Bytes(bytes) => {
                    buffer.put_slice(&bytes);
                    return Poll::Ready(Ok(()));
                }
                Read::Wait => {
                    let input = self.input.clone();
                    start_waiting(&mut self.waiting, async move { input.wait().await });
                }
            }
        }
    }
}

struct AsyncOutput {
    output: Output,
    stream: Stream,
    waiting: Waiting,
}

impl AsyncWrite for AsyncOutput {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(turn(context));
        loop {
            ready!(poll_waiting(&mut self.waiting, context));
            // The run is ended by the supervisor, which sees that the output was cut.
            let wrote = self.output.write(self.stream, bytes).map_err(io::Error::other)?;
            match wrote.map_err(io_error)? {
                Wrote::Done(count) => return Poll::Ready(Ok(count)),
                Wrote::Wait(waiter) => start_waiting(&mut self.waiting, wait_writable(waiter)),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
