//! Who holds a port of this machine.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::mapping::Protocol;

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number in the caller's PID namespace.
    pub pid: u32,
    /// Its name, as `ps` shows it; at most 15 bytes.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// Finds the process whose socket holds `port` at `ip` (or at any address
/// without one) in the caller's network namespace. A TCP socket that is only
/// bound, neither listening nor connected, is not to be seen in procfs; nor are
/// the descriptors of other users' processes without privileges.
#[must_use]
pub fn find(protocol: Protocol, ip: Option<IpAddr>, port: u16) -> Option<Holder> {
    let inodes = sockets(protocol, ip, port);
    inodes.iter().find_map(|inode| owner(*inode))
}

fn sockets(protocol: Protocol, ip: Option<IpAddr>, port: u16) -> Vec<u64> {
    let mut inodes = Vec::new();
    for table in [protocol.as_str().to_owned(), format!("{protocol}6")] {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        inodes.extend(text.lines().skip(1).filter_map(|line| held(line, ip, port)));
    }
    inodes
}

/// The inode of the socket in this line if it stands in the way of `ip` and `port`.
fn held(line: &str, ip: Option<IpAddr>, port: u16) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (address, local_port) = fields.next()?.split_once(':')?;
    if u16::from_str_radix(local_port, 16).ok()? != port {
        return None;
    }
    let local = parse_address(address)?;
    let overlaps = ip.is_none_or(|ip| ip == local || ip.is_unspecified());
    let inode = fields.nth(7)?.parse().ok()?;
    (inode != 0 && (overlaps || local.is_unspecified())).then_some(inode)
}

/// Words of four bytes in the machine's order, in hexadecimal digits.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |nth: usize| {
        let digits = text.get(nth * 8..nth * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    if text.len() == 8 {
        return Some(IpAddr::from(word(0)?));
    }
    let words = [word(0)?, word(1)?, word(2)?, word(3)?];
    let bytes: [u8; 16] = words.concat().try_into().ok()?;
    let ip = std::net::Ipv6Addr::from(bytes);
    Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4))
}

fn owner(inode: u64) -> Option<Holder> {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = |link: fs::DirEntry| {
            fs::read_link(link.path()).is_ok_and(|target| target == Path::new(&wanted))
        };
        if descriptors.flatten().any(holds) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(Holder { pid, name: name.trim_end().to_owned() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn our_own_sockets_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = find(Protocol::Tcp, None, port).unwrap();
        assert_eq!(found.pid, std::process::id());
        assert!(find(Protocol::Tcp, "127.0.0.2".parse().ok(), port).is_none());
        assert!(find(Protocol::Tcp, "127.0.0.1".parse().ok(), port).is_some());

        let socket = UdpSocket::bind("[::1]:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(find(Protocol::Udp, "::1".parse().ok(), port).is_some());
        assert!(find(Protocol::Udp, "::2".parse().ok(), port).is_none());
    }

    #[test]
    fn addresses_of_procfs() {
        if cfg!(target_endian = "little") {
            assert_eq!(parse_address("0100007F"), "127.0.0.1".parse().ok());
            let mapped = parse_address("0000000000000000FFFF00000100007F");
            assert_eq!(mapped, "127.0.0.1".parse().ok());
        }
        assert_eq!(parse_address("00"), None);
        assert_eq!(held("  0: 0100007F:zz", None, 1), None);
        assert_eq!(held("", None, 1), None);
    }
}
