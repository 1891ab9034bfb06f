//! A TCP connection whose bytes are counted.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Slot, errno};

/// An open connection: it counts what it moves, and gives its place back when it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    slot: Slot,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, slot: Slot) -> Self {
        Self { stream, slot }
    }

    /// The stream itself, for its addresses and options.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads some bytes; 0 at the end, and when the run may move no more.
    pub fn poll_read_some(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Errno>> {
        let allowed = self.slot.network().allowance(buffer.len());
        self.poll_moved(
            context,
            |context| self.stream.poll_read_ready(context),
            || self.stream.try_read(&mut buffer[..allowed]),
        )
    }

    /// Writes some bytes; 0 when the run may move no more.
    pub fn poll_write_some(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Errno>> {
        let allowed = self.slot.network().allowance(bytes.len());
        self.poll_moved(
            context,
            |context| self.stream.poll_write_ready(context),
            || self.stream.try_write(&bytes[..allowed]),
        )
    }

    fn poll_moved(
        &self,
        context: &mut Context<'_>,
        mut ready: impl FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
        mut act: impl FnMut() -> io::Result<usize>,
    ) -> Poll<Result<usize, Errno>> {
        loop {
            match act() {
                Ok(moved) => {
                    self.slot.network().count(moved);
                    return Poll::Ready(Ok(moved));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(ready(context)).map_err(|error| errno(&error))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(errno(&error))),
            }
        }
    }

    /// What the network says when nothing more may be moved: whoever reads on ends here, and the run with it.
    fn spent(&self) -> io::Result<()> {
        match self.slot.network().stop() {
            Some(stop) => Err(io::Error::other(stop)),
            None => Ok(()),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.spent()?;
        let read = ready!(self.poll_read_some(context, buffer.initialize_unfilled()))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.spent()?;
        Poll::Ready(Ok(ready!(self.poll_write_some(context, bytes))?))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(errno) => Err(errno.into()),
        })
    }
}
