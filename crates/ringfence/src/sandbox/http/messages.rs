//! HTTP for language packs: the same requests as those of `wasi:http`, asked for by messages.
//!
//! One message opens an exchange and gives its number, one waits for the head of the answer, and one takes each piece
//! of its body. Between messages nothing moves, so a guest that does not read has a server that waits.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;
use url::Position;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::approve::MAX_HEADERS;
use super::exchange::{self, Opened, PATIENCE, Rest};
use super::{Network, SHARE_BYTES, Secrets, Sender, approve};
use crate::language::abi::Http;
use crate::language::value::{Item, Reader, Writer};

/// Longest piece of a body, in bytes.
const MAX_PIECE_BYTES: usize = 256 * 1024;

/// Headers of an answer that are about the connection that brought it: there is none on the guest's side.
const OF_CONNECTION: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// The message is none.
pub(crate) struct Malformed;

/// The exchanges of one run or session.
pub struct Requests {
    sender: Sender,
    most: u32,
    next: u64,
    open: BTreeMap<u64, Phase>,
}

enum Phase {
    /// With the length of its message, which its body keeps.
    Opened(Box<Opened>, usize),
    Answered(Incoming),
}

struct Incoming {
    body: WasiBody,
    /// None when the connection is done.
    rest: Option<Pin<Rest>>,
    /// What came and was not taken.
    left: Bytes,
}

/// What a message comes to, or why not: for the guest, and none of it from a server.
type Told = Result<Vec<u8>, (&'static str, &'static str)>;

impl Requests {
    /// Nothing is opened before a guest makes use of a grant. `most` exchanges may be open at one time.
    pub fn new(network: Arc<Network>, secrets: Secrets, most: u32) -> Self {
        let sender = Sender { network, secrets, share: *SHARE_BYTES.end() };
        Self { sender, most, next: 1, open: BTreeMap::new() }
    }

    /// The network that they go over.
    pub(crate) fn network(&self) -> &Arc<Network> {
        &self.sender.network
    }

    /// Answers a message whose payload is a value. `room` is what the host may hold for the guest, in bytes.
    pub(crate) async fn answer(&mut self, kind: Http, payload: Bytes, room: u64) -> Result<Vec<u8>, Malformed> {
        let told = match kind {
            Http::Reach => self.reach(&payload)?,
            Http::Open => {
                let asked = Asked::read(&payload)?;
                match self.open(asked, &payload, room).await {
                    Ok(number) => Ok(one(Item::Whole { negative: false, number })),
                    Err(error) => Err(error),
                }
            }
            Http::Answer => {
                let ([number], patience) = numbers(&payload)?;
                self.head(number, patience).await
            }
            Http::Body => {
                let ([number, most], patience) = numbers(&payload)?;
                let most = usize::try_from(most).unwrap_or(usize::MAX).clamp(1, MAX_PIECE_BYTES);
                let most = most.min(usize::try_from(room / 2).unwrap_or(usize::MAX)).max(1);
                self.piece(number, most, patience).await
            }
            Http::Close => {
                let ([number], _) = numbers(&payload)?;
                self.open.remove(&number);
                Ok(one(Item::Null))
            }
        };
        let mut answer = Writer::default();
        Ok(match told {
            Ok(value) => {
                answer.item(Item::List(2));
                answer.item(Item::Whole { negative: false, number: 0 });
                let mut answer = answer.into_bytes();
                answer.extend(value);
                answer
            }
            Err((kind, message)) => {
                answer.item(Item::List(3));
                answer.item(Item::Whole { negative: false, number: 1 });
                answer.item(Item::Text(kind));
                answer.item(Item::Text(message));
                answer.into_bytes()
            }
        })
    }

    /// Whether any request to a host and port could be granted: `[host, port]`.
    fn reach(&self, payload: &[u8]) -> Result<Told, Malformed> {
        let mut reader = Reader::new(payload);
        let (Ok(Item::List(2)), Ok(Item::Text(host)), Ok(Item::Whole { negative: false, number: port })) =
            (reader.item(), reader.item(), reader.item())
        else {
            return Err(Malformed);
        };
        let scheme = if port == 443 { "https" } else { "http" };
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let written = format!("{scheme}://{host}:{port}");
        let url = written.parse::<Uri>().ok().and_then(|uri| approve(&Method::GET, &uri).ok());
        let network = &self.sender.network;
        if url.as_ref().is_some_and(|url| network.grants().http.iter().any(|grant| grant.has_origin(url))) {
            return Ok(Ok(one(Item::Null)));
        }
        let what = url.map_or(written, |url| url[..Position::BeforePath].to_owned());
        network.denials().note("http", &what);
        Ok(Err(told(&Error::HttpRequestDenied)))
    }

    async fn open(
        &mut self,
        asked: Asked<'_>,
        message: &Bytes,
        room: u64,
    ) -> Result<u64, (&'static str, &'static str)> {
        if self.open.len() >= self.most as usize {
            let what = format!("more than {} at one time", self.most);
            self.sender.network.denials().note_limit("connections", &what);
            return Err(told(&Error::ConnectionLimitReached));
        }
        let held: usize = self.open.values().map(Phase::held).sum();
        let len = message.len();
        if held.saturating_add(len) as u64 > room {
            return Err(told(&Error::HttpRequestBodySize(None)));
        }
        let (request, options) = asked.request(message).map_err(|error| told(&error))?;
        let approved = self.sender.approve(request, options).map_err(|error| told(&error))?;
        let opened = exchange::open(approved).await.map_err(|error| told(&error))?;
        let number = self.next;
        self.next += 1;
        self.open.insert(number, Phase::Opened(Box::new(opened), len));
        Ok(number)
    }

    /// Waits for the head of an answer. An exchange that fails is gone.
    async fn head(&mut self, number: u64, patience: Duration) -> Told {
        let opened = match self.open.remove(&number) {
            Some(Phase::Opened(opened, _)) => opened,
            Some(answered) => {
                self.open.insert(number, answered);
                return Err(CLOSED);
            }
            None => return Err(CLOSED),
        };
        let (answer, rest) = match timeout(patience, opened.answer()).await {
            Ok(answer) => answer.map_err(|error| told(&error))?,
            Err(_) => return Err(told(&Error::ConnectionReadTimeout)),
        };
        let head = written(&answer);
        let incoming = Incoming { body: answer.into_body(), rest: Some(Box::into_pin(rest)), left: Bytes::new() };
        self.open.insert(number, Phase::Answered(incoming));
        Ok(head)
    }

    /// Waits for a piece of a body; empty at its end, which closes the exchange.
    async fn piece(&mut self, number: u64, most: usize, patience: Duration) -> Told {
        let mut incoming = match self.open.remove(&number) {
            Some(Phase::Answered(incoming)) => incoming,
            Some(opened) => {
                self.open.insert(number, opened);
                return Err(CLOSED);
            }
            None => return Err(CLOSED),
        };
        while incoming.left.is_empty() {
            match timeout(patience, incoming.next()).await {
                Err(_) => return Err(told(&Error::ConnectionReadTimeout)),
                Ok(None) => return Ok(one(Item::Bytes(b""))),
                Ok(Some(piece)) => incoming.left = piece.map_err(|error| told(&error))?,
            }
        }
        let piece = incoming.left.split_to(most.min(incoming.left.len()));
        self.open.insert(number, Phase::Answered(incoming));
        Ok(one(Item::Bytes(&piece)))
    }
}

impl Phase {
    /// What the host holds of the guest's own, in bytes.
    fn held(&self) -> usize {
        match self {
            Self::Opened(_, len) => *len,
            Self::Answered(incoming) => incoming.left.len(),
        }
    }
}

impl Incoming {
    /// The next piece; empty for what is none, such as trailers.
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|context| {
            if let Some(rest) = &mut self.rest
                && rest.as_mut().poll(context).is_ready()
            {
                self.rest = None;
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(frame) => {
                    Poll::Ready(frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default())))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// A request as a guest writes it: a map with `method`, `url`, `headers`, `body`, and `timeout` in seconds.
#[derive(Default)]
struct Asked<'a> {
    method: &'a str,
    url: &'a str,
    headers: Vec<(&'a str, &'a [u8])>,
    body: &'a [u8],
    timeout: Option<Duration>,
}

impl<'a> Asked<'a> {
    fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let Ok(Item::Map(5)) = reader.item() else { return Err(Malformed) };
        let mut asked = Self::default();
        let mut seen = [false; 5];
        for _ in 0..5 {
            let Ok(Item::Text(key)) = reader.item() else { return Err(Malformed) };
            let at = ["method", "url", "headers", "body", "timeout"].iter().position(|known| *known == key);
            let seen = at.and_then(|at| seen.get_mut(at)).ok_or(Malformed)?;
            if std::mem::replace(seen, true) {
                return Err(Malformed);
            }
            match (key, reader.item().map_err(|_| Malformed)?) {
                ("method", Item::Text(method)) => asked.method = method,
                ("url", Item::Text(url)) => asked.url = url,
                ("headers", Item::List(count)) => asked.headers = headers(&mut reader, count)?,
                ("body", Item::Bytes(body)) => asked.body = body,
                ("timeout", item) => asked.timeout = seconds(item)?,
                _ => return Err(Malformed),
            }
        }
        Ok(asked)
    }

    /// The request itself. Its length is what it is, whatever the guest said.
    fn request(&self, message: &Bytes) -> Result<(Request<WasiBody>, RequestOptions), Error> {
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| Error::HttpRequestMethodInvalid)?;
        let uri = self.url.parse::<Uri>().map_err(|_| Error::HttpRequestUriInvalid)?;
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::HttpRequestHeaderSectionSize(None))?;
            let value = HeaderValue::from_bytes(value).map_err(|_| Error::HttpRequestHeaderSectionSize(None))?;
            headers.append(name, value);
        }
        let has_length = headers.remove(CONTENT_LENGTH).is_some();
        if has_length || !self.body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        let body = Full::new(message.slice_ref(self.body)).map_err(|never| match never {}).boxed_unsync();
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let options = RequestOptions { connect_timeout: self.timeout, ..RequestOptions::default() };
        Ok((request, options))
    }
}

fn headers<'a>(reader: &mut Reader<'a>, count: usize) -> Result<Vec<(&'a str, &'a [u8])>, Malformed> {
    if count > 2 * MAX_HEADERS {
        return Err(Malformed);
    }
    let one = |_| match (reader.item(), reader.item(), reader.item()) {
        (Ok(Item::List(2)), Ok(Item::Text(name)), Ok(Item::Bytes(value))) => Ok((name, value)),
        _ => Err(Malformed),
    };
    (0..count).map(one).collect()
}

/// A list of whole numbers, and a time to wait behind them.
fn numbers<const N: usize>(payload: &[u8]) -> Result<([u64; N], Duration), Malformed> {
    let mut reader = Reader::new(payload);
    match reader.item() {
        Ok(Item::List(count)) if count == N + 1 => {}
        _ => return Err(Malformed),
    }
    let mut numbers = [0; N];
    for number in &mut numbers {
        let Ok(Item::Whole { negative: false, number: read }) = reader.item() else { return Err(Malformed) };
        *number = read;
    }
    let patience = seconds(reader.item().map_err(|_| Malformed)?)?;
    Ok((numbers, patience.unwrap_or(PATIENCE)))
}

/// A time to wait; none where the guest waits as long as it may.
fn seconds(item: Item<'_>) -> Result<Option<Duration>, Malformed> {
    let seconds = match item {
        Item::Null => return Ok(None),
        Item::Float(seconds) => seconds,
        Item::Whole { negative: false, number } => number as f64,
        _ => return Err(Malformed),
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(Malformed);
    }
    Ok(Some(Duration::from_secs_f64(seconds.min(PATIENCE.as_secs_f64()))))
}

fn one(item: Item<'_>) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.item(item);
    writer.into_bytes()
}

fn written(answer: &Response<WasiBody>) -> Vec<u8> {
    let headers = || answer.headers().iter().filter(|(name, _)| !OF_CONNECTION.contains(&name.as_str()));
    let mut writer = Writer::default();
    writer.item(Item::Map(2));
    writer.item(Item::Text("status"));
    writer.item(Item::Whole { negative: false, number: answer.status().as_u16().into() });
    writer.item(Item::Text("headers"));
    writer.item(Item::List(headers().count()));
    for (name, value) in headers() {
        writer.item(Item::List(2));
        writer.item(Item::Text(name.as_str()));
        writer.item(Item::Bytes(value.as_bytes()));
    }
    writer.into_bytes()
}

const CLOSED: (&str, &str) = ("closed", "no such exchange is open, or not at this step");

/// What went wrong, for the guest.
fn told(error: &Error) -> (&'static str, &'static str) {
    match error {
        Error::HttpRequestDenied => ("denied", "Network is unreachable: no grant of the policy covers the request"),
        Error::DestinationIpProhibited => {
            ("denied", "Network is unreachable: the name leads to an address that is not granted")
        }
        Error::DestinationNotFound => ("not-found", "Name or service not known"),
        Error::DnsTimeout | Error::DnsError { .. } => ("no-answer", "Temporary failure in name resolution"),
        Error::DestinationUnavailable => ("unreachable", "Network is unreachable"),
        Error::ConnectionRefused => ("refused", "Connection refused"),
        Error::ConnectionTimeout => ("connect-timeout", "the connection timed out"),
        Error::ConnectionReadTimeout | Error::HttpResponseTimeout => ("timeout", "timed out"),
        Error::ConnectionLimitReached => ("limit", "Too many open connections: the limit `connections`"),
        Error::TlsCertificateError => ("certificate", "certificate verify failed"),
        Error::ConfigurationError => ("certificate", "certificate verify failed: the host has no authorities to trust"),
        Error::TlsProtocolError | Error::TlsAlertReceived { .. } => ("tls", "the TLS handshake failed"),
        Error::HttpRequestBodySize(_) => ("too-long", "the request is longer than the limit `host_bytes`"),
        Error::HttpRequestUriInvalid | Error::HttpRequestMethodInvalid | Error::HttpRequestHeaderSectionSize(_) => {
            ("invalid", "the method, the URL or a header of the request is malformed")
        }
        Error::HttpResponseHeaderSectionSize(_) => ("protocol", "the head of the answer is too long"),
        Error::HttpResponseContentCoding(_) => {
            ("protocol", "the answer is packed or a part, which could hide a secret")
        }
        Error::HttpResponseIncomplete => ("incomplete", "the connection was closed before the answer was complete"),
        Error::HttpProtocolError | Error::HttpUpgradeFailed | Error::HttpResponseTransferCoding(_) => {
            ("protocol", "the server does not speak HTTP/1.1")
        }
        _ => ("reset", "Connection reset by peer"),
    }
}
