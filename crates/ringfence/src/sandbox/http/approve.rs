//! What a request has to look like before anybody asks whether it is granted.
//!
//! Two readers of one URL may see two hosts in it. Only what every reader sees the same is let through, and what was
//! approved here is what is sent: the authority, the `Host` header, the name in TLS and the path all come from the URL
//! that this gives.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::uri::{Authority, Uri};
use http::{HeaderMap, Method};
use url::Url;

use crate::policy::normal_name;

/// Longest URL, in bytes.
pub const MAX_URL_BYTES: usize = 16 * 1024;

/// Most header fields one way, and the most bytes in them.
pub const MAX_HEADERS: usize = 100;
/// See [`MAX_HEADERS`].
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Headers that say how a message is framed or passed on: ours to set, or nobody's.
const OURS: [&str; 11] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Why a request is not even looked up in the grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Not a method that is sent: `CONNECT`, `TRACE`, or not in capitals.
    Method,
    /// Neither http nor https.
    Scheme,
    /// A user, a port that is none, or a host that is neither a name nor an address in its one form.
    Host,
    /// A path that is not plain text.
    Path,
    /// Longer than is sent.
    Length,
    /// Headers that are ours to set, too many of them, or too long.
    Headers,
}

impl Unfit {
    /// For the list of what was refused.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Method => "a method that is never sent",
            Self::Scheme => "neither http nor https",
            Self::Host => "not a host and a port in their usual form",
            Self::Path => "not a path in its usual form",
            Self::Length => "too long",
            Self::Headers => "headers that shape the message, or too many",
        }
    }
}

/// Reads the method and the URL of a request.
pub fn approve(method: &Method, uri: &Uri) -> Result<Url, Unfit> {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    if matches!(*method, Method::CONNECT | Method::TRACE) || !method.as_str().bytes().all(plain) {
        return Err(Unfit::Method);
    }
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https")).ok_or(Unfit::Scheme)?;
    let authority = uri.authority().filter(|authority| is_plain(authority)).ok_or(Unfit::Host)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let rooted = path.is_empty() || path.starts_with(['/', '?']);
    if !rooted || !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#')) {
        return Err(Unfit::Path);
    }
    if authority.as_str().len() + path.len() > MAX_URL_BYTES {
        return Err(Unfit::Length);
    }
    let url = Url::parse(&format!("{scheme}://{authority}{path}")).map_err(|_| Unfit::Host)?;
    let same_host =
        url.host_str().is_some_and(|host| host.eq_ignore_ascii_case(authority.host()) || host.starts_with('['));
    if !same_host || !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(Unfit::Host);
    }
    Ok(url)
}

/// Whether an authority reads the same to everybody: no user, a name or an address in its usual form, and a port.
fn is_plain(authority: &Authority) -> bool {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host);
    let port = match rest.and_then(|rest| rest.strip_prefix(':')) {
        None => rest == Some(""),
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0),
    };
    let address = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(six) => six.parse::<Ipv6Addr>().is_ok_and(|six| six.to_ipv4_mapped().is_none()),
        None => host.parse::<Ipv4Addr>().is_ok(),
    };
    port && (address || normal_name(host).is_some_and(|name| name.eq_ignore_ascii_case(host)))
}

/// Whether the headers are the guest's to send, and not too many.
pub fn check_headers(headers: &HeaderMap) -> Result<(), Unfit> {
    let ours = headers.keys().any(|name| OURS.contains(&name.as_str()));
    if ours || headers.len() > MAX_HEADERS || bytes_of(headers) > MAX_HEADER_BYTES {
        return Err(Unfit::Headers);
    }
    Ok(())
}

/// What headers take on the wire, about.
pub fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// A request as it is told of: without its query, which may hold what is nobody's business, and without a user.
pub fn told(method: &Method, uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{method} {scheme}://{host}{}", uri.path())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn approved(method: &str, uri: &str) -> Result<String, Unfit> {
        approve(&Method::from_bytes(method.as_bytes()).unwrap(), &uri.parse().unwrap()).map(Into::into)
    }

    #[test]
    fn an_ordinary_request_is_sent_as_it_was_written() {
        for (uri, sent) in [
            ("https://api.example.com", "https://api.example.com/"),
            ("https://API.Example.com:443/v1?q=a%20b", "https://api.example.com/v1?q=a%20b"),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x"),
            ("http://[0:0::1]/", "http://[::1]/"),
            ("https://a.example.com/a/../b", "https://a.example.com/b"),
            ("https://a.example.com/a/%2E%2e/b", "https://a.example.com/b"),
        ] {
            assert_eq!(Ok(sent.to_owned()), approved("GET", uri), "{uri}");
        }
    }

    #[test]
    fn attack_a_host_that_reads_two_ways_is_refused() {
        for uri in [
            "https://user@example.com/",
            "https://api.example.com@evil.net/",
            "https://user:word@example.com/",
            "https://example.com./",
            "https://example.com:0/",
            "https://example.com:99999/",
            "https://example.com:/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://%31%32%37.0.0.1/",
            "http://a..b/",
            "http://exa_mple.com%2eevil.net/",
        ] {
            let Ok(uri) = uri.parse::<Uri>() else { continue };
            assert_eq!(Err(Unfit::Host), approve(&Method::GET, &uri), "{uri}");
        }
    }

    #[test]
    fn attack_methods_and_schemes_that_are_never_sent() {
        for method in ["CONNECT", "TRACE", "get", "Trace", "GET1", "G*T"] {
            assert_eq!(Err(Unfit::Method), approved(method, "https://example.com/"), "{method}");
        }
        for uri in ["ftp://example.com/", "file://example.com/etc/passwd", "ws://example.com/", "//example.com"] {
            let Ok(uri) = uri.parse::<Uri>() else { continue };
            assert_eq!(Err(Unfit::Scheme), approve(&Method::GET, &uri), "{uri}");
        }
        assert_eq!(Err(Unfit::Scheme), approved("GET", "/path"));
    }

    #[test]
    fn attack_a_path_is_plain_text() {
        for uri in ["https://example.com/a\\b", "https://example.com/\u{e4}", "https://example.com/a?b\\c"] {
            let Ok(uri) = uri.parse::<Uri>() else { continue };
            assert_eq!(Err(Unfit::Path), approve(&Method::GET, &uri), "{uri}");
        }
        let long = format!("https://example.com/{}", "x".repeat(MAX_URL_BYTES));
        assert_eq!(Err(Unfit::Length), approved("GET", &long));
    }

    #[test]
    fn attack_headers_that_shape_the_message_are_not_the_guests() {
        let with = |name: &'static str| HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static("x"))]);
        for name in OURS {
            assert_eq!(Err(Unfit::Headers), check_headers(&with(name)), "{name}");
        }
        assert_eq!(Ok(()), check_headers(&with("x-api-key")));
        let many = HeaderMap::from_iter(
            (0..=MAX_HEADERS).map(|n| (format!("x-{n}").parse().unwrap(), HeaderValue::from_static(""))),
        );
        assert_eq!(Err(Unfit::Headers), check_headers(&many));
        let large = HeaderValue::try_from("x".repeat(MAX_HEADER_BYTES)).unwrap();
        assert_eq!(Err(Unfit::Headers), check_headers(&HeaderMap::from_iter([("x-a".parse().unwrap(), large)])));
    }

    #[test]
    fn a_request_is_told_of_without_its_query_and_its_user() {
        let uri = "https://user:word@api.example.com/v1/x?token=1234".parse().unwrap();
        assert_eq!("GET https://api.example.com/v1/x", told(&Method::GET, &uri));
    }
}
