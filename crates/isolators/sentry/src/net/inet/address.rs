//! `struct sockaddr_in` and `sockaddr_in6`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use rustix::io::Errno;

/// `AF_INET`
pub const V4: u16 = 2;
/// `AF_INET6`
pub const V6: u16 = 10;

fn port(bytes: &[u8]) -> u16 {
    bytes.get(2..4).and_then(|b| b.try_into().ok()).map_or(0, u16::from_be_bytes)
}

/// The address in the bytes, for a socket of either family. Mapped IPv4 addresses
/// become plain ones.
///
/// # Errors
/// `EINVAL` if it is too short, `EAFNOSUPPORT` if it is of another family.
pub fn parse(bytes: &[u8], is_v6: bool) -> Result<SocketAddr, Errno> {
    let family = bytes.first_chunk().copied().map(u16::from_le_bytes).ok_or(Errno::INVAL)?;
    let v4 = || {
        let ip: [u8; 4] = bytes.get(4..8).and_then(|b| b.try_into().ok()).ok_or(Errno::INVAL)?;
        Ok(SocketAddr::new(IpAddr::from(ip), port(bytes)))
    };
    if !is_v6 {
        if bytes.len() < 16 {
            return Err(Errno::INVAL);
        }
        let address = v4()?;
        // Old programs leave the family out when they mean any address.
        let any = family == 0 && address.ip().is_unspecified();
        return if family == V4 || any { Ok(address) } else { Err(Errno::AFNOSUPPORT) };
    }
    if family == V4 && bytes.len() >= 16 {
        return v4();
    }
    if family != V6 {
        return Err(Errno::AFNOSUPPORT);
    }
    let ip: [u8; 16] = bytes.get(8..24).and_then(|b| b.try_into().ok()).ok_or(Errno::INVAL)?;
    Ok(SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), port(bytes)))
}

/// The bytes of an address, as a socket of either family tells it.
#[must_use]
pub fn bytes(address: SocketAddr, is_v6: bool) -> Vec<u8> {
    let ip = match address.ip() {
        IpAddr::V4(ip) if !is_v6 => {
            let mut bytes = V4.to_le_bytes().to_vec();
            bytes.extend_from_slice(&address.port().to_be_bytes());
            bytes.extend_from_slice(&ip.octets());
            bytes.resize(16, 0);
            return bytes;
        }
        // A socket of that family that is bound to nothing in particular.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv6Addr::UNSPECIFIED,
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let scope = match address {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let address = SocketAddrV6::new(ip, address.port(), 0, scope);
    let mut bytes = V6.to_le_bytes().to_vec();
    bytes.extend_from_slice(&address.port().to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&address.ip().octets());
    bytes.extend_from_slice(&address.scope_id().to_le_bytes());
    bytes
}

/// Any address of a family.
#[must_use]
pub fn any(is_v6: bool) -> IpAddr {
    if is_v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

/// The address that stands for this machine where a destination is left out.
#[must_use]
pub fn itself(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way() {
        for (text, is_v6) in [("127.0.0.1:80", false), ("127.0.0.1:80", true), ("[::1]:9", true)] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(parse(&bytes(address, is_v6), is_v6), Ok(address));
        }
        assert_eq!(parse(&[2, 0, 0, 0], false), Err(Errno::INVAL));
        assert_eq!(parse(&[1; 16], false), Err(Errno::AFNOSUPPORT));
        assert_eq!(parse(&[10; 20], true), Err(Errno::AFNOSUPPORT));
    }
}
