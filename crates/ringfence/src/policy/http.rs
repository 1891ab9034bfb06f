//! Grants of single HTTP requests: methods and a URL.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

use super::network::HostPattern;
use crate::text::{cut, quote};

/// Methods that only read, which is what a grant without methods is for.
const READING: [&str; 2] = ["GET", "HEAD"];

/// Methods that make a tunnel or an echo of a request; nobody is granted them.
const NEVER: [&str; 2] = ["CONNECT", "TRACE"];

/// Requests that a guest may send, as methods and a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrant {
    text: String,
    methods: Methods,
    scheme: String,
    host: HostPattern,
    port: u16,
    path: PathPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Methods {
    Any,
    These(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathPattern {
    /// The whole origin.
    Any,
    /// One path, whatever the query.
    Exactly(String),
    /// Everything below, which begins with this; it ends in `/`.
    Below(String),
}

impl HttpGrant {
    /// Whether a request is granted. The URL has to be the one that is then sent.
    pub fn covers(&self, method: &str, url: &Url) -> bool {
        let methods = match &self.methods {
            Methods::Any => !NEVER.contains(&method),
            Methods::These(these) => these.iter().any(|granted| granted == method),
        };
        methods
            && url.scheme() == self.scheme
            && url.username().is_empty()
            && url.password().is_none()
            && url.port_or_known_default() == Some(self.port)
            && self.has_host(url)
            && self.has_path(url.path())
    }

    /// Whether anything at the host and port of a URL is granted, over http or https.
    pub fn has_origin(&self, url: &Url) -> bool {
        url.port_or_known_default() == Some(self.port) && self.has_host(url)
    }

    /// Whether it is granted over https.
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Whether the grant names this host, at any port.
    pub fn has_name(&self, name: &str) -> bool {
        self.host.has_name(name)
    }

    /// Whether the grant has this address itself, at this port.
    pub fn covers_address(&self, address: IpAddr, port: u16) -> bool {
        self.port == port && self.host.has_address(address)
    }

    /// The port of the grant.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the other grant has every request of this one.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let methods = match (&self.methods, &other.methods) {
            (_, Methods::Any) => true,
            (Methods::Any, Methods::These(_)) => false,
            (Methods::These(these), Methods::These(wide)) => these.iter().all(|method| wide.contains(method)),
        };
        let path = match (&self.path, &other.path) {
            (_, PathPattern::Any) => true,
            (PathPattern::Any, _) => false,
            (PathPattern::Exactly(path), _) => other.has_path(path),
            (PathPattern::Below(prefix), PathPattern::Below(above)) => prefix.starts_with(above.as_str()),
            (PathPattern::Below(_), PathPattern::Exactly(_)) => false,
        };
        methods && path && self.scheme == other.scheme && self.port == other.port && self.host.is_within(&other.host)
    }

    fn has_host(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Domain(name)) => self.host.has_name(name),
            Some(Host::Ipv4(address)) => self.host.has_address(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => self.host.has_address(IpAddr::V6(address)),
            None => false,
        }
    }

    fn has_path(&self, path: &str) -> bool {
        match &self.path {
            PathPattern::Any => true,
            PathPattern::Exactly(own) => own == path,
            PathPattern::Below(prefix) => path.starts_with(prefix.as_str()) && is_plain(path),
        }
    }

    /// Whether the grant reaches every origin a secret may be sent to.
    pub(super) fn reaches(&self, origin: &Url) -> bool {
        self.scheme == origin.scheme() && Some(self.port) == origin.port_or_known_default() && self.has_host(origin)
    }

    /// Reads methods and a URL. A refusal is two lines: why, and the fix.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let refused = |why: &str, fix: &str| Err(format!("{why}\n{fix}"));
        if text.len() > 2000 {
            return refused("it is longer than a grant can be", "write it like \"GET https://api.example.com/v1/*\"");
        }
        let mut words = text.split_ascii_whitespace();
        let (methods, written) = match (words.next(), words.next(), words.next()) {
            (Some(url), None, None) => (Methods::These(READING.map(Into::into).into()), url),
            (Some(methods), Some(url), None) => (read_methods(methods)?, url),
            _ => return refused("it is methods and a URL", "write it like \"GET,POST https://api.example.com/v1/*\""),
        };
        let Some((scheme, rest)) = written.split_once("://") else {
            return refused(
                "a URL begins with its scheme",
                &format!("write \"https://{}\"", quote(&cut(written, 200))),
            );
        };
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        // Parsing a URL drops control characters at its ends, and takes `http:http://a` for one too.
        let parsed = Url::parse(written).ok().filter(|_| !written.contains(char::is_control));
        let is_scheme = |url: &Url| url.scheme().eq_ignore_ascii_case(scheme);
        let Some(url) = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && is_scheme(url)) else {
            return refused(
                &format!("`{}` is not a URL of http or https", quote(&cut(written, 200))),
                "write it like \"GET https://api.example.com/v1/*\"",
            );
        };
        if authority.contains('@') || url.query().is_some() || url.fragment().is_some() {
            return refused(
                "a grant has no user, no query and no fragment; any query of a granted path is granted",
                &format!("write \"{scheme}://HOST/PATH\""),
            );
        }
        let host = HostPattern::from_text(bare_host(authority))?;
        let port = url.port_or_known_default().filter(|port| *port > 0);
        let Some(port) = port else { return refused("a port is a number from 1 to 65535", "write another port") };
        let path = read_path(&rest[authority.len()..], url.path())?;
        Ok(Self { text: text.to_owned(), methods, scheme: url.scheme().to_owned(), host, port, path })
    }
}

/// Whether a path means the same to everybody: an encoded slash or dot may be decoded by the server, and then
/// lead out of what was granted.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    !["%2f", "%5c", "%2e", "%00", "%25", "//", ";"].iter().any(|odd| lower.contains(odd))
}

fn read_methods(text: &str) -> Result<Methods, String> {
    if text == "*" {
        return Ok(Methods::Any);
    }
    let token =
        |method: &str| !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    let methods: Vec<String> = text.split(',').map(Into::into).collect();
    if !methods.iter().all(|method| token(method)) {
        return Err(format!(
            "`{}` are not methods\nwrite them in capitals with commas, such as \"GET,POST\", or \"*\" for all",
            quote(&cut(text, 80))
        ));
    }
    if let Some(never) = methods.iter().find(|method| NEVER.contains(&method.as_str())) {
        return Err(format!(
            "`{never}` is granted to nobody: it makes a tunnel, or an echo of the request\ntake it out"
        ));
    }
    Ok(Methods::These(methods))
}

fn bare_host(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

fn read_path(written: &str, normal: &str) -> Result<PathPattern, String> {
    if written.is_empty() {
        return Ok(PathPattern::Any);
    }
    if written != normal {
        return Err(format!("the path is not in normal form\nwrite it as \"{}\"", quote(&cut(normal, 400))));
    }
    let (prefix, below) = match written.strip_suffix('*') {
        Some(prefix) => (prefix, true),
        None => (written, false),
    };
    if prefix.contains('*') || (below && !prefix.ends_with('/')) {
        return Err(
            "a star stands for everything below a path, as its last part\nend the URL with \"/*\", or name each path"
                .into(),
        );
    }
    if !is_plain(prefix) {
        return Err("the path has an encoded slash, dot or percent sign, an empty part or a semicolon, which servers read differently\ngrant the path above it".into());
    }
    Ok(if below { PathPattern::Below(prefix.to_owned()) } else { PathPattern::Exactly(prefix.to_owned()) })
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for HttpGrant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'_, str>>::deserialize(deserializer)?;
        Self::from_text(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for HttpGrant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl JsonSchema for HttpGrant {
    fn schema_name() -> Cow<'static, str> {
        "HttpGrant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Methods and a URL: \"GET https://api.example.com/v1/*\", \"GET,POST https://*.example.org\", \"* http://127.0.0.1:8080/*\". Without methods GET and HEAD, without a path the whole origin.",
            "type": "string",
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn covers(grant: &str, method: &str, url: &str) -> bool {
        HttpGrant::from_text(grant).unwrap().covers(method, &Url::parse(url).unwrap())
    }

    #[test]
    fn a_grant_without_methods_only_reads() {
        for (method, granted) in [("GET", true), ("HEAD", true), ("POST", false), ("get", false), ("OPTIONS", false)] {
            assert_eq!(granted, covers("https://a.example.com", method, "https://a.example.com/x"), "{method}");
        }
        assert!(covers("GET,POST https://a.example.com", "POST", "https://a.example.com/x"));
        assert!(covers("* https://a.example.com", "DELETE", "https://a.example.com/x"));
        assert!(!covers("* https://a.example.com", "CONNECT", "https://a.example.com/x"));
    }

    #[test]
    fn scheme_host_and_port_are_all_of_the_origin() {
        let grant = "* https://api.example.com:8443/*";
        assert!(covers(grant, "GET", "https://API.example.com:8443/x?q=1"));
        for other in [
            "http://api.example.com:8443/x",
            "https://api.example.com/x",
            "https://evil.com:8443/x",
            "https://api.example.com.evil.com:8443/x",
            "https://api.example.com@evil.com:8443/x",
            "https://user:word@api.example.com:8443/x",
        ] {
            assert!(!covers(grant, "GET", other), "{other}");
        }
        assert!(covers("https://*.example.com", "GET", "https://a.b.example.com:443/"));
        assert!(!covers("https://*.example.com", "GET", "https://example.com/"));
        assert!(covers("http://127.0.0.1:80/", "GET", "http://2130706433/"));
        assert!(covers("http://[::1]:8080", "GET", "http://[0:0:0:0:0:0:0:1]:8080/"));
        assert!(!covers("http://127.0.0.1", "GET", "http://[::ffff:127.0.0.1]/"));
    }

    #[test]
    fn nothing_leads_out_of_a_granted_path() {
        let grant = "https://a.example.com/v1/*";
        assert!(
            covers(grant, "GET", "https://a.example.com/v1/") && covers(grant, "GET", "https://a.example.com/v1/b/c?d")
        );
        for path in [
            "",
            "v1",
            "v2/x",
            "v1x/y",
            "v1/../admin",
            "v1/%2e%2e/admin",
            "v1/..%2fadmin",
            "v1/..\\admin",
            "v1/%2E%2E%2Fadmin",
            "v1/..%5cadmin",
            "v1/%252e%252e%252fadmin",
            "v1//../../admin",
            "v1/..;/admin",
            "v1/a%00",
        ] {
            assert!(!covers(grant, "GET", &format!("https://a.example.com/{path}")), "{path}");
        }
        assert!(covers("https://a.example.com/v1", "GET", "https://a.example.com/v1?x"));
        assert!(!covers("https://a.example.com/v1", "GET", "https://a.example.com/v1/"));
        assert!(covers("https://a.example.com", "GET", "https://a.example.com/any%2fthing"));
    }

    #[test]
    fn what_could_mean_two_things_is_refused_with_what_was_meant() {
        for (text, fix) in [
            ("", "methods and a URL"),
            ("GET POST https://a.example.com", "GET,POST"),
            ("get https://a.example.com", "capitals"),
            ("CONNECT https://a.example.com", "take it out"),
            ("api.example.com/v1", "https://api.example.com/v1"),
            ("ftp://a.example.com", "http or https"),
            ("GET \0\u{4}https://a.example.com", "https://api.example.com"),
            ("http:http://[::1]:8080", "https://api.example.com"),
            ("https://a.example.com:443\u{1}", "https://api.example.com"),
            ("https://user@a.example.com", "no user"),
            ("https://a.example.com/?q=1", "no query"),
            ("https://a.example.com/#x", "no fragment"),
            ("https://a.example.com/v*", "/*"),
            ("https://a.example.com/*/x", "/*"),
            ("https://a.example.com/a/../b", "\"/b\""),
            ("https://a.example.com/a%2fb/*", "path above"),
            ("https://*.com", "*.example.com"),
            ("https://*", "neither a name nor an address"),
            ("http://2130706433/", "\"127.0.0.1\""),
            ("http://0x7f.1/", "\"127.0.0.1\""),
            ("https://a.example.com./", "\"a.example.com\""),
        ] {
            let refusal = HttpGrant::from_text(text).unwrap_err();
            assert!(refusal.contains(fix), "{text}: {refusal}");
            assert_eq!(2, refusal.lines().count(), "{text}: {refusal}");
        }
    }
}
