//! `wasi:http`, outwards: each request judged, sent over a connection of its own, and answered in bounds.

mod answer;
mod approve;
mod exchange;
mod linker;
mod messages;
mod scrub;
mod secrets;
mod tls;

pub use approve::{Unfit, approve, check_headers};
pub(crate) use linker::{INTERFACES, add_to_linker};
pub use messages::Requests;
pub use scrub::{Patterns, Scrubber, TooLong};
pub use secrets::Secrets;
pub(crate) use secrets::are_placeholders;
pub use tls::{Places, places, read_authorities};

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, CONNECTION, HOST, IF_RANGE, RANGE};
use http::uri::{Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version};
use url::{Position, Url};
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks};

use self::answer::Look;
use self::approve::{MAX_HEADER_BYTES, told};
use self::exchange::{Exchange, Rest};
use super::network::Network;

/// The part of `host_bytes` that headers, URLs and pieces of bodies may take together, about.
const PART: u64 = 8;

/// Least and most bytes that one of them may take, by how many handles the guest has: see [`Http::view`].
const SHARE_BYTES: std::ops::RangeInclusive<usize> = 2048..=MAX_HEADER_BYTES;

/// Calls between two counts of the handles.
const COUNT_EVERY: u32 = 16;

/// Asks for a difference to an earlier answer.
const A_IM: HeaderName = HeaderName::from_static("a-im");

/// The requests of one run.
pub struct Http {
    ctx: WasiHttpCtx,
    sender: Sender,
    budget: usize,
    calls: u32,
}

struct Sender {
    network: Arc<Network>,
    secrets: Secrets,
    share: usize,
}

impl Http {
    /// Nothing is opened or read before a guest makes use of a grant.
    pub fn new(network: Arc<Network>, secrets: Secrets, host_bytes: u64) -> Self {
        let budget = usize::try_from(host_bytes / PART).unwrap_or(usize::MAX);
        let sender = Sender { network, secrets, share: *SHARE_BYTES.end() };
        Self { ctx: WasiHttpCtx::new(), sender, budget, calls: 0 }
    }

    /// What `wasi:http` works on.
    ///
    /// Whatever the guest fills on the host's side (headers, URLs, pieces of bodies) may be as large as its share of
    /// the budget, which gets smaller with every handle: ten thousand handles take a few times the budget, one takes
    /// what is usual elsewhere.
    pub(super) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        if self.calls.is_multiple_of(COUNT_EVERY) {
            let handles = table.iter_mut().count().max(1);
            self.sender.share = (self.budget / handles).clamp(*SHARE_BYTES.start(), *SHARE_BYTES.end());
            self.ctx.set_field_size_limit(2 * self.sender.share);
        }
        self.calls = self.calls.wrapping_add(1);
        WasiHttpCtxView { hooks: &mut self.sender, table, ctx: &mut self.ctx }
    }

    /// Longest text of a URL that is taken from the guest now, in bytes.
    fn max_text(&self) -> usize {
        self.sender.share / 4
    }
}

impl Sender {
    /// Judges a request. What is approved is what is sent: the URL, and headers made for it.
    fn approve(&self, request: Request<WasiBody>, options: RequestOptions) -> Result<Exchange, Error> {
        let (head, body) = request.into_parts();
        let unfit = |unfit: Unfit| {
            let what = format!("{} ({})", told(&head.method, &head.uri), unfit.reason());
            self.network.denials().note("http", &what);
            Error::HttpRequestDenied
        };
        let url = approve(&head.method, &head.uri).map_err(unfit)?;
        check_headers(&head.headers).map_err(unfit)?;
        if !self.network.grants().http.iter().any(|grant| grant.covers(head.method.as_str(), &url)) {
            let what = format!("{} {}", head.method, &url[..Position::AfterPath]);
            self.network.denials().note("http", &what);
            return Err(Error::HttpRequestDenied);
        }
        let plain = self.secrets.are_sent_to(&url);
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = Uri::builder()
            .path_and_query(&url[Position::BeforePath..Position::AfterQuery])
            .build()
            .map_err(|_| Error::HttpRequestUriInvalid)?;
        *request.headers_mut() = self.headers(&url, &head.headers, plain)?;
        let look = Look {
            max_header_bytes: self.share,
            between: options.between_bytes_timeout.unwrap_or(exchange::PATIENCE),
            patterns: self.secrets.patterns().cloned(),
            plain,
        };
        Ok(Exchange { network: self.network.clone(), url, request, options, look })
    }

    fn headers(&self, url: &Url, given: &HeaderMap, plain: bool) -> Result<HeaderMap, Error> {
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        let mut headers = HeaderMap::with_capacity(given.len() + 3);
        headers.insert(HOST, HeaderValue::from_str(authority).map_err(|_| Error::HttpRequestUriInvalid)?);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        for (name, value) in given {
            let put_in = self.secrets.put_in(url, name.as_str(), value);
            headers.append(name, put_in.unwrap_or_else(|| value.clone()));
        }
        if plain {
            // Cut or packed, an answer could bring a secret along that nobody finds.
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            for name in [RANGE, IF_RANGE, A_IM] {
                headers.remove(name);
            }
        }
        Ok(headers)
    }
}

impl WasiHttpHooks for Sender {
    fn is_supported_scheme(&mut self, _: &Scheme) -> bool {
        // Refused with the rest, so that it is noted.
        true
    }

    fn set_host_header(&mut self) -> bool {
        // Made from what was approved.
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Rest), Error>> + Send> {
        let approved = self.approve(request, options.unwrap_or_default());
        Box::new(async move { exchange::send(approved?).await })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        self.share
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        self.share
    }
}
