//! Which addresses may be dialled: public ones, and those that a connection names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What a connection may dial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Addresses {
    allowed: Vec<IpNet>,
}

impl Addresses {
    /// Public addresses, and the given ranges; a single address is a range, too.
    ///
    /// # Errors
    /// The text that is no range.
    pub(crate) fn parse(ranges: &[String]) -> Result<Self, String> {
        let allowed = ranges
            .iter()
            .map(|range| {
                range
                    .parse::<IpNet>()
                    .or_else(|_| range.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| range.clone())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { allowed })
    }

    /// Whether the address may be dialled.
    pub(crate) fn allow(&self, address: IpAddr) -> bool {
        is_public(address) || self.allowed.iter().any(|range| range.contains(&address))
    }
}

/// Whether an address is one of the public Internet (IANA's special-purpose registries, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    !matches!(
        (a, b, c, d),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, ..)
            | (169, 254, ..)
            | (172, 16..=31, ..)
            | (192, 0, 0 | 2, _)
            | (192, 88, 99, _)
            | (192, 168, ..)
            | (198, 18 | 19, ..)
            | (198, 51, 100, _)
            | (203, 0, 113, _)
            // Azure's own services, metadata among them, from inside any of its machines.
            | (168, 63, 129, 16)
    )
}

/// Global unicast only; so mapped, translated (NAT64), unique local, link-local, multicast and
/// loopback addresses are out, and with them the ways to write an IPv4 address in IPv6.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_global = a & 0xe000 == 0x2000;
    let is_special = match a {
        // IETF assignments (Teredo, ORCHID, benchmarking), and documentation.
        0x2001 => b < 0x0200 || b == 0x0db8,
        // 6to4.
        0x2002 => true,
        // Documentation.
        0x3fff => b < 0x1000,
        _ => false,
    };
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[&str]) -> Addresses {
        Addresses::parse(
            &list
                .iter()
                .map(|&range| range.to_owned())
                .collect::<Vec<_>>(),
        )
        .unwrap()
    }

    #[test]
    fn special_addresses_are_not_dialled() {
        let none = Addresses::default();
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(!none.allow(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn public_addresses_are() {
        let none = Addresses::default();
        for address in [
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "126.1.1.1",
            "128.0.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.1.1",
            "198.17.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "168.63.129.15",
            "2606:4700::1",
            "2001:4860:4860::8888",
            "2603:1006::1",
            "2a00::1",
        ] {
            assert!(none.allow(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn named_ranges_open_what_they_hold() {
        let local = ranges(&["127.0.0.1", "10.1.0.0/16", "fd12::/16"]);
        for (address, expected) in [
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("::ffff:127.0.0.1", false),
            ("10.1.255.1", true),
            ("10.2.0.1", false),
            ("fd12::5", true),
            ("fd13::5", false),
        ] {
            assert_eq!(local.allow(address.parse().unwrap()), expected, "{address}");
        }
        assert_eq!(
            Addresses::parse(&["localhost".to_owned()]),
            Err("localhost".to_owned())
        );
        assert_eq!(
            Addresses::parse(&["10.0.0.0/33".to_owned()]),
            Err("10.0.0.0/33".to_owned())
        );
    }
}
