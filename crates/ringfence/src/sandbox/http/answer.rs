//! What a server answers, on its way to the guest: in time, in bounds, and without secrets.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::approve::{MAX_HEADERS, bytes_of};
use super::scrub::{Patterns, Scrubber};

/// How an answer is looked at.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Most bytes in its headers, and again in its trailers.
    pub(super) max_header_bytes: usize,
    /// Longest time between two pieces of its body.
    pub(super) between: Duration,
    /// What is taken out of it.
    pub(super) patterns: Option<Patterns>,
    /// Whether it has to come whole and as it is: a compressed answer, or a part of one, could hide a secret.
    pub(super) plain: bool,
}

/// Checks the head of an answer, and wraps its body.
pub(super) fn accept(method: &Method, answer: Response<Incoming>, look: Look) -> Result<Response<WasiBody>, Error> {
    let (mut head, incoming) = answer.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::HttpUpgradeFailed);
    }
    check_size(&head.headers, look.max_header_bytes)?;
    if coded(&head.headers, TRANSFER_ENCODING.as_str(), "chunked") {
        return Err(Error::HttpResponseTransferCoding(None));
    }
    if look.plain {
        let partial = matches!(head.status, StatusCode::PARTIAL_CONTENT | StatusCode::IM_USED);
        if partial || coded(&head.headers, CONTENT_ENCODING.as_str(), "identity") {
            return Err(Error::HttpResponseContentCoding(None));
        }
    }
    if let Some(patterns) = &look.patterns {
        scrub(&mut head.headers, patterns);
        if *method != Method::HEAD {
            // What stands for a value has another length.
            head.headers.remove(CONTENT_LENGTH);
        }
    }
    // The words beside the status are the server's, and nobody reads them.
    head.extensions.clear();
    let body = Answer {
        incoming,
        late: Box::pin(tokio::time::sleep(look.between)),
        scrubber: look.patterns.clone().map(Scrubber::new),
        trailers: None,
        ended: false,
        look,
    };
    Ok(Response::from_parts(head, body.boxed_unsync()))
}

/// Whether a header names any coding but this one.
fn coded(headers: &HeaderMap, name: &str, but: &str) -> bool {
    let codings = headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings.map(<[u8]>::trim_ascii).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(but.as_bytes()))
}

fn check_size(headers: &HeaderMap, max_bytes: usize) -> Result<(), Error> {
    if headers.len() > MAX_HEADERS || bytes_of(headers) > max_bytes {
        return Err(Error::HttpResponseHeaderSectionSize(u32::try_from(bytes_of(headers)).ok()));
    }
    Ok(())
}

fn scrub(headers: &mut HeaderMap, patterns: &Patterns) {
    let named: Vec<_> = headers.keys().filter(|name| patterns.are_in(name.as_str().as_bytes())).cloned().collect();
    for name in named {
        headers.remove(name);
    }
    for value in headers.values_mut().filter(|value| patterns.are_in(value.as_bytes())) {
        *value = HeaderValue::from_bytes(&patterns.scrub(value.as_bytes())).unwrap_or(HeaderValue::from_static(""));
    }
}

/// A body that comes in time.
struct Answer {
    incoming: Incoming,
    late: Pin<Box<Sleep>>,
    scrubber: Option<Scrubber>,
    trailers: Option<HeaderMap>,
    ended: bool,
    look: Look,
}

impl Answer {
    /// Everything has come: what was held back is due.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<Option<Bytes>, Error> {
        self.ended = true;
        self.trailers = trailers;
        if let Some(trailers) = &mut self.trailers {
            check_size(trailers, self.look.max_header_bytes)?;
            if let Some(patterns) = &self.look.patterns {
                scrub(trailers, patterns);
            }
        }
        let rest = self.scrubber.take().map(|mut scrubber| scrubber.finish());
        Ok(rest.filter(|rest| !rest.is_empty()).map(Bytes::from))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if self.ended {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) else {
                ready!(self.late.as_mut().poll(context));
                self.ended = true;
                return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
            };
            let until = Instant::now() + self.look.between;
            self.late.as_mut().reset(until);
            let trailers = match frame.transpose() {
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(super::exchange::failed(&error))));
                }
                Ok(None) => None,
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let clean = match &mut self.scrubber {
                            Some(scrubber) => scrubber.push(&data).into(),
                            None => data,
                        };
                        if clean.is_empty() {
                            continue;
                        }
                        return Poll::Ready(Some(Ok(Frame::data(clean))));
                    }
                    Err(frame) => frame.into_trailers().ok(),
                },
            };
            match self.end(trailers) {
                Ok(Some(rest)) => return Poll::Ready(Some(Ok(Frame::data(rest)))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
