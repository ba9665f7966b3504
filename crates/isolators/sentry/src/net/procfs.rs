//! The texts of `/proc/net`.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::Network;

/// Names in `/proc/net`.
pub const NAMES: &[&str] = &["dev", "if_inet6", "route", "tcp", "tcp6", "udp", "udp6", "unix"];

/// The text of one.
#[must_use]
pub fn text(network: &Network, name: &str) -> String {
    match name {
        "dev" => devices(network),
        "if_inet6" => addresses(network),
        "route" => routes(network),
        "tcp" | "tcp6" => {
            let all = network.inet.tcp.all();
            let rows = all.iter().filter(|t| t.is_v6() == name.ends_with('6'));
            let none = |is_v6| SocketAddr::new(super::inet::address::any(is_v6), 0);
            let rows = rows.map(|t| (t.local(), t.remote().unwrap_or(none(t.is_v6())), t.number()));
            let of_host = of_host(network, true, name.ends_with('6'));
            sockets(rows.chain(of_host), name.ends_with('6'))
        }
        "udp" | "udp6" => {
            let all = network.inet.udp.all();
            let rows = all.iter().filter(|u| u.is_v6() == name.ends_with('6'));
            let none = |is_v6| SocketAddr::new(super::inet::address::any(is_v6), 0);
            let rows = rows.map(|u| (u.local(), u.remote().unwrap_or(none(u.is_v6())), 7));
            let of_host = of_host(network, false, name.ends_with('6'));
            sockets(rows.chain(of_host), name.ends_with('6'))
        }
        "unix" => {
            let mut text = "Num       RefCount Protocol Flags    Type St Inode Path\n".to_owned();
            for (kind, listens, path) in network.unix.all() {
                let (flags, state) = if listens { (0x10000, 1) } else { (0, 1) };
                let path = String::from_utf8_lossy(&path).replace('\0', "@");
                let _ = writeln!(
                    text,
                    "0000000000000000: 00000002 00000000 {flags:08x} {kind:04} {state:02}     0 {path}"
                );
            }
            text
        }
        _ => String::new(),
    }
}

/// Sockets of the host's, where a network has them.
fn of_host(
    network: &Network,
    streams: bool,
    is_v6: bool,
) -> impl Iterator<Item = (SocketAddr, SocketAddr, u8)> {
    let rows = network.host_sockets().map(|_| super::host::rows(streams, is_v6));
    rows.into_iter().flatten()
}

fn devices(network: &Network) -> String {
    let mut text =
        "Inter-|   Receive                                                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes    \
                    packets errs drop fifo colls carrier compressed\n"
            .to_owned();
    for link in &network.links().links {
        let zeros = " 0".repeat(16);
        let _ = writeln!(text, "{:>6}:{zeros}", link.name);
    }
    text
}

fn addresses(network: &Network) -> String {
    let mut text = String::new();
    for link in &network.links().links {
        for address in &link.addresses {
            if let IpAddr::V6(ip) = address.ip {
                let scope = if ip.is_loopback() {
                    0x10
                } else if ip.is_unicast_link_local() {
                    0x20
                } else {
                    0
                };
                let (bits, prefix) = (ip.to_bits(), address.prefix);
                let (index, name) = (link.index, &link.name);
                let _ =
                    writeln!(text, "{bits:032x} {index:02x} {prefix:02x} {scope:02x} 80 {name:>8}");
            }
        }
    }
    text
}

/// Of IPv4.
fn routes(network: &Network) -> String {
    let head =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
    let mut text = format!("{head:<127}\n");
    let links = network.links();
    for route in &links.routes {
        let (IpAddr::V4(to), Some(link)) = (route.to.ip, links.by_index(route.link)) else {
            continue;
        };
        let gateway = match route.gateway {
            Some(IpAddr::V4(ip)) => ip.to_bits().swap_bytes(),
            _ => 0,
        };
        let flags = if route.gateway.is_some() { 3 } else { 1 };
        let (to, mask) = (to.to_bits().swap_bytes(), route.to.mask().to_bits().swap_bytes());
        let (name, metric) = (&link.name, route.metric);
        let row = format!(
            "{name}\t{to:08X}\t{gateway:08X}\t{flags:04X}\t0\t0\t{metric}\t{mask:08X}\t0\t0\t0"
        );
        let _ = writeln!(text, "{row:<127}");
    }
    text
}

/// An address as `/proc/net/tcp` has it: words of the machine's order.
fn place(address: SocketAddr, is_v6: bool) -> String {
    let port = address.port();
    let ip = match address.ip() {
        IpAddr::V4(ip) if !is_v6 => return format!("{:08X}:{port:04X}", ip.to_bits().swap_bytes()),
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let words = ip.octets();
    let words = words.chunks_exact(4).map(|w| w.try_into().map_or(0, u32::from_le_bytes));
    format!("{}:{port:04X}", words.map(|w| format!("{w:08X}")).collect::<String>())
}

fn sockets(rows: impl Iterator<Item = (SocketAddr, SocketAddr, u8)>, is_v6: bool) -> String {
    let head = if is_v6 {
        "  sl  local_address                         remote_address                        st \
         tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    } else {
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout \
         inode\n"
    };
    let mut text = head.to_owned();
    for (index, (local, remote, state)) in rows.enumerate() {
        let (local, remote) = (place(local, is_v6), place(remote, is_v6));
        let _ = writeln!(
            text,
            "{index:4}: {local} {remote} {state:02X} 00000000:00000000 00:00000000 00000000     0        \
             0 0 1 0000000000000000 100 0 0 10 0"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_words_of_this_machine() {
        assert_eq!(place("127.0.0.1:80".parse().unwrap(), false), "0100007F:0050");
        let six = place("[::1]:22".parse().unwrap(), true);
        assert_eq!(six, "00000000000000000000000001000000:0016");
        let network = Network::default();
        let v6 = text(&network, "if_inet6");
        assert_eq!(v6, "00000000000000000000000000000001 01 80 10 80       lo\n");
        for name in NAMES {
            assert!(!text(&network, name).is_empty(), "{name}");
        }
    }
}
