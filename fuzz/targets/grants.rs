//! Any text as a grant of requests or connections, and any as what is asked for: whatever is granted is so by a second
//! reading too, which works on texts alone and gives every server's way of reading a path its chance.
//!
//! An input is a grant, a line feed, and a URL or a host and a port.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use ringfence::policy::{Endpoint, HttpGrant, normal_name};
use url::Url;

/// Scheme, host and port, and path of a URL that is sent; nothing where it has a user.
fn parts(url: &str) -> Option<(&str, String, u16, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let ends_in_address = authority.ends_with(']');
    let (host, port) = match authority.rsplit_once(':').filter(|_| !ends_in_address) {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, default),
    };
    (!host.contains('@')).then(|| (scheme, host.trim_matches(['[', ']']).to_ascii_lowercase(), port, path))
}

fn host_is(granted: &str, asked: &str) -> bool {
    if let (Ok(granted), Ok(asked)) = (granted.parse::<IpAddr>(), asked.parse::<IpAddr>()) {
        return granted == asked;
    }
    if let Some((network, bits)) = granted.split_once('/')
        && let (Ok(network), Ok(bits), Ok(asked)) = (network.parse(), bits.parse::<u32>(), asked.parse())
    {
        return match (network, asked) {
            (IpAddr::V4(network), IpAddr::V4(asked)) => {
                same(network.to_bits().into(), asked.to_bits().into(), 32 - bits)
            }
            (IpAddr::V6(network), IpAddr::V6(asked)) => same(network.to_bits(), asked.to_bits(), 128 - bits),
            _ => false,
        };
    }
    // A name that is not written in ASCII is normalized by a library, here as there.
    match granted.strip_prefix("*.") {
        Some(parent) => {
            let Some(parent) = normal_name(parent) else { return false };
            let labels: Vec<_> = asked.split('.').collect();
            let own: Vec<_> = parent.split('.').collect();
            labels.len() > own.len() && own.len() > 1 && labels.ends_with(&own)
        }
        None => normal_name(granted).is_some_and(|granted| granted == asked),
    }
}

fn same(one: u128, other: u128, ignored: u32) -> bool {
    (one ^ other).checked_shr(ignored).unwrap_or(0) == 0
}

/// The path as the most eager server reads it: decoded until nothing is left to decode, backslashes taken for
/// slashes, parameters and empty names dropped, dots followed.
fn resolved(path: &str) -> Vec<String> {
    let mut path = path.as_bytes().to_vec();
    loop {
        let decoded = percent_decoded(&path);
        if decoded == path {
            break;
        }
        path = decoded;
    }
    let path = String::from_utf8_lossy(&path).replace('\\', "/");
    let mut names = Vec::new();
    for name in path.split('/').map(|name| name.split([';', '\0']).next().unwrap_or_default()) {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name.to_owned()),
        }
    }
    names
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let digits = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let value = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match value.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

fn requests(granted: &str, asked: &str) {
    let Ok(grant) = HttpGrant::from_text(granted) else { return };
    let Ok(url) = Url::parse(asked) else { return };
    assert!(!grant.covers("CONNECT", &url) && !grant.covers("get", &url), "{granted:?}");
    if !["GET", "HEAD", "POST", "DELETE"].iter().any(|method| grant.covers(method, &url)) {
        return;
    }
    let written = granted.split_ascii_whitespace().last().unwrap();
    let star = written.ends_with("/*");
    let (scheme, host, port, path) = parts(written).expect("a grant is a URL");
    let sent = url.as_str();
    let asked = parts(sent).unwrap_or_else(|| panic!("{granted:?} covers {sent:?}"));
    assert!(asked.0 == scheme.to_ascii_lowercase() && asked.2 == port, "{granted:?} covers {sent:?}");
    assert!(host_is(&host, &asked.1), "{granted:?} covers {sent:?}");
    if star {
        let below = resolved(path.strip_suffix('*').unwrap());
        assert!(resolved(asked.3).starts_with(&below), "{granted:?} covers {sent:?}");
    } else if !path.is_empty() {
        assert_eq!(path, asked.3, "{granted:?} covers {sent:?}");
    }
}

fn connections(granted: &str, asked: &str) {
    let Ok(grant) = Endpoint::from_text(granted) else { return };
    let Some((host, port)) = asked.rsplit_once(':') else { return };
    let Ok(port) = port.parse::<u16>() else { return };
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let name = normal_name(host);
    if name.as_deref().is_some_and(|name| grant.names(name, port))
        || address.is_some_and(|address| grant.covers(address, port))
    {
        let (host, ports) = granted.rsplit_once(':').unwrap();
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let in_range = ports == "*" || (first.parse().unwrap()..=last.parse().unwrap()).contains(&port);
        assert!(in_range && port > 0, "{granted:?} covers {asked:?}");
        let host = host.trim_matches(['[', ']']);
        let shown = address.map(|address| address.to_string()).or(name).unwrap();
        assert!(host_is(host, &shown), "{granted:?} covers {asked:?}");
    }
}

fuzz_target!(|text: &str| {
    if let Some((granted, asked)) = text.split_once('\n') {
        requests(granted, asked);
        connections(granted, asked);
    }
});
