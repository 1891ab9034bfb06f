//! Which addresses are public: everything that has a special purpose is not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ranges of IPv4 with a special purpose, from IANA's registry, and what they are for.
///
/// Link-local has the metadata service of most clouds (169.254.169.254), carrier-grade NAT Alibaba's (100.100.100.200)
/// and the IETF's block Oracle's (192.0.0.192). Azure's is an ordinary public address, hence a line of its own.
const SPECIAL_4: [(Ipv4Addr, u32, &str); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "metadata"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "a relay"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// The block of IPv6 that public addresses come from. All else is special: loopback, IPv4 in any clothes
/// (`::ffff:0:0/96`, `::/96`, `64:ff9b::/96`), unique local (with Amazon's `fd00:ec2::254`), link-local, multicast.
const PUBLIC_6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Ranges inside the public block that are special all the same.
const SPECIAL_6: [(Ipv6Addr, u32, &str); 4] = [
    // Teredo, benchmarking, ORCHID and other protocols of the IETF.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
];

/// What an address that is not public is for; None for a public one.
pub fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(four) => special_4(four),
        IpAddr::V6(six) => special_6(six),
    }
}

fn special_4(address: Ipv4Addr) -> Option<&'static str> {
    let inside = |(range, prefix, _): &&(Ipv4Addr, u32, _)| (address.to_bits() ^ range.to_bits()) >> (32 - prefix) == 0;
    SPECIAL_4.iter().find(inside).map(|(_, _, purpose)| *purpose)
}

fn special_6(address: Ipv6Addr) -> Option<&'static str> {
    let inside = |range: Ipv6Addr, prefix: u32| (address.to_bits() ^ range.to_bits()) >> (128 - prefix) == 0;
    if let Some((_, _, purpose)) = SPECIAL_6.iter().find(|(range, prefix, _)| inside(*range, *prefix)) {
        return Some(purpose);
    }
    if inside(PUBLIC_6.0, PUBLIC_6.1) {
        // ISATAP: an address of IPv4 behind a fixed interface identifier, reached through a tunnel.
        let segments = address.segments();
        let tunnel = matches!(segments[4], 0 | 0x200) && segments[5] == 0x5efe;
        return tunnel.then_some("IPv4 in a tunnel");
    }
    Some(match address {
        Ipv6Addr::LOCALHOST => "loopback",
        Ipv6Addr::UNSPECIFIED => "unspecified",
        _ if address.to_ipv4_mapped().is_some() => "IPv4-mapped",
        _ if address.is_unique_local() => "private",
        _ if address.is_unicast_link_local() => "link-local",
        _ if address.is_multicast() => "multicast",
        _ => "reserved",
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn purpose(text: &str) -> Option<&'static str> {
        special(text.parse().unwrap())
    }

    #[test]
    fn every_special_range_is_special_from_its_first_address_to_its_last() {
        for (first, last, expected) in [
            ("0.0.0.0", "0.255.255.255", "unspecified"),
            ("10.0.0.0", "10.255.255.255", "private"),
            ("100.64.0.0", "100.127.255.255", "carrier-grade NAT"),
            ("127.0.0.0", "127.255.255.255", "loopback"),
            ("168.63.129.16", "168.63.129.16", "metadata"),
            ("169.254.0.0", "169.254.255.255", "link-local"),
            ("172.16.0.0", "172.31.255.255", "private"),
            ("192.0.0.0", "192.0.0.255", "reserved"),
            ("192.0.2.0", "192.0.2.255", "documentation"),
            ("192.52.193.0", "192.52.193.255", "a relay"),
            ("192.88.99.0", "192.88.99.255", "a relay"),
            ("192.168.0.0", "192.168.255.255", "private"),
            ("198.18.0.0", "198.19.255.255", "benchmarking"),
            ("198.51.100.0", "198.51.100.255", "documentation"),
            ("203.0.113.0", "203.0.113.255", "documentation"),
            ("224.0.0.0", "239.255.255.255", "multicast"),
            ("240.0.0.0", "255.255.255.254", "reserved"),
            ("255.255.255.255", "255.255.255.255", "broadcast"),
            ("::", "::", "unspecified"),
            ("::1", "::1", "loopback"),
            ("::2", "::fffe:ffff:ffff", "reserved"),
            ("::ffff:0.0.0.0", "::ffff:255.255.255.255", "IPv4-mapped"),
            ("64:ff9b::", "64:ff9b::ffff:ffff", "reserved"),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "reserved"),
            ("100::", "100::ffff:ffff:ffff:ffff", "reserved"),
            ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "reserved"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4"),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"),
            ("4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "reserved"),
            ("5f00::", "5f00:ffff::", "reserved"),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "private"),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local"),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "reserved"),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
        ] {
            assert_eq!((Some(expected), Some(expected)), (purpose(first), purpose(last)), "{first} to {last}");
        }
    }

    #[test]
    fn the_neighbours_of_special_ranges_are_public() {
        for public in [
            "1.0.0.0",
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:4860:4860::8888",
            "2003::",
            "2606:4700:4700::1111",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert_eq!(None, purpose(public), "{public}");
        }
    }

    #[test]
    fn metadata_services_of_clouds_are_not_public() {
        for metadata in
            ["169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"]
        {
            assert!(purpose(metadata).is_some(), "{metadata}");
        }
    }

    #[test]
    fn addresses_that_carry_another_one_inside_are_not_public() {
        for carrier in [
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2a00:1450::5efe:a00:1",
            "2a00:1450::200:5efe:8080:8080",
        ] {
            assert!(purpose(carrier).is_some(), "{carrier}");
        }
    }
}
