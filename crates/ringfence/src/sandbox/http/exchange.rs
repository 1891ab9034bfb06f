//! One request over one connection of its own: sent, answered, and gone with whoever waits for it.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::client::conn::http1;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use url::{Host, Url};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::answer::{self, Look};
use super::approve::MAX_HEADERS;
use super::tls;
use crate::sandbox::network::{Connection, Network, Protocol, Unresolved, special};

/// Longest wait for anything where the guest names none; the run's own deadline comes before it.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// Bytes that may come before the head of an answer is complete, beyond the head itself: interim answers (1xx), of
/// which a server may send as many as it likes, and a first piece of the body.
const MAX_BEFORE_HEAD: usize = 256 * 1024;

/// A request that was approved, and how to send it.
pub(super) struct Exchange {
    pub(super) network: Arc<Network>,
    /// Where to.
    pub(super) url: Url,
    /// What, as it goes over the wire.
    pub(super) request: Request<WasiBody>,
    pub(super) options: RequestOptions,
    pub(super) look: Look,
}

/// What goes on when the head of an answer is there: the connection, until its end.
pub(super) type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// Sends a request and waits for the head of its answer.
pub(super) async fn send(exchange: Exchange) -> Result<(Response<WasiBody>, Rest), Error> {
    open(exchange).await?.answer().await
}

/// A connection, and the request that goes over it as soon as somebody waits for the answer.
pub(super) struct Opened {
    sender: http1::SendRequest<WasiBody>,
    connection: http1::Connection<TokioIo<Metered>, WasiBody>,
    request: Request<WasiBody>,
    head: Arc<Head>,
    first_byte: Duration,
    look: Look,
}

/// Connects to where a request goes.
pub(super) async fn open(exchange: Exchange) -> Result<Opened, Error> {
    let Exchange { network, url, request, options, look } = exchange;
    let head = Arc::new(Head {
        left: AtomicUsize::new(MAX_BEFORE_HEAD + look.max_header_bytes),
        over: AtomicBool::new(false),
    });
    let connecting = async {
        let stream = Metered { stream: connect(&network, &url).await?, head: head.clone() };
        http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .max_header_size(look.max_header_bytes)
            .max_buf_size(look.max_header_bytes.max(16 * 1024))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&error))
    };
    let (sender, connection) = timeout(options.connect_timeout.unwrap_or(PATIENCE), connecting)
        .await
        .map_err(|_| Error::ConnectionTimeout)??;
    let first_byte = options.first_byte_timeout.unwrap_or(PATIENCE);
    Ok(Opened { sender, connection, request, head, first_byte, look })
}

impl Opened {
    /// Sends the request and waits for the head of its answer.
    pub(super) async fn answer(self) -> Result<(Response<WasiBody>, Rest), Error> {
        let Self { mut sender, connection, request, head, first_byte, look } = self;
        let method = request.method().clone();
        let mut sending = pin!(timeout(first_byte, sender.send_request(request)));
        let mut connection = Box::pin(connection);
        let mut closed = false;
        let answer = poll_fn(|context| {
            loop {
                if let Poll::Ready(answer) = sending.as_mut().poll(context) {
                    return Poll::Ready(answer);
                }
                if closed {
                    return Poll::Pending;
                }
                // Its own error reaches whoever waits for the answer.
                let _ = ready!(connection.as_mut().poll(context));
                closed = true;
            }
        });
        let answer = answer.await.map_err(|_| Error::ConnectionReadTimeout)?.map_err(|error| failed(&error))?;
        head.over.store(true, Ordering::Relaxed);
        let answer = answer::accept(&method, answer, look)?;
        let rest = async move {
            // What goes wrong from here on is told by the body.
            if !closed {
                let _ = connection.await;
            }
            Ok(())
        };
        Ok((answer, Box::new(rest)))
    }
}

/// A connection to where an approved URL leads, and nowhere else.
async fn connect(network: &Arc<Network>, url: &Url) -> Result<Box<dyn Stream>, Error> {
    let host = url.host().ok_or(Error::HttpRequestUriInvalid)?;
    let port = url.port_or_known_default().ok_or(Error::HttpRequestUriInvalid)?;
    let connection = match host {
        Host::Domain(name) => connect_name(network, name, port).await?,
        Host::Ipv4(address) => connect_address(network, IpAddr::V4(address), port).await?,
        Host::Ipv6(address) => connect_address(network, IpAddr::V6(address), port).await?,
    };
    // Small requests go at once; where that cannot be set they go a little later.
    let _ = connection.stream().set_nodelay(true);
    Ok(match url.scheme() {
        "https" => Box::new(tls::connect(connection, &host).await?),
        _ => Box::new(connection),
    })
}

/// To the first address of a name that answers. An address that is not public has to be granted at this very port.
async fn connect_name(network: &Arc<Network>, name: &str, port: u16) -> Result<Connection, Error> {
    let mut failed = Error::DestinationIpProhibited;
    for address in network.lookup(name).await.map_err(unresolved)? {
        if special(address).is_some() && !is_granted(network, address, port) {
            continue;
        }
        match connect_address(network, address, port).await {
            Err(error) if !matches!(error, Error::ConnectionLimitReached) => failed = error,
            done => return done,
        }
    }
    Err(failed)
}

fn is_granted(network: &Network, address: IpAddr, port: u16) -> bool {
    network.grants().http.iter().any(|grant| grant.covers_address(address, port))
        || network.reaches(SocketAddr::new(address, port), Protocol::Tcp)
}

async fn connect_address(network: &Arc<Network>, address: IpAddr, port: u16) -> Result<Connection, Error> {
    network.connect(SocketAddr::new(address, port)).await.map_err(|errno| match errno {
        Errno::MFILE => Error::ConnectionLimitReached,
        Errno::CONNREFUSED => Error::ConnectionRefused,
        Errno::TIMEDOUT => Error::ConnectionTimeout,
        Errno::HOSTUNREACH | Errno::NETUNREACH => Error::DestinationUnavailable,
        _ => Error::ConnectionTerminated,
    })
}

fn unresolved(why: Unresolved) -> Error {
    match why {
        Unresolved::Invalid => Error::HttpRequestUriInvalid,
        Unresolved::Denied => Error::DestinationIpProhibited,
        Unresolved::NotFound => Error::DestinationNotFound,
        Unresolved::Failed => Error::DnsTimeout,
    }
}

/// What a failure of the protocol is to the guest. No text of the server's is in it.
pub(super) fn failed(error: &hyper::Error) -> Error {
    let source = error.source();
    if let Some(Error::HttpRequestBodySize(size)) = source.and_then(|source| source.downcast_ref::<Error>()) {
        return Error::HttpRequestBodySize(*size);
    }
    let moving = source.and_then(|source| source.downcast_ref::<io::Error>());
    let inner = moving.and_then(io::Error::get_ref);
    if error.is_parse_too_large() || inner.is_some_and(|inner| inner.is::<HeadTooLong>()) {
        return Error::HttpResponseHeaderSectionSize(None);
    }
    if error.is_timeout() {
        return Error::HttpResponseTimeout;
    }
    if error.is_incomplete_message() || moving.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
        return Error::HttpResponseIncomplete;
    }
    if error.is_parse() || error.is_user() {
        return Error::HttpProtocolError;
    }
    Error::ConnectionTerminated
}

/// What bytes go over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How much may come before the head of an answer is complete.
struct Head {
    left: AtomicUsize,
    over: AtomicBool,
}

#[derive(Debug)]
struct HeadTooLong;

impl std::fmt::Display for HeadTooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the head of the answer does not end")
    }
}

impl std::error::Error for HeadTooLong {}

/// A stream that ends when a server never comes to its answer.
struct Metered {
    stream: Box<dyn Stream>,
    head: Arc<Head>,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if !self.head.over.load(Ordering::Relaxed) {
            let read = buffer.filled().len() - before;
            let left = self.head.left.load(Ordering::Relaxed).checked_sub(read);
            self.head.left.store(left.ok_or_else(|| io::Error::other(HeadTooLong))?, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
