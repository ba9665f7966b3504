//! IPv4 networks, and the choice of one that is free.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest prefix of a bridge's subnet: 14 pods.
const LONGEST: u8 = 28;
/// Shortest: as many as interface names can tell.
const SHORTEST: u8 = 16;

/// An IPv4 network from /16 to /28, without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ipv4Subnet {
    network: u32,
    prefix: u8,
}

/// Private networks that others seldom take, in the order they are tried.
const CANDIDATES: [([u8; 4], u8); 6] = [
    ([10, 165, 0, 0], 16),
    ([10, 166, 0, 0], 16),
    ([10, 233, 0, 0], 16),
    ([172, 29, 0, 0], 16),
    ([192, 168, 165, 0], 24),
    ([100, 101, 0, 0], 16),
];

impl Ipv4Subnet {
    /// The first candidate that overlaps none of `taken` (network, prefix).
    #[must_use]
    pub fn choose(taken: &[(Ipv4Addr, u8)]) -> Option<Self> {
        CANDIDATES
            .iter()
            .map(|(network, prefix)| Self {
                network: u32::from_be_bytes(*network),
                prefix: *prefix,
            })
            .find(|subnet| !taken.iter().any(|(ip, prefix)| subnet.overlaps(*ip, *prefix)))
    }

    /// Whether any address is in both. A default route (prefix 0) overlaps nothing.
    #[must_use]
    pub fn overlaps(&self, ip: Ipv4Addr, prefix: u8) -> bool {
        let mask = mask(self.prefix.min(prefix));
        prefix != 0 && (u32::from(ip) & mask) == (self.network & mask)
    }

    /// Length of the prefix in bits.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// How many addresses there are, network and broadcast included.
    #[must_use]
    pub fn size(&self) -> u32 {
        1 << (32 - u32::from(self.prefix))
    }

    /// The address with this number; number 1 is the gateway's.
    #[must_use]
    pub fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.network | (number & (self.size() - 1)))
    }

    /// The bridge's own address.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// The number of an address that a pod can have.
    #[must_use]
    pub fn number(&self, ip: Ipv4Addr) -> Option<u32> {
        let number = u32::from(ip) & (self.size() - 1);
        let fits = self.overlaps(ip, 32) && (2..self.size() - 1).contains(&number);
        fits.then_some(number)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Ipv4Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.prefix)
    }
}

impl FromStr for Ipv4Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| format!("subnet {text:?}: {why}; write one like 10.165.0.0/16");
        let (ip, prefix) = text.split_once('/').ok_or_else(|| refuse("no length"))?;
        let ip: Ipv4Addr = ip.parse().map_err(|_| refuse("no IPv4 address"))?;
        let prefix: u8 = prefix.parse().map_err(|_| refuse("no length"))?;
        if !(SHORTEST..=LONGEST).contains(&prefix) {
            return Err(refuse("the length is to be from 16 to 28"));
        }
        let network = u32::from(ip);
        if network & !mask(prefix) != 0 {
            return Err(refuse("there are host bits"));
        }
        Ok(Self { network, prefix })
    }
}

impl TryFrom<String> for Ipv4Subnet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Ipv4Subnet> for String {
    fn from(subnet: Ipv4Subnet) -> Self {
        subnet.to_string()
    }
}

/// An IPv6 network of 64 bits, whose addresses have the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Subnet(Ipv6Addr);

impl Ipv6Subnet {
    /// Length of the prefix in bits.
    pub const PREFIX: u8 = 64;

    /// A unique local network (RFC 4193) with these random bits.
    #[must_use]
    pub fn unique_local([a, b, c, d, e]: [u8; 5]) -> Self {
        let mut bytes = [0; 16];
        for (place, byte) in bytes.iter_mut().zip([0xfd, a, b, c, d, e]) {
            *place = byte;
        }
        Self(Ipv6Addr::from(bytes))
    }

    /// The address with this number.
    #[must_use]
    pub fn address(&self, number: u32) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.0) | u128::from(number))
    }

    /// The bridge's own address.
    #[must_use]
    pub fn gateway(&self) -> Ipv6Addr {
        self.address(1)
    }
}

impl fmt::Display for Ipv6Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, Self::PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_match() {
        let subnet: Ipv4Subnet = "10.9.8.0/24".parse().unwrap();
        assert_eq!(subnet.gateway(), Ipv4Addr::new(10, 9, 8, 1));
        assert_eq!(subnet.number(Ipv4Addr::new(10, 9, 8, 77)), Some(77));
        for no in [[10, 9, 8, 0], [10, 9, 8, 1], [10, 9, 8, 255], [10, 9, 9, 5]] {
            assert_eq!(subnet.number(no.into()), None, "{no:?}");
        }
        let six = Ipv6Subnet::unique_local([1, 2, 3, 4, 5]);
        assert_eq!(six.address(0x1234).to_string(), "fd01:203:405::1234");
    }

    #[test]
    fn what_is_taken_is_not_chosen() {
        let taken = |ip: [u8; 4], prefix| (Ipv4Addr::from(ip), prefix);
        assert_eq!(Ipv4Subnet::choose(&[]).unwrap().to_string(), "10.165.0.0/16");
        let some = [taken([0, 0, 0, 0], 0), taken([10, 165, 3, 4], 32), taken([10, 166, 0, 0], 15)];
        assert_eq!(Ipv4Subnet::choose(&some).unwrap().to_string(), "10.233.0.0/16");
        let all =
            [taken([10, 0, 0, 0], 8), taken([172, 16, 0, 0], 12), taken([192, 168, 0, 0], 16)];
        assert_eq!(Ipv4Subnet::choose(&all).unwrap().to_string(), "100.101.0.0/16");
        let all = [taken([128, 0, 0, 0], 1), taken([0, 0, 0, 0], 1)];
        assert_eq!(Ipv4Subnet::choose(&all), None);
    }

    #[test]
    fn bad_subnets_are_refused() {
        for text in ["10.0.0.0", "10.0.0.0/8", "10.0.0.0/29", "10.0.0.1/24", "x/24", "10.0.0.0/x"] {
            assert!(text.parse::<Ipv4Subnet>().is_err(), "{text}");
        }
    }
}
