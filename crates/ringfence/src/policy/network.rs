//! Network grants: what a guest may connect to, by name or by address.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::http::HttpGrant;
use crate::text::{cut, quote};

/// What a guest may reach over the network; nothing unless granted, and then only outwards.
///
/// A name is resolved once a run, by the host. An address that is not public (loopback, private, link-local, …)
/// is refused even behind a granted name, unless it is granted as an address itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Net {
    /// TCP, as `host:port`: a name, `*.example.com`, an address or a range of addresses; a port or a range of ports.
    pub tcp: Vec<Endpoint>,
    /// UDP, written the same way.
    pub udp: Vec<Endpoint>,
    /// Requests by `wasi:http`, as methods and a URL: `GET https://api.example.com/v1/*`.
    pub http: Vec<HttpGrant>,
}

impl Net {
    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty() && self.http.is_empty()
    }
}

/// Hosts and ports of one grant, as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    host: HostPattern,
    first: u16,
    last: u16,
}

/// Which hosts a grant means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    /// One name, in normal form.
    Name(String),
    /// Every name below this one, which stands here with its leading dot.
    Below(String),
    /// Addresses.
    Addresses(IpNet),
}

/// A host name in normal form: lower-case ASCII (internationalized names as Punycode), no dot at the end.
///
/// None for what is not a name, or could be taken for an address by somebody: `1.2.3.4`, `0x7f.1`, `2130706433`.
pub fn normal_name(text: &str) -> Option<String> {
    let Ok(url::Host::Domain(name)) = url::Host::parse(text) else { return None };
    let labels_hold = name.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    let numeric = name.rsplit('.').next().is_none_or(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (labels_hold && !numeric && name.len() <= 253).then_some(name)
}

impl Endpoint {
    /// Whether the grant names this host, at this port.
    pub fn names(&self, name: &str, port: u16) -> bool {
        self.has_port(port) && self.has_name(name)
    }

    /// Whether the grant names this host, at any port.
    pub fn has_name(&self, name: &str) -> bool {
        self.host.has_name(name)
    }

    /// Whether the grant has this address itself, at this port.
    pub fn covers(&self, address: IpAddr, port: u16) -> bool {
        self.has_port(port) && self.host.has_address(address)
    }

    /// The ports of the grant.
    pub fn ports(&self) -> std::ops::RangeInclusive<u16> {
        self.first..=self.last
    }

    /// The addresses of the grant, if it is one by address.
    pub fn range(&self) -> Option<IpNet> {
        match self.host {
            HostPattern::Addresses(range) => Some(range),
            HostPattern::Name(_) | HostPattern::Below(_) => None,
        }
    }

    fn has_port(&self, port: u16) -> bool {
        self.ports().contains(&port)
    }

    /// Whether the other grant has all hosts and ports of this one.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.host.is_within(&other.host) && other.first <= self.first && self.last <= other.last
    }

    /// Reads `host:port`. A refusal is two lines: why, and the fix.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let refused = |why: &str, fix: &str| format!("{why}\n{fix}");
        if text.len() > 300 {
            return Err(refused("it is longer than any host and port", "write it like \"db.example.com:5432\""));
        }
        let (host, ports) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').and_then(|(host, ports)| Some((host, ports.strip_prefix(':')?))),
            None => text.rsplit_once(':'),
        }
        .ok_or_else(|| refused("it is a host and a port", "write it like \"db.example.com:5432\""))?;
        if !text.starts_with('[') && host.contains(':') {
            let fix = match host.parse::<IpNet>().is_ok() || host.parse::<Ipv6Addr>().is_ok() {
                true => format!("write \"[{host}]:{ports}\""),
                false => "write the host and the port alone, such as \"db.example.com:5432\"".into(),
            };
            return Err(refused("an address of IPv6 stands in brackets, and a grant has no scheme", &fix));
        }
        let (first, last) = read_ports(ports)?;
        Ok(Self { text: text.to_owned(), host: HostPattern::from_text(host)?, first, last })
    }
}

fn read_ports(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| -> Option<u16> {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|port| plain && *port > 0)
    };
    match (port(first), port(last)) {
        _ if text == "*" => Ok((1, u16::MAX)),
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        (Some(first), Some(last)) => {
            Err(format!("the ports {first} to {last} are none\nwrite the lower one first: \"{last}-{first}\""))
        }
        _ => {
            Err("a port is a number from 1 to 65535\nwrite a port such as 443, a range such as 8000-8100, or *".into())
        }
    }
}

impl HostPattern {
    pub(super) fn has_name(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Below(parent) => name.len() > parent.len() && name.ends_with(parent.as_str()),
            Self::Addresses(_) => false,
        }
    }

    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Addresses(range) => range.contains(&address),
            Self::Name(_) | Self::Below(_) => false,
        }
    }

    /// Whether the other one has every host of this one.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(name), _) => other.has_name(name),
            (Self::Below(parent), Self::Below(above)) => parent.ends_with(above.as_str()),
            (Self::Addresses(range), Self::Addresses(above)) => above.contains(range),
            _ => false,
        }
    }

    pub(super) fn from_text(host: &str) -> Result<Self, String> {
        if let Some(parent) = host.strip_prefix("*.") {
            let Some(parent) = normal_name(parent) else { return Err(not_a_host(host)) };
            if !parent.contains('.') {
                return Err(format!(
                    "`*.{0}` is every host of a top-level domain\nname the hosts, or the domain: \"*.example.{0}\"",
                    quote(&parent)
                ));
            }
            return Ok(Self::Below(format!(".{parent}")));
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return Self::from_range(IpNet::from(address));
        }
        if let Ok(range) = host.parse::<IpNet>() {
            return Self::from_range(range);
        }
        match normal_name(host) {
            Some(name) => Ok(Self::Name(name)),
            None => Err(not_a_host(host)),
        }
    }

    fn from_range(range: IpNet) -> Result<Self, String> {
        if range.addr() != range.network() {
            return Err(format!(
                "`{range}` is an address inside a range, not a range\nwrite the range as \"{}\", or the address without `/{}`",
                range.trunc(),
                range.prefix_len()
            ));
        }
        if let IpNet::V6(six) = range
            && let Some(four) = six.addr().to_ipv4_mapped()
        {
            return Err(format!(
                "`{range}` is an address of IPv4 in the clothes of IPv6\nwrite the address of IPv4: \"{four}\""
            ));
        }
        Ok(Self::Addresses(range))
    }
}

/// Why a host is none, with the address it may stand for.
fn not_a_host(host: &str) -> String {
    if let Ok(url::Host::Ipv4(address)) = url::Host::parse(host) {
        return format!("`{}` is an address written as numbers\nwrite it as \"{address}\"", quote(&cut(host, 80)));
    }
    if let Some(bare) = host.strip_suffix('.').and_then(normal_name) {
        return format!("a name ends without a dot\nwrite \"{bare}\"");
    }
    format!(
        "`{}` is neither a name nor an address\nwrite a name such as \"db.example.com\" or \"*.example.com\", or an address such as \"10.0.0.5\", \"10.0.0.0/8\" or \"[2001:db8::1]\"",
        quote(&cut(host, 80))
    )
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'_, str>>::deserialize(deserializer)?;
        Self::from_text(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A host and a port: \"db.example.com:5432\", \"*.example.com:443\", \"10.0.0.0/8:8000-8100\", \"[2001:db8::1]:443\", \"1.1.1.1:*\".",
            "type": "string",
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn grant(text: &str) -> Endpoint {
        Endpoint::from_text(text).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_granted_at_its_port_and_no_other() {
        let grant = grant("DB.Example.com:5432");
        assert!(grant.names("db.example.com", 5432) && grant.has_name("db.example.com"));
        assert!(!grant.names("db.example.com", 5433) && !grant.names("example.com", 5432));
        assert!(!grant.covers(address("93.184.216.34"), 5432));
    }

    #[test]
    fn a_star_is_every_name_below_and_not_the_name_itself() {
        let grant = grant("*.example.com:443");
        assert!(grant.names("a.example.com", 443) && grant.names("a.b.example.com", 443));
        for other in ["example.com", ".example.com", "badexample.com", "a.example.com.evil.net"] {
            assert!(!grant.names(other, 443), "{other}");
        }
    }

    #[test]
    fn a_range_has_its_ends_and_nothing_beyond() {
        let grant = grant("10.1.0.0/16:8000-8100");
        assert!(grant.covers(address("10.1.0.0"), 8000) && grant.covers(address("10.1.255.255"), 8100));
        for (host, port) in [("10.0.255.255", 8000), ("10.2.0.0", 8000), ("10.1.0.1", 7999), ("10.1.0.1", 8101)] {
            assert!(!grant.covers(address(host), port), "{host}:{port}");
        }
        assert!(!grant.covers(address("::ffff:10.1.0.1"), 8000));
        assert!(self::grant("[2001:db8::/32]:443").covers(address("2001:db8:ffff::1"), 443));
        assert!(self::grant("1.1.1.1:*").covers(address("1.1.1.1"), 65535));
    }

    #[test]
    fn what_could_mean_two_things_is_refused_with_what_was_meant() {
        for (text, fix) in [
            ("db.example.com", "db.example.com:5432"),
            ("tcp://db.example.com:1", "db.example.com:5432"),
            ("2001:db8::1:443", "brackets"),
            ("db.example.com:0", "1 to 65535"),
            ("db.example.com:+1", "1 to 65535"),
            ("db.example.com:90-80", "80-90"),
            ("db.example.com.:80", "\"db.example.com\""),
            ("2130706433:80", "\"127.0.0.1\""),
            ("0x7f.1:80", "\"127.0.0.1\""),
            ("0177.0.0.1:80", "\"127.0.0.1\""),
            ("10.1.2.3/8:80", "\"10.0.0.0/8\""),
            ("[::ffff:127.0.0.1]:80", "\"127.0.0.1\""),
            ("*.com:443", "*.example.com"),
            ("*:443", "neither a name nor an address"),
            ("a.*.com:443", "neither a name nor an address"),
            ("user@example.com:443", "neither a name nor an address"),
            ("exam ple.com:443", "neither a name nor an address"),
            ("[fe80::1%eth0]:80", "neither a name nor an address"),
        ] {
            let refusal = Endpoint::from_text(text).unwrap_err();
            assert!(refusal.contains(fix), "{text}: {refusal}");
            assert_eq!(2, refusal.lines().count(), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_name_has_one_normal_form() {
        assert_eq!(Some("xn--bcher-kva.example"), normal_name("BÜCHER.example").as_deref());
        assert_eq!(Some("localhost"), normal_name("LocalHost").as_deref());
        for none in
            ["", ".", "a..b", "a.", "1.2.3.4", "127.1", "0x7f000001", "a.0", "a b", "a/b", "a:1", "[::1]", "a\0b"]
        {
            assert_eq!(None, normal_name(none), "{none:?}");
        }
        assert_eq!(None, normal_name(&format!("{}.example", "a".repeat(64))));
    }
}
